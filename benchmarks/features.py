"""Features by full information: score of the routed choice, decisions that flip with the writing, time per prompt."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import DATA, Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.core.request import Request
from banditroute.features import (
    ClusterTracker,
    Codebook,
    Complexity,
    Compose,
    Featurizer,
    SemanticCluster,
    StaticEmbedding,
    TextFeatures,
)
from banditroute.logs import OutcomeTable, read_outcomes
from benchmarks import full_information, minilm
from benchmarks.feature_times import times
from scripts.fit_codebook import fit, read_prompts, sample

FILES = [
    "llmrouter9.parquet",
    "routerdc7.parquet",
    "openllm19_bbh.parquet",
    "cascades9.parquet",
    "routerbench3.parquet",
]
FITTED_ON = [  # what the shipped codebook was fitted on
    "paretobandit3_val.parquet",
    "paretobandit3_extra.parquet",
    "routellm2.parquet",
    "llmrouter9.parquet",
    "routerbench3.parquet",
]
PREFIX_WORDS = 20


@command(
    default_files=FILES,
    seeds=5,
    options=[
        click.option("--limit", default=6_000, show_default=True, help="At most so many prompts of a file, at random."),
        click.option(
            "--prompts",
            multiple=True,
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Fit codebooks on these files; by default on those that the shipped one was fitted on.",
        ),
        click.option("--minilm", "with_minilm", is_flag=True, help="MiniLM beside them; takes minutes at first."),
    ],
)
def main(*, files: list[Path], seeds: int, limit: int, prompts: tuple[Path, ...], with_minilm: bool) -> list[Row]:
    """Routed score by ridge and by 40 nearest neighbours, 5 folds, for every FILE; flip rates; time per prompt.

    A seed draws the folds. The codebook is fitted anew for each FILE, without that FILE and every prompt in it.
    """
    sources = prompts or tuple(path for path in (DATA / name for name in FITTED_ON) if path.exists())
    if not sources:
        raise click.UsageError(f"none of {', '.join(FITTED_ON)} is in the shared data; give --prompts")
    rows: list[Row] = []
    for file in files:
        table = limited(read_outcomes(file), limit)
        codebook = _codebook_without(file, table, sources)
        featurizers = _featurizers(SemanticCluster(codebook=codebook))
        for policy, featurizer in tqdm(featurizers.items(), desc=table.name):
            rows += _scores(table, policy, _transform(featurizer, table.prompts), seeds=seeds, featurizer=featurizer)
        if with_minilm:
            x = minilm.embed(table.prompts)
            rows += _scores(table, "minilm_384", x, seeds=seeds)
            rows += _scores(table, "minilm_pca25", x, seeds=seeds, whitened=25)
        rows += _tracked(table, codebook, seeds=seeds)
        rows += _references(table)
    return rows + times(limited(read_outcomes(files[0]), limit).prompts, with_minilm=with_minilm)


def _featurizers(cluster: SemanticCluster) -> dict[str, Featurizer]:
    return {
        "banditroute": TextFeatures(),
        "banditroute/complexity": Complexity(),
        "banditroute/static16": StaticEmbedding(dimension=16),
        "banditroute/static64": StaticEmbedding(dimension=64),
        "banditroute/clusters": cluster,
        "banditroute/clusters+static16": Compose(blocks=[cluster, StaticEmbedding(dimension=16)]),
        "banditroute/clusters+default": Compose(blocks=[cluster, TextFeatures()]),
    }


def _codebook_without(file: Path, table: OutcomeTable, sources: tuple[Path, ...]) -> Codebook:
    """Clusters of other files and other prompts than the evaluated ones."""
    others = [read_prompts(source) for source in sources if source.name != file.name]
    return fit(sample(others, leave_out=table.prompts))


def _tracked(table: OutcomeTable, codebook: Codebook, *, seeds: int) -> list[Row]:
    """Score on one half of the prompts, with clusters as they are, and after a tracker has seen the other half."""
    scores: dict[str, list[float]] = {"banditroute/clusters": [], "banditroute/clusters_tracked": []}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(table))
        seen, scored = np.array_split(order, 2)
        tracker = ClusterTracker(codebook=codebook)
        for index in seen:
            tracker.observe(table.prompts[index])
        prompts, y = tuple(table.prompts[i] for i in scored), table.outcomes["quality"][scored]
        for policy, clusters in zip(scores, (codebook, tracker.refit()), strict=True):
            x = _transform(SemanticCluster(codebook=clusters), prompts)
            chosen = full_information.choices(x, y, seed=seed, fit=full_information.ridge)[0]
            scores[policy].append(float(y[np.arange(len(y)), chosen].mean()))
    return [row(f"{table.name}@half", policy, "score_ridge", values) for policy, values in scores.items()]


def limited(table: OutcomeTable, limit: int) -> OutcomeTable:
    if len(table) <= limit:
        return table
    kept = np.sort(np.random.default_rng(0).permutation(len(table))[:limit])
    return dataclasses.replace(
        table,
        prompts=tuple(table.prompts[i] for i in kept),
        tasks=tuple(table.tasks[i] for i in kept),
        outcomes={name: values[kept] for name, values in table.outcomes.items()},
    )


def _transform(featurizer: Featurizer, prompts: tuple[str, ...]) -> np.ndarray:
    return featurizer.transform([Request(text=prompt) for prompt in prompts])


def _scores(
    table: OutcomeTable,
    policy: str,
    x: np.ndarray,
    *,
    seeds: int,
    featurizer: Featurizer | None = None,
    whitened: int | None = None,
) -> list[Row]:
    """Score by ridge and by neighbours; with a featurizer, also how often another writing flips the ridge's choice."""
    y = table.outcomes["quality"]
    every = np.arange(len(y))
    writings = _writings(table.prompts) if featurizer else {}
    variants = [_transform(featurizer, prompts) for prompts in writings.values()] if featurizer else []
    ridges = [
        full_information.choices(x, y, seed=s, fit=full_information.ridge, variants=variants, whitened=whitened)
        for s in range(seeds)
    ]
    nears = [
        full_information.choices(x, y, seed=s, fit=full_information.neighbours, whitened=whitened)[0]
        for s in range(seeds)
    ]
    rows = [
        row(table.name, policy, "score_ridge", [y[every, chosen[0]].mean() for chosen in ridges]),
        row(table.name, policy, "score_knn", [y[every, chosen].mean() for chosen in nears]),
    ]
    for index, name in enumerate(writings, start=1):
        flipped = [float((chosen[index] != chosen[0]).mean()) for chosen in ridges]
        scores = [y[every, chosen[index]].mean() for chosen in ridges]
        rows.append(row(f"{table.name}@{name}", policy, "flip_rate", flipped, higher_is_better=False))
        rows.append(row(f"{table.name}@{name}", policy, "score_ridge", scores))
    return rows


def _writings(prompts: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The same prompts, written another way."""
    rng = np.random.default_rng(0)
    words = np.array(sorted({word for prompt in prompts for word in prompt.split() if len(word) <= 20}))
    ways: dict[str, Callable[[str], str]] = {
        "whitespace": lambda text: "\n" + text.replace(" ", "  ") + " \n\n",
        "lower_case": str.lower,
        "upper_case": str.upper,
        "prefix": lambda text: " ".join([*rng.choice(words, PREFIX_WORDS), text]),
    }
    return {name: tuple(map(way, prompts)) for name, way in ways.items()}


def _references(table: OutcomeTable) -> list[Row]:
    quality, tasks = table.outcomes["quality"], np.array(table.tasks)
    per_task = sum(quality[tasks == t].mean(axis=0).max() * (tasks == t).mean() for t in np.unique(tasks))
    references = {
        "best_single": quality.mean(axis=0).max(),
        "best_per_task": per_task,
        "oracle": quality.max(axis=1).mean(),
    }
    return [row(table.name, policy, "score_ridge", [float(score)]) for policy, score in references.items()]


if __name__ == "__main__":
    main()
