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

from banditroute.features.cluster import Codebook, cluster_space
from banditroute.features.complexity import Complexity
from banditroute.types import Request

CLUSTERS = 48
SOFTNESS = 0.35  # temperature over the mean squared distance to the nearest centre
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
    scale = np.maximum(rows.std(axis=0), 0.05) * np.sqrt(shares)
    z = (rows - centre) / scale
    rng = np.random.default_rng(seed)
    runs = [lloyd(z, start(z, clusters, rng)) for _ in range(STARTS)]
    centres, inertia = min(runs, key=lambda run: run[1])
    return Codebook(centre=centre, scale=scale, centres=centres, temperature=SOFTNESS * inertia)


def start(z: np.ndarray, clusters: int, rng: np.random.Generator) -> np.ndarray:
    """First centres by k-means++: each drawn with a chance proportional to its squared distance to those before it."""
    centres = [z[rng.integers(len(z))]]
    distance = np.full(len(z), np.inf)
    while len(centres) < clusters:
        distance = np.minimum(distance, ((z - centres[-1]) ** 2).sum(axis=1))
        centres.append(z[rng.choice(len(z), p=distance / distance.sum())])
    return np.array(centres)


def lloyd(z: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, float]:
    """Centres after Lloyd's iteration, the largest cluster first, and the mean squared distance to the nearest."""
    squares = (z**2).sum(axis=1)
    labels = np.full(len(z), -1)
    while True:
        distances = squares[:, None] - 2.0 * z @ centres.T + (centres**2).sum(axis=1)
        nearest = distances.argmin(axis=1)
        sizes = np.bincount(nearest, minlength=len(centres))
        if (nearest == labels).all():
            order = np.argsort(-sizes, kind="stable")
            return centres[order], float(distances.min(axis=1).mean())
        labels = nearest
        member = np.zeros((len(centres), len(z)))
        member[nearest, np.arange(len(z))] = 1.0
        filled = sizes > 0  # an empty cluster stays where it is
        centres = np.where(filled[:, None], member @ z / np.maximum(sizes, 1)[:, None], centres)


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
