"""Budgets: what is spent and what it buys, beside a static mixture of two arms; then while prices and arms change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, command, priced, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.beliefs.drift import PageHinkley
from banditroute.budgets import Budget
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.features import TextFeatures
from banditroute.learners import Learner, ThompsonSampling
from banditroute.logs import OutcomeTable
from banditroute.policies import Uniform
from banditroute.router import Router
from banditroute.simulate.frontier import frontier
from banditroute.store import MemoryStore

BUDGETS = 7  # in equal ratios from what the cheapest arm costs to what the dearest does
TIGHT_TO_LOOSE = slice(2, 5)  # the budgets of the cases in which something changes
PHASES = 3  # before, during and after a change
DROPS_TO = 0.75  # mean quality of the arm that gets worse, or the factor of an arm that is no better than that
WINDOW = 50  # requests over which an arm's share of the traffic is taken


@dataclass(frozen=True, kw_only=True)
class Part:
    """Requests in their order: contexts ``(n, d - 1)``, quality and cost ``(n, K)`` of every arm."""

    x: Vector
    quality: Vector
    cost: Vector

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A burn-in with uniform choices among some arms, and a test under a budget.

    Arms are numbered from the cheapest to the dearest; ``newcomer`` is one that comes when the second phase begins.
    """

    burn_in: Part
    test: Part
    seed: int
    newcomer: int | None = None

    def serve(self, usd: float, learner: Learner) -> np.ndarray:
        """The arm of each request of the test; feedback at once."""
        store = MemoryStore(capacity=len(self.burn_in) + len(self.test))
        names = [str(k) for k in range(self.test.cost.shape[1])]
        arms = [name for name in names if name != str(self.newcomer)]
        settings: dict[str, Any] = {"arms": arms, "features": self.test.x.shape[1], "store": store, "seed": self.seed}
        with Router(learner=Learner(policy=Uniform()), **settings) as router:
            _route(router, self.burn_in, range(len(self.burn_in)))
        with Router(learner=learner, budgets=[Budget(usd=usd)], **settings) as router:
            phases = np.array_split(np.arange(len(self.test)), PHASES)
            chosen = _route(router, self.test, phases[0])
            if self.newcomer is not None:
                price = float(self.test.cost[:, self.newcomer].mean())
                router.add_arm(Arm(name=str(self.newcomer), expected={"cost_usd": price}))
            for phase in phases[1:]:
                chosen += _route(router, self.test, phase)
            if router.status().fallbacks:
                raise RuntimeError(f"{router.status().fallbacks} decisions fell back")
        return np.array(chosen)


def _route(router: Router, part: Part, steps: Iterable[int]) -> list[int]:
    chosen = []
    for i in steps:
        decision = router.route(part.x[i])
        k = int(decision.arm)
        router.feedback(decision.id, quality=part.quality[i, k], cost_usd=part.cost[i, k])
        chosen.append(k)
    return chosen


def pace(case: Case, usd: float) -> dict[str, float]:
    """The whole test at one budget."""
    return _figures(case.test, case.serve(usd, ThompsonSampling()), usd, range(case.test.cost.shape[1]))


def price_falls(case: Case, usd: float) -> dict[str, float]:
    """The dearest arm costs a tenth in the second phase, and what it did again in the third; nobody says so."""
    cost = case.test.cost.copy()
    cost[_phase(case, 1), -1] *= 0.1
    return _in_phases(case, usd, Part(x=case.test.x, quality=case.test.quality, cost=cost))[0]


