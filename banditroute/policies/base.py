"""What the router asks of a policy, and the two steps that every policy shares.

A policy sees arrays only: expected utility and its standard deviation for each eligible arm. It answers with a
probability for every one of them; the router then draws the arm from that very vector, so the propensity that is
logged is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.validation import label, number
from banditroute.errors import InvalidConfigurationError


@runtime_checkable
class Policy(Protocol):
    """Turns utilities with uncertainty into a probability for every eligible arm.

    Policies hold settings and no state; all that is learned is in the belief. (One that learns by itself is a
    :class:`LearningPolicy`.)
    ``banditroute.testing.check_policy`` is the suite that every policy must pass.
    """

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector]
    ) -> Vector:
        """Return the probability of each eligible arm ``(K,)``, summing to 1.

        Parameters
        ----------
        means, stds
            Expected utility of each arm, and the standard deviation of that expectation ``(K,)``; not changed.
        arms
            Names of the K eligible arms.
        information
            Gives what was learned of each arm, in nats ``(K,)``; called only by a policy that needs it.
        """


class PolicyState(Protocol):
    """What a policy that learns by itself has learned in one router."""

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector], x: Vector
    ) -> Vector:
        """Return the probability of each eligible arm at context ``x (d,)``; the rest is as in :class:`Policy`."""

    def learn(self, arm: str, x: Vector, values: Mapping[str, float]) -> None:
        """Learn the outcomes ``values`` of ``arm`` at context ``x (d,)``: objective -> value, what is newly known."""


@runtime_checkable
class SharedPolicyState(PolicyState, Protocol):
    """What is learned in sums, so that what several processes learned can be added up."""

    def news(self) -> bytes | None:
        """What was learned since the last call; None for nothing."""

    def join(self, one: bytes, other: bytes) -> bytes:
        """What two pieces of news tell; associative."""

    def begin_anew(self, learned: bytes) -> None:
        """Know what joined news of all processes tell, this one's included, and nothing else."""


@runtime_checkable
class LearningPolicy(Protocol):
    """The settings of a policy that learns by itself, beside the belief: many routers may share them.

    Its state is shared between processes, and survives them, if it is a :class:`SharedPolicyState`. Any other is this
    process's: opened again, a router teaches it the outcomes that are not folded into statistics yet.
    """

    def start(self, *, objectives: Collection[str]) -> PolicyState:
        """A state that has learned nothing, for a router with these ``objectives``."""


def start(policy: Policy | LearningPolicy, *, objectives: Collection[str]) -> PolicyState:
    """The state of any policy in one router; that of a policy without any learns nothing."""
    return policy.start(objectives=objectives) if isinstance(policy, LearningPolicy) else _NoState(policy)


class _NoState:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector], x: Vector
    ) -> Vector:
        return self._policy.probabilities(means, stds, arms=arms, information=information)

    def learn(self, arm: str, x: Vector, values: Mapping[str, float]) -> None:
        pass


def greedy(scores: Vector) -> Vector:
    """All probability on the highest score; ties share it equally.

    Examples
    --------
    >>> greedy(np.array([1.0, 3.0, 3.0]))
    array([0. , 0.5, 0.5])
    """
    best = scores == scores[scores.argmax()]
    shared: Vector = best / np.count_nonzero(best)
    return shared


def with_floor(probabilities: Vector, floor: float) -> Vector:
    """``(1 - floor) p + floor / K``: every arm keeps some probability, so that any policy can be judged from the log.

    Examples
    --------
    >>> with_floor(np.array([1.0, 0.0]), 0.1)
    array([0.95, 0.05])
    """
    mixed = probabilities * (1.0 - floor)
    mixed += floor / len(probabilities)
    return mixed


def check_floor(floor: float) -> None:
    """Refuse a floor outside [0, 1]."""
    number(floor, name="floor", low=0.0, high=1.0, error=InvalidConfigurationError)


def check_reward(reward: Mapping[str, float]) -> dict[str, float]:
    """A copy of what each objective adds to a reward; refuses numbers that are none, and a reward of nothing."""
    for name, worth in reward.items():
        label(name, name="objective of the reward", error=InvalidConfigurationError)
        number(worth, name=f"reward for {name!r}", error=InvalidConfigurationError)
    if not any(reward.values()):
        raise InvalidConfigurationError(f"a reward needs a number other than 0, got {reward}")
    return dict(reward)


def check_rewarded(reward: Mapping[str, float], objectives: Collection[str]) -> None:
    """Refuse a reward for what is none of the ``objectives``."""
    unknown = sorted(set(reward) - set(objectives))
    if unknown:
        raise InvalidConfigurationError(
            f"the reward counts {', '.join(unknown)}, which is no objective; known: {', '.join(sorted(objectives))}"
        )
