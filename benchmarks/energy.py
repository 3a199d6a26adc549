"""Accuracy against joules per token over a sweep of GreenServ's weight, on the pairs that were measured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from tqdm import tqdm

from banditroute.core.request import Request
from banditroute.features import TextFeatures
from banditroute.learners import Learner, ThompsonSampling
from banditroute.logs import OutcomeTable, read_outcomes
from banditroute.objectives import JOULES_PER_TOKEN, Scaled, greenserv
from banditroute.policies import Uniform
from banditroute.simulate.replay import Trace
from banditroute.simulate.sweep import sweep
from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

DEFAULT: dict[str, Learner] = {"banditroute": ThompsonSampling()}
RANGE = "banditroute/range"
WEIGHTS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of energy, against accuracy


@command(default_files=["greenserv16_partial.parquet"])
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Accuracy and joules per token of one pass for each weight of energy, for every FILE with `energy_j_per_token`.

    Each prompt is routed among the arms that were measured on it. Joules per token are weighed in units of the
    interquartile range of what is reported, and, as GreenServ does, in units of the range of the whole data set. For
    comparison: a uniform choice among the same arms, and each single arm on the prompts that it was measured on, which
    differ between arms.
    """
    rows: list[Row] = []
    for file in files:
        table = read_outcomes(file, partial=True, columns={"joules_per_token": "energy_j_per_token"})
        x = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
        joules = table.outcomes["joules_per_token"]
        whole = float(np.nanmax(joules) - np.nanmin(joules))
        for weight, unit in product(WEIGHTS, (None, whole)):
            cells = _sweep(table, x, DEFAULT, greenserv(weight, joules_per_token=unit), seeds)
            traces = list(tqdm(cells, total=seeds, desc=f"{table.name}@{weight}"))
            rows += _figures(f"{table.name}@{weight}", "banditroute" if unit is None else RANGE, table, traces)
        uniform = list(_sweep(table, x, {"uniform": Learner(policy=Uniform())}, greenserv(0.0), seeds))
        rows += _figures(table.name, "uniform", table, uniform)
        for k, arm in enumerate(table.arms):
            measured = np.flatnonzero(~np.isnan(table.outcomes["quality"][:, k]))
            single = Trace(policy=arm, seed=0, rows=measured, chosen=np.full(len(measured), k))
            rows += _figures(table.name, f"always {arm}", table, [single])
    return rows


def _sweep(
    table: OutcomeTable, x: np.ndarray, learners: dict[str, Learner], preference: Scaled, seeds: int
) -> Iterator[Trace]:
    objectives = [JOULES_PER_TOKEN]
    return sweep(table, x, learners=learners, preference=preference, seeds=range(seeds), objectives=objectives)


def _figures(case: str, policy: str, table: OutcomeTable, traces: list[Trace]) -> list[Row]:
    accuracy = [trace.outcome(table.outcomes["quality"]).mean() for trace in traces]
    joules = [trace.outcome(table.outcomes["joules_per_token"]).mean() for trace in traces]
    return [
        row(case, policy, "score_pass", accuracy),
        row(case, policy, "joules_per_token_pass", joules, higher_is_better=False),
    ]


if __name__ == "__main__":
    main()
