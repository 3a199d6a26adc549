"""Replay of a learner that learns: by rejection sampling, frozen after a part of the log, or alongside the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError
from banditroute.learners import Learner
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import PreferenceLike
from banditroute.policies.base import LearningPolicy
from banditroute.router import Router
from banditroute.router.assembly import parts_of
from banditroute.simulate.replay import chosen_by_policy
from banditroute.store.base import OutcomeEvent
from banditroute.store.memory import MemoryStore

if TYPE_CHECKING:
    from banditroute.logs import DecisionLog


def replay_by_rejection(
    log: DecisionLog,
    *,
    learner: Learner,
    preference: PreferenceLike,
    objectives: Sequence[Objective] = (),
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Return which logged decisions a learner would have made too ``(n,)``; it learns from each of them.

    A row is kept with probability ``p_min / propensity``, which leaves every arm the same chance ``p_min``; the router
    then decides, and the row is accepted where it chose the logged arm. What is accepted, in its order, is a history as
    the learner would have had it online: of ``n p_min`` rows on average, whatever it learns.

    The router's clock stands still over rows that are not accepted, yet it counts its decisions there: a belief that
    forgets is to do so by time (``half_life_seconds``).

    Source: Li, Chu, Langford and Wang 2011, "Unbiased offline evaluation of contextual-bandit-based news article
    recommendation algorithms", algorithm 2; Dudik, Erhan, Langford and Li 2012, "Sample-efficient nonstationary policy
    evaluation for contextual bandits", for propensities that differ.

    Parameters
    ----------
    log
        With a propensity in every row.
    learner, preference, objectives
        What to replay, as of :class:`banditroute.Router`.
    seed
        Of what is kept and chosen.

    Raises
    ------
    InvalidInputError
        If a row has no propensity, or the policy raises or returns no distribution.
    """
    if log.propensities is None or np.isnan(log.propensities).any():
        raise InvalidInputError("a replay needs the propensity of every row; leave out those without")
    rng = _generator(seed)
    least = log.propensities.min()
    if log.probabilities is not None:
        least = np.nanmin(np.append(log.probabilities[log.eligible], least))
    accepted = np.zeros(len(log), dtype=np.bool_)
    among = _eligible(log)
    x = _features(log)
    now = 0.0
    with _router(log, learner, preference, objectives, seed=rng, clock=lambda: now) as router:
        for i in np.flatnonzero(rng.random(len(log)) <= least / log.propensities).tolist():
            decision = chosen_by_policy(router.route(x[i], arms=among[i]))
            if decision.arm == log.arms[log.chosen[i]]:
                accepted[i] = True
                now += 1.0
                if outcome := _outcome(log, i):
                    router.feedback(decision.id, **outcome)
    return accepted


def frozen(
    log: DecisionLog,
    *,
    learner: Learner,
    preference: PreferenceLike,
    objectives: Sequence[Objective] = (),
    taught: int,
    seed: int = 0,
) -> Vector:
    """Return the probabilities ``(n - taught, K)`` of a learner that learned from the first rows only.

    Parameters
    ----------
    log, learner, preference, objectives
        See :func:`replay_by_rejection`.
    taught
        How many rows, the first, it learns from, at least 1; the others judge it.
    seed
        Seed of a policy that draws samples.

    Raises
    ------
    InvalidInputError
        If the policy raises or returns no distribution.
    """
    x = _features(log)
    among = _eligible(log)
    column = {arm: k for k, arm in enumerate(log.arms)}
    target = np.zeros((len(log) - taught, len(log.arms)))
    with _router(log, learner, preference, objectives, seed=_generator(seed)) as router:
        router.warm_start((x[i], {log.arms[log.chosen[i]]: _outcome(log, i)}) for i in range(taught))
        for i in range(taught, len(log)):
            decision = chosen_by_policy(router.route(x[i], arms=among[i]))
            target[i - taught, [column[arm] for arm in decision.arms]] = decision.probabilities
    return target


def alongside(
    log: DecisionLog,
    *,
    learner: Learner,
    preference: PreferenceLike,
    objectives: Sequence[Objective] = (),
    seed: int = 0,
) -> Vector:
    """Return the probabilities ``(n, K)`` of a learner that learns from every row after it is asked about it.

    It learns what the logged choices bring, as a challenger does (``Router(challenger=...)``). Limits, budgets, shares
    and the guard of the router that wrote the log do not bind it.

    Parameters
    ----------
    log, learner, preference, objectives
        See :func:`replay_by_rejection`; the log needs no propensities.
    seed
        Seed of a policy that draws samples.

    Raises
    ------
    InvalidInputError
        If the policy learns by its own choices, raises, or returns no distribution.
    """
    if isinstance(learner.policy, LearningPolicy):
        raise InvalidInputError(
            f"the policy {type(learner.policy).__name__} learns by its own choices, and the log has those of another; "
            "judge it by replay (learning=True)"
        )
    x = _features(log)
    among = _eligible(log)
    column = {arm: k for k, arm in enumerate(log.arms)}
    target = np.zeros((len(log), len(log.arms)))
    with _router(log, learner, preference, objectives, seed=_generator(seed)) as router:
        engine = parts_of(router).engine
        for i in range(len(log)):
            decision = chosen_by_policy(router.route(x[i], arms=among[i]))
            target[i, [column[arm] for arm in decision.arms]] = decision.probabilities
            if outcome := _outcome(log, i):
                assert decision.x is not None
                engine.learn(
                    OutcomeEvent(
                        arm=log.arms[log.chosen[i]],
                        x=decision.x,
                        values=outcome,
                        decided_at=decision.decided_at,
                        ordinal=decision.ordinal,
                    )
                )
    return target


def _features(log: DecisionLog) -> Vector:
    """Return the contexts ``(n, d - 1)`` without the bias, 0 where they are not known."""
    return np.zeros((len(log), 0)) if log.contexts is None else np.nan_to_num(log.contexts[:, :-1])


def _eligible(log: DecisionLog) -> list[list[str] | None]:
    """Return the names of the arms that each row could choose; None for all."""
    return [None if row.all() else [log.arms[k] for k in np.flatnonzero(row)] for row in log.eligible]


def _generator(seed: int) -> np.random.Generator:
    """Return random numbers that differ from those of a log which was made with the same seed."""
    return np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])


def _outcome(log: DecisionLog, i: int) -> dict[str, Any]:
    """Return the outcomes that were observed of a row."""
    return {name: float(values[i]) for name, values in log.outcomes.items() if not np.isnan(values[i])}


def _router(
    log: DecisionLog, learner: Learner, preference: PreferenceLike, objectives: Sequence[Objective], **options: Any
) -> Router:
    """Return a router over the log's arms and contexts."""
    return Router(
        arms=log.arms,
        features=0 if log.contexts is None else log.contexts.shape[1] - 1,
        learner=learner,
        preference=preference,
        objectives=objectives,
        store=MemoryStore(capacity=1),
        **options,
    )
