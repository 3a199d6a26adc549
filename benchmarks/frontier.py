"""Quality against cost over a sweep of preferences, beside what mixing two arms by a coin reaches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from banditroute.core.request import Request
from banditroute.features import TextFeatures
from banditroute.learners import ThompsonSampling
from banditroute.logs import OutcomeTable
from banditroute.objectives import willingness_to_pay
from banditroute.simulate.expected_costs import expected_costs
from banditroute.simulate.frontier import Frontier, frontier
from banditroute.simulate.replay import Trace
from banditroute.simulate.sweep import sweep
from benchmarks import full_information
from benchmarks.harness import Row, command, priced, row  # first: it sets the BLAS threads

WARM = {"banditroute": 0, "banditroute/prices": 0, "banditroute/warm300": 300, "banditroute/prices/warm300": 300}
"""Policy -> prompts of which all outcomes are known before; ``prices`` knows the mean cost of each arm."""
DOLLARS = 10.0 ** (np.arange(-12, 1) / 3.0)
"""For a right answer: from the cheapest arm whatever its quality, to the best whatever its price."""
ENOUGH = 0.98  # of the quality of the best arm


@command(default_files=["cascades9.parquet", "routerbench3.parquet"])
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Hull, AIQ and the cost of 98% of the best arm's quality, for every FILE that knows the cost of all its arms.

    One pass for each preference and seed, cold and (`warm300`) with the outcomes of all arms known for the first 300
    prompts of each order, which are not scored; with `prices` the mean cost of every arm is known before. Figures are
    of the whole pass and of its second half. `above_static` is the quality beyond that of the best static mixture at
    the same cost, which is known in hindsight on the same requests; `hull_above_static` is the least height of one hull
    above the other, of means over seeds. `aiq` is the mean height of a hull from the cheapest to the dearest arm's
    cost, `aiq_routerbench` from 0. Where no preference reaches 98%,
    some requests go to the best arm.
    """
    rows: list[Row] = []
    for file in files:
        table = priced(file)
        x = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
        policies = {policy: warm for policy, warm in WARM.items() if len(table) > 2 * warm}
        traces: dict[str, list[list[Trace]]] = {policy: [[] for _ in DOLLARS] for policy in policies}
        with tqdm(total=len(policies) * len(DOLLARS) * seeds, desc=table.name) as progress:
            for policy, warm in policies.items():
                for k, usd in enumerate(DOLLARS):
                    preference, learners = willingness_to_pay(usd), {policy: ThompsonSampling()}
                    for trace in sweep(
                        table,
                        x,
                        learners=learners,
                        preference=preference,
                        seeds=range(seeds),
                        warm=warm,
                        expected=expected_costs(table) if "/prices" in policy else None,
                    ):
                        traces[policy][k].append(trace)
                        progress.update()
        for policy, by_dollars in traces.items():
            runs = [sorted(some, key=lambda trace: trace.seed) for some in by_dollars]
            rows += figures(table, policy, runs, "pass", 0)
            rows += figures(table, policy, runs, "second_half", len(runs[0][0].rows) // 2)
        rows += figures(table, "ridge_full", _full_information(table, x, seeds=min(seeds, 5)), "pass", 0)
        every = np.arange(len(table))
        rows += _summary(table, "static_mix", "pass", [_arms(table, every)], [every])
    return rows


def figures(table: OutcomeTable, policy: str, runs: Sequence[Sequence[Trace]], part: str, begin: int) -> list[Row]:
    """Every preference's point, and what their hull comes to; ``runs`` are preference by seed."""
    cost, quality, above = np.empty((3, len(runs), len(runs[0])))
    served = [run.rows[begin:] for run in runs[0]]
    for s, rows_served in enumerate(served):
        static = frontier(*_arms(table, rows_served))
        for k, some in enumerate(runs):
            cost[k, s] = some[s].outcome(table.outcomes["cost_usd"])[begin:].mean()
            quality[k, s] = some[s].outcome(table.outcomes["quality"])[begin:].mean()
            above[k, s] = quality[k, s] - static.at(cost[k, s])
    rows = []
    for k, usd in enumerate(DOLLARS):
        case = f"{table.name}@{usd:.1g}"
        rows.append(row(case, policy, f"cost_usd_{part}", cost[k], higher_is_better=False))
        rows.append(row(case, policy, f"score_{part}", quality[k]))
        rows.append(row(case, policy, f"above_static_{part}", above[k]))
    apart = _apart(frontier(cost.mean(axis=1), quality.mean(axis=1)), frontier(*_arms(table, np.concatenate(served))))
    rows.append(row(table.name, policy, f"hull_above_static_{part}", [apart]))
    return rows + _summary(table, policy, part, list(zip(cost.T, quality.T, strict=True)), served)


def _summary(
    table: OutcomeTable,
    policy: str,
    part: str,
    points: Sequence[tuple[np.ndarray, np.ndarray]],
    served: Sequence[np.ndarray],
) -> list[Row]:
    """AIQ and cost of 98% from the cost and quality ``(preferences,)`` of each seed on the requests it served."""
    cost, _ = _arms(table, np.arange(len(table)))
    low, high = float(cost.min()), float(cost.max())
    lines = [frontier(*pair) for pair in points]
    enough = []
    for (spent, reached), rows in zip(points, served, strict=True):
        price, single = _arms(table, rows)
        best = single.argmax()
        joined = frontier(np.append(spent, price[best]), np.append(reached, single[best]))
        enough.append(joined.cost_of(ENOUGH * single[best]))
    return [
        row(table.name, policy, f"aiq_{part}", [line.aiq(low=low, high=high) for line in lines]),
        row(table.name, policy, f"aiq_routerbench_{part}", [line.aiq(low=0.0, high=high) for line in lines]),
        row(table.name, policy, f"cost_usd_of_98_percent_{part}", enough, higher_is_better=False),
    ]


def _apart(ours: Frontier, theirs: Frontier) -> float:
    """The least height of our hull above theirs, from our cheapest cost to their dearest."""
    costs = [cost for cost in (*ours.cost, *theirs.cost) if ours.cost[0] <= cost <= theirs.cost[-1]]
    return min((ours.at(cost) - theirs.at(cost) for cost in costs), default=0.0)


def _arms(table: OutcomeTable, served: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean cost and quality of every arm on these requests."""
    return table.outcomes["cost_usd"][served].mean(axis=0), table.outcomes["quality"][served].mean(axis=0)


def _full_information(table: OutcomeTable, x: np.ndarray, *, seeds: int) -> list[list[Trace]]:
    """Ridge on the utility of each preference with all outcomes known, 5 folds."""
    every = np.arange(len(table))
    runs = []
    for usd in DOLLARS:
        value = usd * table.outcomes["quality"] - table.outcomes["cost_usd"]
        chosen = [full_information.choices(x, value, seed=s, fit=full_information.ridge)[0] for s in range(seeds)]
        runs.append([Trace(policy="ridge_full", seed=s, rows=every, chosen=c) for s, c in enumerate(chosen)])
    return runs


if __name__ == "__main__":
    main()
