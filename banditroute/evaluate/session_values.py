"""Estimates over whole sessions, whose outcome belongs to the sequence of their decisions.

With ``r_t`` the outcome that turn t adds, ``rho_t = pi(a_t | x_t) / p_t`` the ratio of the probabilities of its arm,
and ``q`` a prediction of what is still to come, the doubly robust value of a session is ``V_1`` of

``V_t = sum_a pi(a | x_t) q(x_t, a) + rho_t (r_t + V_{t+1} - q(x_t, a_t))``, with ``V = 0`` after its last turn.

Its mean is the policy's value whatever ``q`` is. Dollars, joules, seconds and tokens add up over the turns. Any other
outcome, such as quality, is that of the whole session: it comes with the last turn. A session's weight is the product
of its ratios. Products are soon very uneven, so that few sessions carry an estimate for a policy that differs at many
turns; their effective number says how many.

Source: Jiang and Li 2016, "Doubly robust off-policy value evaluation for reinforcement learning", equation 10.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.evaluate.diagnostics import Diagnostics, diagnose
from banditroute.evaluate.estimators import snips
from banditroute.evaluate.evaluation import Comparison
from banditroute.evaluate.reward_model import Design, cross_fit
from banditroute.evaluate.rows import some_rows
from banditroute.evaluate.target_policy import TargetPolicy, expected
from banditroute.evaluate.uncertainty import OutcomeRange, Terms, interval
from banditroute.statistics.intervals import Interval, bootstrap_interval

if TYPE_CHECKING:
    from banditroute.logs import DecisionLog

SUMMED = ("cost_usd", "energy_joules", "latency_seconds", "output_tokens", "cached_tokens")
"""Outcomes of a session that are the sum of its turns'; any other is that of its last decision that has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """The sessions of a log's n rows, S in number.

    Attributes
    ----------
    session : (n,)
        Number of the session of each row; a row without one is a session of its own.
    number : (n,)
        Number of the turn of each row in its session, from 0.
    first, last : (S,)
        Rows of the first and of the last turn of each session.
    following : (n,)
        Row of the next turn; -1 after the last one.
    """

    session: NDArray[np.intp]
    number: NDArray[np.intp]
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    following: NDArray[np.intp]

    @classmethod
    def of(cls, session: NDArray[np.intp], decided_at: Vector) -> Turns:
        """Return the sessions of rows with these numbers, in the order of time, or of the log where it is not known."""
        n = len(session)
        time = np.zeros(n) if np.isnan(decided_at).any() else decided_at
        order = np.lexsort((np.arange(n), time, session))
        begins = np.flatnonzero(np.diff(session[order], prepend=-1))
        ends = np.append(begins[1:], n) - 1
        number, following = np.empty(n, dtype=np.intp), np.full(n, -1)
        number[order] = np.arange(n) - np.repeat(begins, np.diff(np.append(begins, n)))
        following[order[:-1]] = np.where(number[order[1:]] > 0, order[1:], -1)
        return cls(session=session, number=number, first=order[begins], last=order[ends], following=following)

    def rounds(self) -> Iterator[NDArray[np.intp]]:
        """Yield the rows of all first turns, then of all second ones, and so on."""
        order = np.argsort(self.number, kind="stable")
        yield from np.split(order, np.cumsum(np.bincount(self.number))[:-1])

    def before(self, ratios: Vector) -> Vector:
        """Return the product of the ratios of the turns before each row ``(n,)``."""
        products = np.ones(len(ratios))
        for rows in self.rounds():
            rows = rows[self.following[rows] >= 0]
            products[self.following[rows]] = products[rows] * ratios[rows]
        return products


def doubly_robust(turns: Turns, rewards: Vector, ratios: Vector, logged: Vector, under: Vector) -> Vector:
    """Return the value of each session under a policy ``(S,)``.

    Parameters
    ----------
    turns
        The sessions.
    rewards
        Outcome that each turn adds ``(n,)``.
    ratios
        Probability of the logged arm under the policy, as a ratio to its propensity ``(n,)``.
    logged, under
        Predictions of what is still to come from each turn on: with its logged arm, and under the policy ``(n,)``.

    Examples
    --------
    >>> turns = Turns.of(np.array([0, 0]), np.array([0.0, 1.0]))
    >>> doubly_robust(turns, np.array([0.0, 1.0]), np.array([2.0, 0.5]), np.array([0.6, 0.8]), np.array([0.5, 0.7]))
    array([0.9])
    """
    values = np.zeros(len(rewards) + 1)  # the last one: after the last turn
    for rows in reversed(list(turns.rounds())):
        later = values[turns.following[rows]]
        values[rows] = under[rows] + ratios[rows] * (rewards[rows] + later - logged[rows])
    return values[turns.first]


def session_outcomes(log: DecisionLog, session: NDArray[np.intp]) -> dict[str, Vector]:
    """Return the outcomes of :func:`rewards_of`, by the number of each row's session ``(n,)``."""
    turns = Turns.of(np.unique(session, return_inverse=True)[1], log.decided_at)
    return rewards_of({name: each for name, each in log.outcomes.items() if " " not in name}, turns)


