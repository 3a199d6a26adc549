"""Quality only: one shuffled pass per seed, bandit feedback, no labels; beside rivals and what needs no learning."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.features import Compose, Featurizer, Metadata, TextFeatures
from banditroute.features.base import feature_blocks
from banditroute.learners import EpsilonGreedy, LinUCB, SquareCB, ThompsonSampling
from banditroute.logs import OutcomeTable, read_outcomes
from banditroute.simulate.replay import Trace
from banditroute.simulate.sweep import sweep
from benchmarks import described, full_information, rivals

FILES = [
    "llmrouter9.parquet",
    "routerdc7.parquet",
    "openllm19_bbh.parquet",
    "routellm2.parquet",
    "routerbench3.parquet",
    "alpacaeval55.parquet",
    "cascades9.parquet",
]
LEARNERS = {
    "banditroute": ThompsonSampling(),
    "banditroute/linucb": LinUCB(),
    "banditroute/squarecb": SquareCB(),
    "banditroute/epsilon_greedy": EpsilonGreedy(),
}
WARM = 300  # prompts of a warm start
FULL_INFORMATION = {"ridge_full": full_information.ridge, "knn_full": full_information.neighbours}


@command(
    default_files=FILES,
    options=[
        click.option(
            "--rival-seeds", default=5, show_default=True, help="Orders for rivals, folds of full information."
        ),
        click.option(
            "--context",
            type=click.Choice(["text", "task"]),
            default="text",
            show_default=True,
            help="task: the default learner by the names of the tasks as metadata, by text, and by both.",
        ),
        click.option(
            "--descriptors",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            default=described.DESCRIPTORS,
            help="JSON: model -> name -> number, quality being what to expect. Default: sizes and published scores.",
        ),
    ],
)
def main(*, files: list[Path], seeds: int, rival_seeds: int, context: str, descriptors: Path) -> list[Row]:
    """Mean score over one pass and over its second half, for every FILE.

    `warm300` knows the outcomes of all arms for the first 300 prompts of each order, which are not scored;
    `descriptors`, where all arms of a file have some, only what they say of themselves. Beside them:
    the rival libraries that are installed, on the same features, orders and feedback; ridge and 40 nearest neighbours
    with full information on the same features, 5 folds; and what needs no learning.
    """
    rows: list[Row] = []
    installed = rivals.installed(lambda line: click.echo(line, err=True))
    for file in files:
        table = read_outcomes(file)
        if context == "task":
            rows += [*_by_task(table, seeds), *_references(table)]
            continue
        x = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
        cells = sweep(table, x, learners=LEARNERS, preference=Preference(quality=1.0), seeds=range(seeds))
        rows += _learned(table, list(LEARNERS), tqdm(cells, total=len(LEARNERS) * seeds, desc=table.name))
        if len(table) > 2 * WARM:
            warm = {f"banditroute/warm{WARM}": LEARNERS["banditroute"]}
            cells = sweep(table, x, learners=warm, preference=Preference(quality=1.0), seeds=range(seeds), warm=WARM)
            rows += _learned(table, list(warm), tqdm(cells, total=seeds, desc="warm start"))
        arms = described.described(descriptors, table.arms)
        if arms is not None:
            traces = described.replays(table, x, arms, seeds)
            rows += _learned(table, [described.POLICY], tqdm(traces, total=seeds, desc="descriptors"))
        if rival_seeds:
            cells = _sweep_rivals(table, x, installed, rival_seeds)
            rows += _learned(table, installed, tqdm(cells, total=len(installed) * rival_seeds, desc="rivals"))
            rows += _full_information(table, x, rival_seeds)
        rows += _references(table)
    return rows


def _by_task(table: OutcomeTable, seeds: int) -> list[Row]:
    """The default learner by the names of the tasks, by text, and by both."""
    if not all(table.tasks):
        raise click.UsageError(f"{table.name} has prompts without a task; give a file with a column 'dataset'")
    task = Metadata(categorical={"task": sorted(set(table.tasks))})
    contexts: dict[str, Featurizer] = {
        "banditroute/task": task,
        "banditroute/text": TextFeatures(),
        "banditroute/text+task": Compose(blocks=[TextFeatures(), task]),
    }
    requests = [
        Request(text=prompt, metadata={"task": name}) for prompt, name in zip(table.prompts, table.tasks, strict=True)
    ]
    rows = []
    for policy, features in contexts.items():
        cells = sweep(
            table,
            features.transform(requests),
            learners={policy: LEARNERS["banditroute"]},
            preference=Preference(quality=1.0),
            seeds=range(seeds),
            blocks=feature_blocks(features),
        )
        rows += _learned(table, [policy], tqdm(cells, total=seeds, desc=f"{table.name} {policy}"))
    return rows


def _sweep_rivals(table: OutcomeTable, x: np.ndarray, names: list[str], seeds: int) -> Iterator[Trace]:
    with ProcessPoolExecutor() as pool:
        quality = table.outcomes["quality"]
        cells = [pool.submit(rivals.replay, name, x, quality, seed) for seed in range(seeds) for name in names]
        for done in as_completed(cells):
            yield done.result()


def _learned(table: OutcomeTable, policies: list[str], traces: Iterator[Trace]) -> list[Row]:
    """Score over the pass and its second half, and regret, of every policy."""
    scores: dict[str, list[np.ndarray]] = {policy: [] for policy in policies}
    for trace in traces:
        scores[trace.policy].append(trace.outcome(table.outcomes["quality"]))
    best = table.outcomes["quality"].mean(axis=0).max()
    rows = []
    for policy, runs in scores.items():
        rows.append(row(table.name, policy, "score_pass", [run.mean() for run in runs]))
        rows.append(row(table.name, policy, "score_second_half", [run[len(run) // 2 :].mean() for run in runs]))
        regret = [float((best - run).sum()) for run in runs]
        rows.append(row(table.name, policy, "regret", regret, higher_is_better=False))
    return rows


def _full_information(table: OutcomeTable, x: np.ndarray, seeds: int) -> list[Row]:
    quality = table.outcomes["quality"]
    every = np.arange(len(table))
    rows = []
    for policy, fit in FULL_INFORMATION.items():
        chosen = [full_information.choices(x, quality, seed=seed, fit=fit)[0] for seed in range(seeds)]
        rows.append(row(table.name, policy, "score_pass", [quality[every, arms].mean() for arms in chosen]))
    return rows


def _references(table: OutcomeTable) -> list[Row]:
    quality = table.outcomes["quality"]
    tasks = np.array(table.tasks)
    per_task = sum(quality[tasks == t].mean(axis=0).max() * (tasks == t).mean() for t in np.unique(tasks))
    scores = {
        "best_single": quality.mean(axis=0).max(),
        "best_per_task": per_task,
        "uniform": quality.mean(),
        "oracle": quality.max(axis=1).mean(),
    }
    return [row(table.name, policy, "score_pass", [float(score)]) for policy, score in scores.items()]


if __name__ == "__main__":
    main()
