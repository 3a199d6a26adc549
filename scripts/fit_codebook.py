"""Fit the codebook of ``SemanticCluster`` on prompts.

    python scripts/fit_codebook.py PROMPTS.parquet [PROMPTS.parquet ...] [--leave-out PROMPTS.parquet ...]

A prompt file has a column ``prompt``. Of each file at most 1,800 prompts count, so that no file rules the codebook.
``--leave-out`` names files none of whose prompts may be used, wherever else they occur: for measuring the features
on those files as a user's traffic would be, new to what is shipped. The same input gives the same codebook, up to the
rounding of the machine's linear algebra.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as parquet

from banditroute.core.request import Request
from banditroute.features._kmeans import lloyd
from banditroute.features.cluster import SOFTNESS, Codebook, cluster_space
from banditroute.features.complexity import Complexity

CLUSTERS = 48
PER_FILE = 1_800
STARTS = 4


def sample(files: Iterable[Sequence[str]], leave_out: Iterable[str] = (), *, seed: int = 0) -> list[str]:
    """At most ``PER_FILE`` prompts of each file, none of them twice, and none of ``leave_out``."""
    seen = set(leave_out)
    taken: list[str] = []
    for prompts in files:
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in seen]
        picked = np.sort(np.random.default_rng(seed).permutation(len(new))[:PER_FILE])
        taken += [new[index] for index in picked]
        seen.update(new)
    return taken


def fit(prompts: Sequence[str], *, clusters: int = CLUSTERS, seed: int = 0) -> Codebook:
    """k-means in the space of :func:`cluster_space`, complexity and topic weighing the same in the distance."""
    rows = cluster_space().transform([Request(text=prompt) for prompt in prompts])
    looks = Complexity().dimension
    shares = np.repeat([looks, rows.shape[1] - looks], [looks, rows.shape[1] - looks])
    centre = rows.mean(axis=0)
    std = rows.std(axis=0)
    scale = np.where(std > 0.05, std, 1.0) * np.sqrt(shares)  # what these prompts hardly have stays as it is
    z = (rows - centre) / scale
    rng = np.random.default_rng(seed)
    runs = [lloyd(z, np.ones(len(z)), start(z, clusters, rng)) for _ in range(STARTS)]
    inertias = [((z - centres[labels]) ** 2).sum(axis=1).mean() for centres, labels in runs]
    centres, labels = runs[int(np.argmin(inertias))]
    order = np.argsort(-np.bincount(labels, minlength=clusters), kind="stable")
    return Codebook(
        centre=centre,
        scale=scale,
        centres=centres[order],  # the largest cluster first
        temperature=SOFTNESS * min(inertias),
        ids=np.arange(clusters),
    )


def start(z: np.ndarray, clusters: int, rng: np.random.Generator) -> np.ndarray:
    """First centres by k-means++: each drawn with a chance proportional to its squared distance to those before it."""
    centres = [z[rng.integers(len(z))]]
    distance = np.full(len(z), np.inf)
    while len(centres) < clusters:
        distance = np.minimum(distance, ((z - centres[-1]) ** 2).sum(axis=1))
        centres.append(z[rng.choice(len(z), p=distance / distance.sum())])
    return np.array(centres)


def read_prompts(path: Path) -> list[str]:
    """The column ``prompt`` of a Parquet file."""
    return parquet.read_table(path, columns=["prompt"])["prompt"].unique().to_pylist()


@click.command()
@click.argument("prompts", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--leave-out", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--clusters", default=CLUSTERS, show_default=True, type=click.IntRange(min=2))
@click.option("--out", type=click.Path(path_type=Path), default=Path("banditroute/features/data/clusters/codebook.npz"))
def main(prompts: tuple[Path, ...], leave_out: tuple[Path, ...], clusters: int, out: Path) -> None:
    """Write the codebook to OUT."""
    barred = [prompt for path in leave_out for prompt in read_prompts(path)]
    taken = sample([read_prompts(path) for path in prompts], barred)
    codebook = fit(taken, clusters=clusters)
    out.parent.mkdir(parents=True, exist_ok=True)
    codebook.save(out)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    click.echo(
        f"{len(codebook.centres)} clusters of {len(taken):,} prompts; {out.stat().st_size:,} bytes, sha256 {digest}"
    )


if __name__ == "__main__":
    main()
