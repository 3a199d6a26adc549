"""Results of replays: means with intervals over seeds, regret, and references that need no learning.

Where arms are adapters that have to be paged in, the seconds that a request waits for a load count as
``latency_seconds``, at the preference's weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.logs import OutcomeTable
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import merge_objectives
from banditroute.simulate.conditions import Conditions
from banditroute.simulate.replay import Trace

_AS_LOGGED = Conditions.as_logged()


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
    """Return mean, standard deviation, worst and 95% interval over seeds.

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


def utilities(table: OutcomeTable, preference: Preference, *, objectives: Sequence[Objective] = ()) -> Vector:
    """Return the utility of every arm for every prompt ``(n, K)``; an unknown objective counts as 0.

    Examples
    --------
    >>> table = OutcomeTable(name="toy", prompts=("a",), tasks=("",), arms=("x", "y"), outcomes={
    ...     "quality": np.array([[0.5, 1.0]]), "cost_usd": np.array([[0.0, 0.01]])})
    >>> utilities(table, Preference(quality=1.0, cost_usd=20.0))
    array([[0.5, 0.8]])
    """
    known = merge_objectives(objectives)
    total = np.zeros((len(table), len(table.arms)))
    for name, weight in preference.items():
        if name in table.outcomes:
            total += weight * known[name].sign * np.nan_to_num(table.outcomes[name])
    return total


def gained(trace: Trace, utilities: Vector, preference: Preference) -> Vector:
    """Return the utility at each step ``(n,)`` from ``utilities (n, K)``, less the utility of waiting for adapters."""
    had = trace.outcome(utilities)
    if trace.paged_seconds is None:
        return had
    return had - preference.get("latency_seconds", 0.0) * trace.paged_seconds


def static_mixture(table: OutcomeTable, *, cost_usd: float) -> dict[str, float]:
    """Return the mixture of two arms with the highest mean quality at a mean cost up to ``cost_usd``: arm -> share.

    It ignores the prompt: what a coin and a price list reach. Where every arm costs more, the cheapest.

    Examples
    --------
    >>> table = OutcomeTable(name="toy", prompts=("a",), tasks=("",), arms=("cheap", "costly"), outcomes={
    ...     "quality": np.array([[0.5, 1.0]]), "cost_usd": np.array([[0.0, 0.01]])})
    >>> static_mixture(table, cost_usd=0.004)
    {'cheap': 0.6, 'costly': 0.4}
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
        Objective -> mean per request; only of what is known of every arm wherever it could be chosen. Where adapters
        are paged, also ``paged_seconds`` and ``hit_rate``, the share of an adapter's requests that found it resident.
    utility
        Mean utility per request.
    regret
        Utility lost over the whole pass against always choosing the arm that is best on this table, or the next best
        where it is not there (Kleinberg, Niculescu-Mizil and Sharma 2010, "Regret bounds for sleeping experts and
        bandits"); negative: gained.
    shares
        Arm -> share of the requests.
    """

    policy: str
    objectives: Mapping[str, Estimate]
    utility: Estimate
    regret: Estimate
    shares: Mapping[str, float]


def summarize(
    table: OutcomeTable,
    preference: Preference,
    policy: str,
    traces: Sequence[Trace],
    *,
    objectives: Sequence[Objective] = (),
    conditions: Conditions = _AS_LOGGED,
) -> Row:
    """Return the row of a policy that was replayed under several seeds, in these ``conditions``."""
    every, passes = np.eye(len(table.arms)), []
    for trace in traces:
        waited = np.zeros(len(trace.rows)) if trace.paged_seconds is None else trace.paged_seconds
        met, shares = conditions.met(table, trace.rows), every[trace.chosen]
        passes.append(_Pass(met, shares, waited, float((waited > 0.0).sum())))
    return _row(preference, policy, passes, conditions, objectives)


def fixed_choice(table: OutcomeTable, policy: str, chosen: NDArray[np.intp] | Sequence[int]) -> Trace:
    """Return the trace of a reference that chooses ``chosen[i]`` for row i in any order, such as a single arm."""
    rows = np.arange(len(table))
    return Trace(
        policy=policy, seed=0, rows=rows, chosen=np.broadcast_to(np.asarray(chosen, dtype=np.intp), rows.shape)
    )


def mixture(
    table: OutcomeTable,
    preference: Preference,
    policy: str,
    shares: Mapping[str, float],
    *,
    objectives: Sequence[Objective] = (),
    conditions: Conditions = _AS_LOGGED,
    orders: Sequence[NDArray[np.intp]] = (),
) -> Row:
    """Return the row of a static mixture of arms; where some are not available, of those that are.

    ``orders`` are as in :func:`references`.
    """
    wanted = np.array([shares.get(arm, 0.0) for arm in table.arms])
    passes = []
    for met in _passes(table, conditions, orders):
        there = ~np.isnan(met.outcomes["quality"])
        weights = there * np.where((there @ wanted > 0.0)[:, None], wanted, 1.0)
        passes.append(_unaware(met, weights / weights.sum(axis=1, keepdims=True), conditions))
    return _row(preference, policy, passes, conditions, objectives)


