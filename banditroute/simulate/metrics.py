"""What a replay was worth: means with intervals over seeds, regret, and the references that need no learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from banditroute.rewards.utility import table as objective_table
from banditroute.simulate.logs import OutcomeTable
from banditroute.simulate.replay import Trace
from banditroute.types import Preference, Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over seeds.

    Attributes
    ----------
    mean, std, worst
        Over the n seeds; ``worst`` is the least of what is better when higher, the largest of a regret or a cost.
    half_width
        Half of the 95% Student-t interval of the mean; 0 for what does not depend on a seed.
    n
        Number of seeds.
    """

    mean: float
    std: float
    worst: float
    half_width: float
    n: int


def estimate(values: Sequence[float] | Vector, *, higher_is_better: bool = True) -> Estimate:
    """Mean, spread, worst and 95% interval over seeds.

    Examples
    --------
    >>> estimate([1.0, 2.0, 3.0]).half_width  # t(.975, 2) = 4.303; 4.303 x 1 / sqrt(3)
    2.484...
    """
    data = np.asarray(values, dtype=np.float64)
    n = len(data)
    std = float(data.std(ddof=1)) if n > 1 else 0.0
    half = float(stdtrit(n - 1, 0.975) * std / np.sqrt(n)) if n > 1 else 0.0
    worst = float(data.min() if higher_is_better else data.max())
    return Estimate(mean=float(data.mean()), std=std, worst=worst, half_width=half, n=n)


def utilities(table: OutcomeTable, prefer: Preference) -> Vector:
    """Utility of every arm for every prompt ``(n, K)``; an objective that is not known counts as 0.

    Examples
    --------
    >>> table = OutcomeTable(name="toy", prompts=("a",), tasks=("",), arms=("x", "y"), outcomes={
    ...     "quality": np.array([[0.5, 1.0]]), "cost_usd": np.array([[0.0, 0.01]])})
    >>> utilities(table, Preference(quality=1.0, cost_usd=20.0))
    array([[0.5, 0.8]])
    """
    known = objective_table([])
    total = np.zeros((len(table), len(table.arms)))
    for name, weight in prefer.items():
        if name in table.outcomes:
            total += weight * known[name].sign * np.nan_to_num(table.outcomes[name])
    return total


def static_mixture(table: OutcomeTable, *, cost_usd: float) -> dict[str, float]:
    """The mixture of two arms with the highest mean quality at a mean cost of at most ``cost_usd``, as arm -> share.

    It ignores the prompt: what a coin and a price list reach. Where every arm costs more, the cheapest.

    Examples
    --------
    >>> table = OutcomeTable(name="toy", prompts=("a",), tasks=("",), arms=("cheap", "dear"), outcomes={
    ...     "quality": np.array([[0.5, 1.0]]), "cost_usd": np.array([[0.0, 0.01]])})
    >>> static_mixture(table, cost_usd=0.004)
    {'cheap': 0.6, 'dear': 0.4}
    """
    quality = table.outcomes["quality"].mean(axis=0)
    cost = np.nanmean(table.outcomes["cost_usd"], axis=0)
    best = {table.arms[int(cost.argmin())]: 1.0}
    reached = -1.0
    for a in range(len(table.arms)):
        for b in range(len(table.arms)):
            if cost[a] > cost_usd or quality[a] > quality[b]:
                continue
            share = 1.0 if cost[b] <= cost_usd else (cost_usd - cost[a]) / (cost[b] - cost[a])
            value = (1.0 - share) * quality[a] + share * quality[b]
            if value > reached:
                reached = value
                best = (
                    {table.arms[a]: float(1.0 - share), table.arms[b]: float(share)} if a != b else {table.arms[a]: 1.0}
                )
    return {arm: share for arm, share in best.items() if share > 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One policy's line of a report.

    Attributes
    ----------
    policy
        Its name.
    objectives
        Objective -> mean per request; only of what is known of every arm for every prompt.
    utility
        Mean utility per request.
    regret
        Utility lost over the whole pass against always choosing the arm that is best on this table; negative: gained.
    shares
        Arm -> share of the requests.
    """

    policy: str
    objectives: Mapping[str, Estimate]
    utility: Estimate
    regret: Estimate
    shares: Mapping[str, float]


def summarize(table: OutcomeTable, prefer: Preference, policy: str, traces: Sequence[Trace]) -> Row:
    """The line of a policy that was replayed under several seeds."""
    value = utilities(table, prefer)
    best = float(value.mean(axis=0).max())
    had = np.array([trace.outcome(value).mean() for trace in traces])
    counts = np.mean([np.bincount(trace.chosen, minlength=len(table.arms)) for trace in traces], axis=0)
    lower = {name: not objective.higher_is_better for name, objective in objective_table([]).items()}
    return Row(
        policy=policy,
        objectives={
            name: estimate([float(trace.outcome(values).mean()) for trace in traces], higher_is_better=not lower[name])
            for name, values in table.outcomes.items()
            if not np.isnan(values).any()
        },
        utility=estimate(had),
        regret=estimate((best - had) * len(table), higher_is_better=False),
        shares=dict(zip(table.arms, (counts / len(table)).tolist(), strict=True)),
    )


def fixed_choice(table: OutcomeTable, policy: str, chosen: NDArray[np.intp] | Sequence[int]) -> Trace:
    """The trace of a reference that chooses ``chosen[i]`` for row i whatever the order: a single arm, the oracle."""
    rows = np.arange(len(table))
    return Trace(
        policy=policy, seed=0, rows=rows, chosen=np.broadcast_to(np.asarray(chosen, dtype=np.intp), rows.shape)
    )


def references(table: OutcomeTable, prefer: Preference) -> list[Row]:
    """Every single arm, the best arm of each task, and the per-query oracle."""
    value = utilities(table, prefer)
    rows = [
        summarize(table, prefer, f"always {arm}", [fixed_choice(table, arm, [k])]) for k, arm in enumerate(table.arms)
    ]
    tasks = np.array(table.tasks)
    per_task = np.zeros(len(table), dtype=np.intp)
    for task in np.unique(tasks):
        per_task[tasks == task] = value[tasks == task].mean(axis=0).argmax()
    if len(np.unique(tasks)) > 1:
        rows.append(summarize(table, prefer, "best arm per task", [fixed_choice(table, "task", per_task)]))
    rows.append(summarize(table, prefer, "oracle per query", [fixed_choice(table, "oracle", value.argmax(axis=1))]))
    return rows
