"""Clusters: rows of a log that depend on each other, as those of a session, a prompt template or a task do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from banditroute.core.request import Request
from banditroute.errors import InvalidInputError
from banditroute.features.template import signature

if TYPE_CHECKING:
    from banditroute.logs import DecisionLog

Clusters: TypeAlias = Literal["session", "template", "task"] | NDArray[np.intp] | NDArray[np.str_] | None
"""The name of a clustering, or the number or name of each row's cluster ``(n,)``; None: sessions, if there are any."""


def clusters_of(log: DecisionLog, by: Clusters) -> NDArray[np.intp] | None:
    """Return the number of the cluster of each row ``(n,)``; None where each row is one of its own.

    A row without session, prompt or task is a cluster of its own.

    Raises
    ------
    InvalidInputError
        If the log lacks what it is to be clustered by, or an array does not name the cluster of every row.

    Examples
    --------
    >>> from banditroute.logs import DecisionLog
    >>> log = DecisionLog(
    ...     arms=("a",),
    ...     chosen=np.zeros(4, dtype=int),
    ...     eligible=np.ones((4, 1), dtype=bool),
    ...     outcomes={},
    ...     decided_at=np.arange(4.0),
    ...     prompts=("Translate to French: tea", "", "Why?", "Translate to French: a boat"),
    ... )
    >>> clusters_of(log, "template")
    array([0, 2, 1, 0])
    """
    if by is None and log.sessions is None:
        return None
    if isinstance(by, np.ndarray):
        if by.shape != (len(log),) or by.dtype.kind not in "iuU":
            raise InvalidInputError(
                f"clusters have shape {by.shape} and type {by.dtype}; give the number or the name of the cluster of "
                f"each of the {len(log):,} rows"
            )
        return np.unique(by, return_inverse=True)[1]
    texts = {"session": log.sessions, "template": log.prompts, "task": log.tasks}
    by = "session" if by is None else by
    if not isinstance(by, str) or by not in texts:
        raise InvalidInputError(f"clusters is {by!r:.80}; give {', '.join(map(repr, texts))}, or an array (n,)")
    if (names := texts[by]) is None:
        what = "prompt" if by == "template" else by
        raise InvalidInputError(
            f"the log names no {what}, so its rows cannot be clustered by {by}; record it, or cluster by something else"
        )
    numbers = _templates(names) if by == "template" else np.unique(np.array(names), return_inverse=True)[1]
    alone = np.array([not name for name in names])
    return np.unique(np.where(alone, len(names) + np.arange(len(names)), numbers), return_inverse=True)[1]


def _templates(prompts: Sequence[str]) -> NDArray[np.intp]:
    """Return the number of each prompt's template.

    Two prompts share a template if two of the three parts of their signatures agree, directly or through others. The
    varying text may stand at either end of the frame or bring labels of its own; one common part may be chance.
    """
    nodes: dict[tuple[tuple[int, str], ...], int] = {}
    links = [
        (row, nodes.setdefault(pair, len(nodes)))
        for row, prompt in enumerate(prompts)
        for pair in combinations(enumerate(signature(Request(text=prompt))), 2)
        if all(words for _, words in pair)
    ]
    rows, ends = np.array(links, dtype=np.intp).reshape(-1, 2).T
    n, size = len(prompts), len(prompts) + len(nodes)
    graph = coo_array((np.ones(len(rows)), (rows, n + ends)), shape=(size, size))
    numbers: NDArray[np.intp] = connected_components(graph, directed=False)[1][:n]
    return numbers
