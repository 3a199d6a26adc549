"""Verdicts of `evaluate` on logs whose truth is known: how often they are wrong, and how often they find a gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.evaluate import evaluate
from banditroute.logs import DecisionLog

Amounts: TypeAlias = Callable[[np.random.Generator, int], Vector]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Two arms: quality of each, the share of requests that explores the new one, and dear calls where cost counts."""

    old: float
    new: float
    explored: float
    decisions: int
    dear: float | None = None  # the share of calls that cost a hundred times as much
    session: int = 1  # decisions that share one outcome
    amounts: tuple[str, Amounts] | None = None  # an objective in place of quality, and how n outcomes are drawn


def _lognormal(rng: np.random.Generator, n: int) -> Vector:
    return 0.001 * np.exp(2.0 * rng.standard_normal(n))


def _pareto(rng: np.random.Generator, n: int) -> Vector:
    return 0.001 * (1.0 + rng.pareto(1.5, n))


def _one_outlier(rng: np.random.Generator, n: int) -> Vector:
    amounts = 0.001 * (1.0 + 0.1 * rng.random(n))
    amounts[rng.integers(n)] = 1e6
    return amounts


def _twentyfold(rng: np.random.Generator, n: int) -> Vector:
    return np.where(rng.random(n) < 0.5, 0.001, 0.02)


def _alike(explored: float, amounts: Amounts, objective: str = "cost_usd") -> Case:
    return Case(old=1.0, new=1.0, explored=explored, decisions=2_400, amounts=(objective, amounts))


CASES = {
    "null, quality .99, 5% explored": Case(old=0.99, new=0.99, explored=0.05, decisions=2_400),
    "null, quality .01, 5% explored": Case(old=0.01, new=0.01, explored=0.05, decisions=2_400),
    "null, all zeros": Case(old=0.0, new=0.0, explored=0.05, decisions=2_400),
    "null, all ones": Case(old=1.0, new=1.0, explored=0.05, decisions=2_400),
    "null, quality .5, 5% explored": Case(old=0.5, new=0.5, explored=0.05, decisions=2_400),
    "null, quality .999, 20% explored": Case(old=0.999, new=0.999, explored=0.2, decisions=20_000),
    "null, sessions of 4, quality .95": Case(old=0.95, new=0.95, explored=0.2, decisions=4_000, session=4),
    "null, 1% of calls cost a hundredfold": Case(old=1.0, new=1.0, explored=0.05, decisions=2_400, dear=0.01),
    "null, dollars lognormal (sigma 2), 5% explored": _alike(0.05, _lognormal),
    "null, dollars lognormal (sigma 2), 20% explored": _alike(0.2, _lognormal),
    "null, seconds lognormal (sigma 2), 20% explored": _alike(0.2, _lognormal, "latency_seconds"),
    "null, dollars Pareto (alpha 1.5), 5% explored": _alike(0.05, _pareto),
    "null, dollars Pareto (alpha 1.5), 20% explored": _alike(0.2, _pareto),
    "null, joules Pareto (alpha 1.5), 20% explored": _alike(0.2, _pareto, "energy_joules"),
    "null, one call costs $1e6, 5% explored": _alike(0.05, _one_outlier),
    "null, half of the calls cost twentyfold, 5% explored": _alike(0.05, _twentyfold),
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
    if case.amounts is not None:
        weight = {case.amounts[0]: 1.0}
    return [
        float(counts(evaluate(_log(case, seed), "new", against=against, preference=Preference(**weight)).verdict))
        for seed in tqdm(range(logs), desc=f"{name}, against {against}")
    ]


def _log(case: Case, seed: int) -> DecisionLog:
    rng = np.random.default_rng([seed, 11])
    n = case.decisions
    session = np.arange(n) // case.session
    is_new = rng.random(n) < case.explored
    if case.amounts is not None:
        objective, amounts = case.amounts
        outcomes = {objective: amounts(rng, n)}
    else:
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
