"""The protocols of policies, and the helpers that policies share.

A policy sees arrays only: expected utility and its standard deviation for each eligible arm. It returns a probability
for each of them. The router draws the arm from exactly these probabilities, so the logged propensity is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.validation import label, number
from banditroute.errors import InvalidConfigurationError


@runtime_checkable
class Policy(Protocol):
    """An object that turns utilities with uncertainty into a probability for every eligible arm.

    A policy holds settings and no state: only the belief learns. A policy that learns by itself is a
    :class:`LearningPolicy`. Every policy must pass ``banditroute.testing.check_policy``.

    A router leaves dominated arms out before it asks a policy. A policy that does not choose by utility, such as one
    that collects an unbiased log, sees all arms if it has an attribute ``ignores_utilities`` that is True.
    """

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector]
    ) -> Vector:
        """Return the probability of each eligible arm ``(K,)``, summing to 1.

        Parameters
        ----------
        means, stds
            Expected utility of each arm, and the standard deviation of that expectation ``(K,)``. The policy must not
            change them.
        arms
            Names of the K eligible arms.
        information
            Returns the information gained about each arm in nats ``(K,)``. Call it only if needed.
        """


class PolicyState(Protocol):
    """The state of a policy that learns by itself, in one router."""

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector], x: Vector
    ) -> Vector:
        """Return the probability of each eligible arm at context ``x (d,)``; the rest is as in :class:`Policy`."""

    def learn(self, arm: str, x: Vector, values: Mapping[str, float]) -> None:
        """Learn the new outcomes ``values`` (objective -> value) of ``arm`` at context ``x (d,)``."""


@runtime_checkable
class SharedPolicyState(PolicyState, Protocol):
    """A policy state of sums, so that the states of several processes can be added."""

    def take_update(self) -> bytes | None:
        """Return the update since the last call, or None if nothing was learned."""

    def merge(self, one: bytes, other: bytes) -> bytes:
        """Merge two updates into one; associative."""

    def restart_from(self, learned: bytes) -> None:
        """Replace the state by the merged updates of all processes, including this one."""


@runtime_checkable
class LearningPolicy(Protocol):
    """The settings of a policy that learns by itself, in addition to the belief. Many routers may share them.

    If its state is a :class:`SharedPolicyState`, processes share it and the store keeps it. Any other state belongs to
    one process. When a router is opened again, it learns the outcomes that are not folded into statistics yet.
    """

    def start(self, *, objectives: Collection[str]) -> PolicyState:
        """Start an empty state for a router with these ``objectives``."""


def start(policy: Policy | LearningPolicy, *, objectives: Collection[str]) -> PolicyState:
    """Start the state of any policy in one router; the state of a stateless policy learns nothing."""
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


def greedy(scores: Vector, floor: float = 0.0) -> Vector:
    """Return all probability but the ``floor`` on the highest score; ties share it equally.

    Examples
    --------
    >>> greedy(np.array([1.0, 3.0, 3.0]))
    array([0. , 0.5, 0.5])
    """
    best = scores.argmax()
    ties = scores == scores[best]
    count = len(ties.nonzero()[0])  # np.count_nonzero() calls two functions of Python
    if count != 1:
        return with_floor(ties / count, floor)
    probabilities = _even_share(len(scores), floor).copy()
    probabilities[best] += 1.0 - floor
    return probabilities


@lru_cache(maxsize=64)
def _even_share(count: int, floor: float) -> Vector:
    shares: Vector = np.full(count, floor / count)
    shares.flags.writeable = False  # shared by all callers
    return shares


def with_floor(probabilities: Vector, floor: float) -> Vector:
    """Return ``(1 - floor) p + floor / K``: every arm keeps some probability, so the log can evaluate any policy.

    Examples
    --------
    >>> with_floor(np.array([1.0, 0.0]), 0.1)
    array([0.95, 0.05])
    """
    if floor == 0.0:
        return probabilities
    mixed = probabilities * (1.0 - floor)
    mixed += _even_share(len(probabilities), floor)
    return mixed


def check_floor(floor: float) -> None:
    """Raise if a floor is outside [0, 1]."""
    number(floor, name="floor", low=0.0, high=1.0, error=InvalidConfigurationError)


def check_reward(reward: Mapping[str, float]) -> dict[str, float]:
    """Return a copy of a reward's weights; raise if a weight is not a finite number or all weights are 0."""
    for name, worth in reward.items():
        label(name, name="objective of the reward", error=InvalidConfigurationError)
        number(worth, name=f"reward for {name!r}", error=InvalidConfigurationError)
    if not any(reward.values()):
        raise InvalidConfigurationError(f"a reward needs a number other than 0, got {reward}")
    return dict(reward)


def check_rewarded(reward: Mapping[str, float], objectives: Collection[str]) -> None:
    """Raise if a reward names an unknown objective."""
    unknown = sorted(set(reward) - set(objectives))
    if unknown:
        raise InvalidConfigurationError(
            f"the reward names the unknown objective {', '.join(unknown)}; known: {', '.join(sorted(objectives))}"
        )