def references(
    table: OutcomeTable,
    preference: Preference,
    *,
    objectives: Sequence[Objective] = (),
    conditions: Conditions = _AS_LOGGED,
    orders: Sequence[NDArray[np.intp]] = (),
) -> list[Row]:
    """Return rows of every arm that is always available, of the best arm of each task, and of the per-query oracle.

    Where adapters are paged, single arms and the best of each task pay what
    :meth:`AdapterSlots.misses` says: a single arm pays one load. The oracle has all adapters resident.

    Parameters
    ----------
    orders
        The rows of each pass, as traces have them: where ``conditions`` change, what could be had depends on it.
        Empty: one pass in the order of the table.
    """
    passes = _passes(table, conditions, orders)
    worths = [_worth(met, preference, objectives) for met in passes]
    every = np.eye(len(table.arms))
    shares = {
        f"always {arm}": [np.broadcast_to(every[k], worth.shape) for worth in worths]
        for k, arm in enumerate(table.arms)
        if not any(np.isnan(worth[:, k]).any() for worth in worths)
    }
    if len(set(table.tasks)) > 1:
        shares["best arm per task"] = []
        for met, worth in zip(passes, worths, strict=True):
            tasks = np.array(met.tasks)
            best = np.empty(len(met), dtype=np.intp)
            for task in np.unique(tasks):
                best[tasks == task] = _first_there(worth[tasks == task])
            shares["best arm per task"].append(every[best])
    rows = [
        _row(
            preference,
            policy,
            [_unaware(met, some, conditions) for met, some in zip(passes, each, strict=True)],
            conditions,
            objectives,
        )
        for policy, each in shares.items()
    ]
    oracle = [_Pass(met, every[np.nanargmax(worth, axis=1)]) for met, worth in zip(passes, worths, strict=True)]
    return [*rows, _row(preference, "oracle per query", oracle, conditions, objectives)]


def _passes(table: OutcomeTable, conditions: Conditions, orders: Sequence[NDArray[np.intp]]) -> list[OutcomeTable]:
    return [conditions.met(table, rows) for rows in orders or [np.arange(len(table))]]


def _worth(met: OutcomeTable, preference: Preference, objectives: Sequence[Objective]) -> Vector:
    """Return the utility of every arm at each request; NaN where it could not be chosen."""
    return np.where(np.isnan(met.outcomes["quality"]), np.nan, utilities(met, preference, objectives=objectives))


def _first_there(worth: Vector) -> NDArray[np.intp]:
    """Return the arm that is best on average at each request, of those that could be chosen."""
    known = ~np.isnan(worth)
    mean = np.where(known, worth, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    first: NDArray[np.intp] = np.where(known, mean, -np.inf).argmax(axis=1)
    return first


class _Pass(NamedTuple):
    """The share of each arm at each request ``(n, K)``, what it met there, and what it waited for adapters."""

    met: OutcomeTable
    shares: Vector
    waited: Vector | float = 0.0
    misses: float = 0.0

    def utility(self, preference: Preference, objectives: Sequence[Objective]) -> float:
        """Return the utility of each request."""
        waited = preference.get("latency_seconds", 0.0) * np.mean(self.waited)
        return _had(_worth(self.met, preference, objectives), self.shares) - float(waited)


def _unaware(met: OutcomeTable, shares: Vector, conditions: Conditions) -> _Pass:
    """Return a pass that asks for arms without regard to what is resident."""
    if conditions.paging is None:
        return _Pass(met, shares)
    missed = conditions.paging.misses(shares, met.arms)
    return _Pass(met, shares, missed @ conditions.paging.seconds(met.arms), float(missed.sum()))


def _row(
    preference: Preference,
    policy: str,
    passes: Sequence[_Pass],
    conditions: Conditions,
    objectives: Sequence[Objective],
) -> Row:
    met = passes[0].met
    every = np.eye(len(met.arms))
    signs = {name: objective.sign for name, objective in merge_objectives(objectives).items()}
    had = np.array([each.utility(preference, objectives) for each in passes])
    best = [
        _unaware(each.met, every[_first_there(_worth(each.met, preference, objectives))], conditions).utility(
            preference, objectives
        )
        for each in passes
    ]
    means = {
        name: estimate(
            [_had(each.met.outcomes[name], each.shares) for each in passes],
            higher_is_better=signs.get(name, 1.0) > 0.0,
        )
        for name in met.outcomes
        if not any(np.isnan(each.met.outcomes[name][~np.isnan(each.met.outcomes["quality"])]).any() for each in passes)
    }
    if conditions.paging is not None:
        adapters = conditions.paging.seconds(met.arms) > 0.0
        hits = [1.0 - each.misses / (float(each.shares[:, adapters].sum()) or 1.0) for each in passes]
        waited = [float(np.mean(each.waited)) for each in passes]
        means |= {"hit_rate": estimate(hits), "paged_seconds": estimate(waited, higher_is_better=False)}
    return Row(
        policy=policy,
        objectives=means,
        utility=estimate(had),
        regret=estimate((np.array(best) - had) * len(met), higher_is_better=False),
        shares=dict(
            zip(met.arms, np.mean([each.shares.mean(axis=0) for each in passes], axis=0).tolist(), strict=True)
        ),
    )


def _had(values: Vector, shares: Vector) -> float:
    return float(np.where(shares > 0.0, shares * values, 0.0).sum(axis=1).mean())
