"""Verdicts of `evaluate` on logs whose truth is known: how often they are wrong, and how often they find a gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.core.preference import Preference
from banditroute.evaluate import evaluate
from banditroute.logs import DecisionLog


@dataclass(frozen=True, kw_only=True)
class Case:
    """Two arms: quality of each, the share of requests that explores the new one, and dear calls where cost counts."""

    old: float
    new: float
    explored: float
    decisions: int
    dear: float | None = None  # the share of calls that cost a hundred times as much
    session: int = 1  # decisions that share one outcome


CASES = {
    "null, quality .99, 5% explored": Case(old=0.99, new=0.99, explored=0.05, decisions=2_400),
    "null, quality .01, 5% explored": Case(old=0.01, new=0.01, explored=0.05, decisions=2_400),
    "null, all zeros": Case(old=0.0, new=0.0, explored=0.05, decisions=2_400),
    "null, all ones": Case(old=1.0, new=1.0, explored=0.05, decisions=2_400),
    "null, quality .5, 5% explored": Case(old=0.5, new=0.5, explored=0.05, decisions=2_400),
    "null, quality .999, 20% explored": Case(old=0.999, new=0.999, explored=0.2, decisions=20_000),
    "null, sessions of 4, quality .95": Case(old=0.95, new=0.95, explored=0.2, decisions=4_000, session=4),
    "null, 1% of calls cost a hundredfold": Case(old=1.0, new=1.0, explored=0.05, decisions=2_400, dear=0.01),
}
GAINS = {"gain .02 at quality .9, 20% explored": Case(old=0.9, new=0.92, explored=0.2, decisions=20_000)}


@command(
    options=[
        click.option("--logs", default=1_000, show_default=True, type=click.IntRange(min=2)),
        click.option("--gain-logs", default=200, show_default=True, type=click.IntRange(min=2)),
    ]
)
def main(*, files: list[Path], seeds: int, logs: int, gain_logs: int) -> list[Row]:
    """Share of wrong verdicts of logs without a difference, and of logs whose gain is found; `logs` of each kind.

    `wrong` counts "better" and "worse" where both arms are alike, asked against the old arm and against the log;
    `found` counts "better" where the new arm is. The worst log is 1 as soon as one is wrong.
    """
    measured = []
    for name, case in CASES.items():
        for against in ("old", "logged"):
            wrong = _shares(
                case, logs, against, lambda verdict: "been better" in verdict or "been worse" in verdict, name
            )
            measured.append(row(name, f"banditroute/against_{against}", "wrong", wrong, higher_is_better=False))
    for name, case in GAINS.items():
        for against in ("old", "logged"):
            found = _shares(case, gain_logs, against, lambda verdict: "been better" in verdict, name)
            measured.append(row(name, f"banditroute/against_{against}", "found", found))
    return measured


def _shares(case: Case, logs: int, against: str, counts: Callable[[str], bool], name: str) -> list[float]:
    weight = {"quality": 1.0} if case.dear is None else {"quality": 1.0, "cost_usd": 1.0}
    return [
        float(counts(evaluate(_log(case, seed), "new", against=against, preference=Preference(**weight)).verdict))
        for seed in tqdm(range(logs), desc=f"{name}, against {against}")
    ]


def _log(case: Case, seed: int) -> DecisionLog:
    rng = np.random.default_rng([seed, 11])
    n = case.decisions
    session = np.arange(n) // case.session
    is_new = rng.random(n) < case.explored
    luck = rng.random(n // case.session + 1)[session]
    outcomes = {"quality": (luck < np.where(is_new, case.new, case.old)).astype(float)}
    if case.dear is not None:
        outcomes["cost_usd"] = np.where(rng.random(n) < case.dear, 0.1, 0.001)
    return DecisionLog(
        arms=("old", "new"),
        chosen=is_new.astype(int),
        eligible=np.ones((n, 2), dtype=bool),
        propensities=np.where(is_new, case.explored, 1.0 - case.explored),
        contexts=np.ones((n, 1)),
        sessions=tuple(map(str, session)) if case.session > 1 else None,
        outcomes=outcomes,
        decided_at=np.arange(float(n)),
    )


if __name__ == "__main__":
    main()
