"""Declare one arm the best, overall or for each task, with a bound on ever being wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.core.validation import number
from banditroute.errors import InvalidInputError
from banditroute.evaluate.anytime import anytime_bounds
from banditroute.evaluate.contexts import Features, with_contexts
from banditroute.evaluate.reward_model import Design
from banditroute.evaluate.rows import some_rows
from banditroute.evaluate.target_policy import TargetPolicy, always
from banditroute.evaluate.uncertainty import OutcomeRange
from banditroute.evaluate.utility import utility_of
from banditroute.evaluate.weights import importance_weights
from banditroute.logs import DecisionLog, read_log
from banditroute.objectives.objective import Objective

_MIN_ROWS = 2  # below, there is nothing to bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """The answer whether one arm can be declared best; made by :func:`winner`.

    Attributes
    ----------
    arm
        The best arm, or one within ``epsilon`` of the best; None if none can be declared yet.
    leader
        The arm that leads by its lower bounds, declared or not.
    lead
        Lower bound of the leader's utility minus that of its closest rival.
    decisions
        Number of decisions that were used.
    by_task
        Task -> the same for its decisions; empty unless asked for.
    """

    arm: str | None
    leader: str
    lead: float
    decisions: int
    by_task: Mapping[str, Winner] = field(default_factory=dict)

    def __str__(self) -> str:
        said = f"{self.arm} can be declared best" if self.arm else "no arm can be declared best yet"
        lines = [
            f"After {self.decisions:,} decisions {said}: {self.leader} leads each other arm by {self.lead:.3g} or more."
        ]
        return "\n".join([*lines, *(f"{task}: {each}" for task, each in self.by_task.items())])


def winner(
    log: DecisionLog | Any,
    *,
    delta: float = 0.05,
    epsilon: float = 0.0,
    per: Literal["task"] | None = None,
    preference: Preference | None = None,
    objectives: Sequence[Objective] = (),
    features: Features = "auto",
) -> Winner:
    """Return the best arm, if the log shows it.

    An arm is declared if it leads each rival by more than ``-epsilon``, by bounds that hold at all times. So one may
    look after every decision and stop at the first winner: with probability ``1 - delta`` it is never one that is worse
    than the best arm by more than ``epsilon``. Each of K - 1 rivals gets an equal part of ``delta``, each task too.

    Source: Howard and Ramdas 2022, "Sequential estimation of quantiles with applications to A/B testing and best-arm
    identification" (stopping by confidence sequences); the sequences are those of :func:`evaluate`.

    Parameters
    ----------
    log
        Decisions with propensities, or anything that :func:`banditroute.logs.read_log` reads.
    delta
        The probability of ever declaring a wrong arm, in (0, 1).
    epsilon
        A loss of utility that does not matter, at least 0.
    per
        ``"task"``: also for each task of the log.
    preference, objectives, features
        As in :func:`evaluate`.

    Raises
    ------
    InvalidInputError
        If the log has no propensities, no decision with a known utility, fewer than 2 arms, or no tasks where they are
        asked for; if an objective or a setting is unknown.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> chosen = rng.integers(2, size=2000)
    >>> log = DecisionLog(
    ...     arms=("large", "small"),
    ...     chosen=chosen,
    ...     eligible=np.ones((2000, 2), dtype=bool),
    ...     propensities=np.full(2000, 0.5),
    ...     probabilities=np.full((2000, 2), 0.5),
    ...     outcomes={"quality": (rng.random(2000) < np.where(chosen == 0, 0.9, 0.6)).astype(float)},
    ...     decided_at=np.arange(2000.0),
    ... )
    >>> winner(log).arm
    'large'
    """
    log = log if isinstance(log, DecisionLog) else read_log(log)
    delta = number(delta, name="delta", low=1e-12, high=1.0 - 1e-12)
    epsilon = number(epsilon, name="epsilon", low=0.0)
    if per not in (None, "task"):
        raise InvalidInputError(f"unknown per {per!r:.80}; known: 'task', or None for all decisions together")
    if len(log.arms) < 2 or log.propensities is None:
        raise InvalidInputError("a winner needs at least 2 arms, and the propensity of every choice; record them")
    if per and log.tasks is None:
        raise InvalidInputError("the log names no task; record tasks, or leave out per")
    tasks = log.tasks
    log, _ = with_contexts(log, features)
    worth, range_ = utility_of(log, preference, objectives)
    propensities = np.asarray(log.propensities, dtype=np.float64)
    rows = np.flatnonzero(~np.isnan(worth) & ~np.isnan(propensities))
    found = _of_rows(some_rows(log, rows), worth[rows], range_, delta, epsilon)
    if not per:
        return found
    assert tasks is not None
    names = sorted({tasks[i] for i in rows if tasks[i]})
    parts = {name: np.array([i for i in rows if tasks[i] == name]) for name in names}
    each_delta = delta / max(len(parts), 1)
    by_task = {
        name: _of_rows(some_rows(log, part), worth[part], range_, each_delta, epsilon) for name, part in parts.items()
    }
    return replace(found, by_task=by_task)


def _of_rows(log: DecisionLog, worth: Vector, range_: OutcomeRange, delta: float, epsilon: float) -> Winner:
    n, count = len(log), len(log.arms)
    if n < _MIN_ROWS:
        raise InvalidInputError(f"{n} decisions have a known utility and a propensity; log more")
    assert log.propensities is not None
    design = Design.of(np.zeros((n, 0)) if log.contexts is None else log.contexts)
    policies = []
    for arm in log.arms:
        target = always(arm, log.arms, n)
        weights = importance_weights(log.chosen, log.propensities, target)
        policies.append(TargetPolicy(weights=weights, target=target))
    leads = np.full((count, count), np.inf)
    for a in range(count):
        for b in range(a):
            supported = (log.chosen == a).any() and (log.chosen == b).any()
            # A wrong winner is one that seems to beat the best arm: K - 1 bounds may err, each on one side.
            alpha = min(2.0 * delta / (count - 1), 0.999)
            found = None
            if supported:
                pair = (policies[a], policies[b])
                (found,) = anytime_bounds(log, *pair, worth[None, :], design, [range_], alpha=alpha)
            lower, upper = (-np.inf, np.inf) if found is None else found
            leads[a, b], leads[b, a] = lower, -upper
    least = leads.min(axis=1)
    leader = int(least.argmax())
    declared = least[leader] > -epsilon or (epsilon > 0.0 and least[leader] >= -epsilon)
    return Winner(
        arm=log.arms[leader] if declared else None, leader=log.arms[leader], lead=float(least[leader]), decisions=n
    )