def rewards_of(outcomes: Mapping[str, Vector], turns: Turns) -> dict[str, Vector]:
    """Return the outcomes that each turn adds ``(n,)``; NaN in all turns of a session whose outcome is not known.

    Examples
    --------
    >>> turns = Turns.of(np.array([0, 0, 1]), np.arange(3.0))
    >>> found = rewards_of({"quality": np.array([1.0, np.nan, 0.5]), "cost_usd": np.array([0.1, 0.2, np.nan])}, turns)
    >>> found["quality"], found["cost_usd"]
    (array([0. , 1. , 0.5]), array([0.1, 0.2, nan]))
    """
    return {name: _summed(each, turns) if name in SUMMED else _last(each, turns) for name, each in outcomes.items()}


def _summed(values: Vector, turns: Turns) -> Vector:
    unknown = np.bincount(turns.session, weights=np.isnan(values)) > 0.0
    return np.where(unknown[turns.session], np.nan, values)


def _last(values: Vector, turns: Turns) -> Vector:
    latest = np.full(len(turns.first), np.nan)
    for rows in turns.rounds():
        rows = rows[~np.isnan(values[rows])]
        latest[turns.session[rows]] = values[rows]
    rewards = np.where(np.isnan(latest)[turns.session], np.nan, 0.0)
    rewards[turns.last] = latest
    return rewards


def compare_sessions(
    log: DecisionLog,
    session: NDArray[np.intp],
    policies: tuple[TargetPolicy, TargetPolicy],
    outcomes: Sequence[tuple[Vector, OutcomeRange]],
    seed: int,
) -> list[Comparison]:
    """Compare two policies by the outcomes that turns add; each outcome by the sessions where it is known.

    Parameters
    ----------
    log, session
        Decisions with propensities, and the number of the session of each.
    policies
        On these rows; neither is a replay.
    outcomes
        Values of :func:`rewards_of`, each with the range of a session's outcome.
    """
    return [_compared(log, session, policies, rewards, range_, seed) for rewards, range_ in outcomes]


def _compared(
    log: DecisionLog,
    session: NDArray[np.intp],
    policies: tuple[TargetPolicy, TargetPolicy],
    rewards: Vector,
    range_: OutcomeRange,
    seed: int,
) -> Comparison:
    rows = np.flatnonzero(~np.isnan(rewards))
    log, rewards = some_rows(log, rows), rewards[rows]
    first, second = (each.take(rows) for each in policies)
    turns = Turns.of(np.unique(session[rows], return_inverse=True)[1], log.decided_at)
    found = _diagnose(log, turns, first)
    found = replace(found, refusals=found.refusals + _diagnose(log, turns, second).refusals)
    if found.refusals:
        return Comparison(
            value=None,
            against=None,
            difference=None,
            anytime=None,
            anytime_is_asymptotic=False,
            estimates={},
            diagnostics=found,
        )
    totals: Vector = np.bincount(turns.session, weights=rewards).astype(np.float64)
    still_to_come = rewards.copy()
    for some in reversed(list(turns.rounds())):
        some = some[turns.following[some] >= 0]
        still_to_come[some] += still_to_come[turns.following[some]]
    x = np.zeros((len(log), 0)) if log.contexts is None else log.contexts
    model = cross_fit(
        Design.of(np.column_stack([turns.number, x])),
        log.chosen,
        still_to_come[:, None],
        arms=len(log.arms),
        clusters=turns.session,
        seed=seed,
    )
    (logged,), under = expected(model, log.chosen, (first, second))

    def terms(policy: TargetPolicy, predicted: Vector | None) -> Terms:
        if predicted is None:
            return Terms(values=totals, slopes=np.ones(len(totals)))
        values = doubly_robust(turns, rewards, policy.weights, logged, predicted[0])
        return Terms(values=values, slopes=_products(turns, policy))

    def bounds(terms: Terms, *, difference: bool = False) -> Interval:
        if not range_.bounded:
            return bootstrap_interval(terms.values, seed=seed)
        return interval(
            terms,
            outcomes=totals,
            chosen=log.chosen[turns.last],
            observed=np.ones(len(totals), dtype=bool),
            range_=range_,
            clusters=None,
            seed=seed,
            difference=difference,
        )

    value, against = (terms(each, predicted) for each, predicted in zip((first, second), under, strict=True))
    products = _products(turns, first)
    weighted = Terms(values=snips(totals, products), slopes=products / products.mean())
    return Comparison(
        value=bounds(value),
        against=bounds(against),
        difference=bounds(value - against, difference=True),
        anytime=None,
        anytime_is_asymptotic=False,
        estimates={} if first.target is None else {"DR": bounds(value), "SNIPS": bounds(weighted)},
        diagnostics=found,
    )


def _products(turns: Turns, policy: TargetPolicy) -> Vector:
    """Return the weight of each session ``(S,)``."""
    return (turns.before(policy.weights) * policy.weights)[turns.last]


def _diagnose(log: DecisionLog, turns: Turns, policy: TargetPolicy) -> Diagnostics:
    """Judge whether the sessions suffice; only turns that the policy reaches need a chance."""
    target = np.zeros((len(log), len(log.arms)))
    if policy.target is not None:
        target[:] = np.where(turns.before(policy.weights)[:, None] > 0.0, policy.target, 0.0)
    weights = _products(turns, policy)
    return diagnose(weights, log.chosen, target, probabilities=log.probabilities, unit="session")
