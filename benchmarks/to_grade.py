"""Grades worth asking for: the quality of routing by the grades of `evaluate.to_grade`, against grades at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip
from numpy.typing import NDArray
from tqdm import tqdm

from banditroute.beliefs import Prior
from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.evaluate import to_grade
from banditroute.features import TextFeatures
from banditroute.learners import ThompsonSampling
from banditroute.logs import DecisionLog, OutcomeTable, read_outcomes
from banditroute.objectives.objective import QUALITY

AT_ONCE = 20  # answers that are graded before the next are asked for, the default of to_grade
MARKS = (100, 140, 180, 200, 240, 280, 300, 400, 440, 500, 600, 800, 1_000)
REFERENCES = (300, 500, 1_000)  # grades at random whose quality is to be reached


def served(table: OutcomeTable, x: Vector, log: DecisionLog, rows: Sequence[int], test: NDArray[np.intp]) -> float:
    """Return the quality of the best arms by the default belief, for prompts that were never graded."""
    belief = ThompsonSampling().belief.start(
        arms=list(log.arms),
        dimension=x.shape[1],
        priors={"quality": Prior(mean=QUALITY.prior_mean, noise=QUALITY.prior_noise)},
        statistics={},
    )
    belief.watch(["quality"])
    assert log.contexts is not None
    for ordinal, i in enumerate(rows):
        value = float(log.outcomes["quality"][i])
        belief.update(log.arms[log.chosen[i]], log.contexts[i], {"quality": value}, ordinal=ordinal)
    best = [int(belief.predict(x[i]).means[0].argmax()) for i in test]
    return float(table.outcomes["quality"][test, best].mean())


def asked(log: DecisionLog, graded: Sequence[int]) -> list[int]:
    """Return the next answers by `to_grade`, of a log in which only some are graded."""
    quality = np.full(len(log), np.nan)
    quality[list(graded)] = log.outcomes["quality"][list(graded)]
    return [*to_grade(replace(log, outcomes={"quality": quality}), AT_ONCE).rows]


def curve(
    table: OutcomeTable,
    x: Vector,
    log: DecisionLog,
    test: NDArray[np.intp],
    marks: Sequence[int],
    next_rows: Callable[[list[int]], list[int]],
) -> list[float]:
    """Return the quality on other prompts after each number of grades in ``marks``."""
    graded: list[int] = []
    found = []
    for mark in marks:
        while len(graded) < mark:
            graded += next_rows(graded)
        found.append(served(table, x, log, graded, test))
    return found


def measure(path: Path, seeds: int) -> list[Row]:
    """Return the rows of one table."""
    table = read_outcomes(path)
    quality, arms = table.outcomes["quality"], len(table.arms)
    texts = [Request(text=prompt) for prompt in table.prompts]
    x = np.column_stack([TextFeatures().transform(texts), np.ones(len(texts))])
    marks = [mark for mark in MARKS if mark <= len(table) // 2]
    curves: dict[str, list[list[float]]] = {"random": [], "banditroute": []}
    for seed in tqdm(range(seeds), desc=path.stem):
        rng = np.random.default_rng(seed)
        train, test = np.split(rng.permutation(len(table)), [len(table) // 2])
        chosen = rng.integers(arms, size=len(train))
        log = DecisionLog(
            arms=table.arms,
            chosen=chosen,
            eligible=np.ones((len(train), arms), dtype=bool),
            propensities=np.full(len(train), 1.0 / arms),
            contexts=x[train],
            outcomes={"quality": quality[train, chosen]},
            decided_at=np.arange(float(len(train))),
        )
        order = rng.permutation(len(train)).tolist()
        at_random = lambda graded, order=order: order[len(graded) : len(graded) + AT_ONCE]  # noqa: E731
        curves["random"].append(curve(table, x, log, test, marks, at_random))
        curves["banditroute"].append(curve(table, x, log, test, marks, lambda graded, log=log: asked(log, graded)))
    rows = [
        row(path.stem, policy, f"quality after {mark:,} grades", [each[i] for each in found])
        for policy, found in curves.items()
        for i, mark in enumerate(marks)
    ]
    means = np.mean(curves["banditroute"], axis=0)
    for reference in (each for each in REFERENCES if each in marks):
        level = float(np.mean(curves["random"], axis=0)[marks.index(reference)])
        reached = [mark for mark, mean in zip(marks, means, strict=True) if mean >= level]
        if reached:  # the first mark at which the mean over seeds is as high
            name = f"grades for the quality of {reference:,} at random, as a share"
            rows.append(row(path.stem, "banditroute", name, [reached[0] / reference], higher_is_better=False))
    return rows


@command(default_files=("llmrouter9.parquet", "cascades9.parquet"))
def main(*, files: Sequence[Path], seeds: int) -> list[Row]:
    """Measure the quality of routing after some grades, asked for and at random, on prompts not in the log.

    Of half of the prompts one arm, drawn uniformly, has answered. Grades of these answers teach the default belief,
    which then chooses the best arm for the other half.
    """
    return [row for path in files for row in measure(path, seeds)]


if __name__ == "__main__":
    main()