def quality_drops(case: Case, usd: float) -> dict[str, float]:
    """The arm of middle cost gets worse in the second phase, and recovers in the third; nobody says so."""
    quality, k = case.test.quality.copy(), case.test.quality.shape[1] // 2
    mean = float(quality[:, k].mean())
    quality[_phase(case, 1), k] *= DROPS_TO / mean if mean > DROPS_TO else DROPS_TO
    figures, chosen = _in_phases(case, usd, Part(x=case.test.x, quality=quality, cost=case.test.cost))
    failed = chosen[_phase(case, 1)] == k
    return {
        **figures,
        "failed_share_before": float((chosen[_phase(case, 0)] == k).mean()),
        "failed_share_after_150": float(failed[min(150, len(failed) // 2) :].mean()),
        "requests_until_left": _until(failed, lambda share: share < 0.15),
    }


def newcomer(case: Case, usd: float) -> dict[str, float]:
    """The arm of middle cost comes when the second phase begins, at a tenth of its price, which is known."""
    k = case.test.quality.shape[1] // 2
    scale = np.where(np.arange(case.test.cost.shape[1]) == k, 0.1, 1.0)
    test = Part(x=case.test.x, quality=case.test.quality, cost=case.test.cost * scale)
    figures, chosen = _in_phases(case, usd, test, newcomer=k)
    came = chosen[len(_phase(case, 0)) :] == k
    return {**figures, "requests_until_adopted": _until(came, lambda share: share >= 0.2)}


def _phase(case: Case, number: int) -> np.ndarray:
    return np.array_split(np.arange(len(case.test)), PHASES)[number]


def _in_phases(case: Case, usd: float, test: Part, newcomer: int | None = None) -> tuple[dict[str, float], np.ndarray]:
    """Figures of every phase, and the arms that were chosen, by a learner that watches for changes."""
    changed = Case(burn_in=case.burn_in, test=test, seed=case.seed, newcomer=newcomer)
    chosen = changed.serve(usd, ThompsonSampling(drift=PageHinkley()))
    figures = {}
    for number in range(PHASES):
        at = _phase(case, number)
        part = Part(x=test.x[at], quality=test.quality[at], cost=test.cost[at])
        there = [k for k in range(test.cost.shape[1]) if number or k != newcomer]
        for name, value in _figures(part, chosen[at], usd, there).items():
            figures[f"{name}_phase_{number + 1}"] = value
    return figures, chosen


def _figures(part: Part, chosen: np.ndarray, usd: float, arms: Sequence[int]) -> dict[str, float]:
    """What was had, beside the best static mixture of two of the ``arms``."""
    at = np.arange(len(part))
    score = float(part.quality[at, chosen].mean())
    cost = part.cost.mean(axis=0)[list(arms)]
    static = float(frontier(cost, part.quality.mean(axis=0)[list(arms)]).at(max(usd, cost.min())))
    return {
        "score": score,
        "static_mix": static,
        "above_static": score - static,
        "spend_ratio": float(part.cost[at, chosen].mean()) / usd,
    }


def _until(is_it: np.ndarray, reached: Callable[[float], bool]) -> float:
    """After how many requests the share of the latest ``WINDOW`` is as wanted; all of them if it never is."""
    shares = np.convolve(is_it, np.full(WINDOW, 1.0 / WINDOW), mode="valid")
    return next((float(i + WINDOW) for i, share in enumerate(shares) if reached(share)), float(len(is_it)))


LOWER_IS_BETTER = ("spend_ratio", "requests_until", "failed_share")
CHANGES = {"price_falls": price_falls, "quality_drops": quality_drops, "newcomer": newcomer}


@command(
    default_files=["paretobandit3_val.parquet"],
    options=[click.option("--changes/--no-changes", default=True, help="Whether to run the cases of change, too.")],
)
def main(*, files: list[Path], seeds: int, changes: bool) -> list[Row]:
    """Quality and share of the budget spent: BURN_IN_FILE TEST_FILE, or one FILE that is split in halves.

    Burn-in with uniform choices and bandit feedback on the one, then one pass under a budget per request on the other,
    in an order drawn from the seed. `static_mix` is the best mixture of two arms that costs no more than the budget,
    known in hindsight from all outcomes of the very requests of the pass; `above_static` is what is gained on it.

    Then, in three phases and with a test for drift, at a tight, a moderate and a loose budget: the price of the dearest
    arm falls tenfold and returns; the arm of middle cost drops to a quality of .75, or by a quarter, and recovers; the
    arm of middle cost arrives, at a tenth of its price. The router is told only of the last.
    """
    if len(files) > 2:
        raise click.UsageError(f"{len(files)} files are given; give BURN_IN_FILE and TEST_FILE, or one to be halved")
    tables = [priced(file) for file in files]
    if {table.arms for table in tables} != {tables[0].arms}:
        raise click.UsageError("the two files do not have the same arms")
    cases = _cases(tables, seeds)
    budgets = _budgets_usd(tables[-1])
    cells = [(pace, case, usd, f"{tables[-1].name}@{usd:.1e}") for usd in budgets for case in cases]
    if changes:
        cells += [
            (change, case, usd, f"{tables[-1].name}@{usd:.1e}/{name}")
            for name, change in CHANGES.items()
            for usd in budgets[TIGHT_TO_LOOSE]
            for case in cases
        ]
    found: dict[str, dict[str, list[float]]] = {}
    with ProcessPoolExecutor() as pool:
        every = pool.map(_cell, [cell[:3] for cell in cells])
        for (*_, name), figures in zip(cells, tqdm(every, total=len(cells)), strict=True):
            for metric, value in figures.items():
                found.setdefault(name, {}).setdefault(metric, []).append(value)
    return [
        row(
            case,
            "static_mix" if metric.startswith("static_mix") else "banditroute",
            metric.replace("static_mix", "score"),
            values,
            higher_is_better=not metric.startswith(LOWER_IS_BETTER),
        )
        for case, metrics in found.items()
        for metric, values in metrics.items()
    ]


def _cell(cell: tuple[Callable[[Case, float], dict[str, float]], Case, float]) -> dict[str, float]:
    run, case, usd = cell
    return run(case, usd)


def _budgets_usd(table: OutcomeTable) -> list[float]:
    """Return the budgets per request, of two digits: those of ParetoBandit's paper on the data of that paper."""
    costs = table.outcomes["cost_usd"].mean(axis=0)
    return [float(f"{usd:.1e}") for usd in np.geomspace(costs.min(), costs.max(), BUDGETS)]


def _cases(tables: list[OutcomeTable], seeds: int) -> list[Case]:
    """One case for each seed, arms from the cheapest to the dearest."""
    by_cost = np.argsort(tables[0].outcomes["cost_usd"].mean(axis=0))
    wholes = [
        Part(
            x=TextFeatures().transform([Request(text=prompt) for prompt in table.prompts]),
            quality=table.outcomes["quality"][:, by_cost],
            cost=table.outcomes["cost_usd"][:, by_cost],
        )
        for table in tables
    ]
    cases = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        orders = [rng.permutation(len(whole)) for whole in wholes]
        if len(orders) == 1:
            orders = np.array_split(orders[0], 2)
        burn_in, test = (
            Part(x=whole.x[order], quality=whole.quality[order], cost=whole.cost[order])
            for whole, order in zip([wholes[0], wholes[-1]], orders, strict=True)
        )
        cases.append(Case(burn_in=burn_in, test=test, seed=seed))
    return cases


if __name__ == "__main__":
    main()
