"""The kind of each decision in a database: its task, its cluster, or the value of one of its tags."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.features import TaskType

CLUSTERS = 8
"""Number of clusters that contexts are grouped into."""


def by_tag(tags: Sequence[Sequence[str]], name: str) -> list[str]:
    """Return the value of each decision's first tag ``name:value``, "" without one.

    Examples
    --------
    >>> by_tag([["private", "tenant:acme"], []], "tenant")
    ['acme', '']
    """
    begin = f"{name}:"
    return [next((tag.removeprefix(begin) for tag in some if tag.startswith(begin)), "") for some in tags]


def by_task(tags: Sequence[Sequence[str]], prompts: Sequence[str | None]) -> list[str]:
    """Return the value of each tag ``task:value``; without one, the likeliest type of the prompt; else ""."""
    named = by_tag(tags, "task")
    types = TaskType()
    rows = [i for i, (name, prompt) in enumerate(zip(named, prompts, strict=True)) if not name and prompt]
    for i, p in zip(rows, types.transform([Request(text=prompts[i]) for i in rows]), strict=True):
        named[i] = types.types[int(p.argmax())]
    return named


def by_cluster(contexts: Sequence[Vector | None]) -> list[str]:
    """Return "cluster 1" (the largest), "cluster 2" and so on, by k-means over the contexts; "" without a context.

    Contexts of another length than the last one are left out: they are of features that are not used any more.
    """
    known = [x for x in contexts if x is not None]
    d = len(known[-1]) if known else 0
    rows = [i for i, x in enumerate(contexts) if x is not None and len(x) == d > 1]
    names = [""] * len(contexts)
    if rows:
        labels = _k_means(np.array([contexts[i] for i in rows])[:, :-1])  # without the bias
        ranks = {label: rank for rank, (label, _) in enumerate(Counter(labels.tolist()).most_common(), start=1)}
        for i, label in zip(rows, labels.tolist(), strict=True):
            names[i] = f"cluster {ranks[label]}"
    return names


def _k_means(x: Vector) -> NDArray[np.intp]:
    from scipy.cluster.vq import kmeans2  # here: a router does not load it

    distinct = np.unique(x, axis=0)
    if len(distinct) <= CLUSTERS:
        nearest: NDArray[np.intp] = (x[:, None] == distinct).all(axis=2).argmax(axis=1)
        return nearest
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a cluster that becomes empty is not shown
        labels: NDArray[np.intp] = kmeans2(x, CLUSTERS, minit="++", seed=0)[1]
    return labels
