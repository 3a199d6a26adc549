"""Use any policy of the library river in a router. It needs the extra ``river``."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.optional_imports import optional
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError
from banditroute.policies.base import check_floor, check_reward, check_rewarded, with_floor


@dataclass(frozen=True, slots=True, kw_only=True)
class RiverPolicy:
    """A policy of ``river.bandit``, with or without context, that learns from its own reward.

    The probability of each arm is its share among repeated pulls of a copy of the policy. The order of the arms changes
    with every pull, so that no arm profits from its position. The router draws the arm from these shares, so the
    propensity is exact even where the shares are approximate. The router's belief still learns, since limits and
    budgets need it. The river policy ignores beliefs, preferences and penalties; it only knows which arms are eligible.

    The store does not keep the policy's state, and processes do not share it. A router that is opened again teaches the
    policy the outcomes that are not folded yet, a few hundred at most. You may pass a policy that was trained before.

    Parameters
    ----------
    policy
        A policy of river; give it a seed for reproducible choices. Each router starts from a copy.
    reward
        Objective -> reward per unit, such as ``{"quality": 1.0, "cost_usd": -50.0}``. The policy learns only from
        feedback that reports all these objectives at once.
    pulls
        Number of pulls per request, at least 1. One is enough for ``UCB``, ``BayesUCB`` and ``LinUCBDisjoint``, which
        draw only among ties. With other policies, probabilities are multiples of ``1 / pulls``.
    floor
        Share of requests distributed evenly over all eligible arms, in [0, 1].

    Raises
    ------
    InvalidConfigurationError
        If ``policy`` is not a policy of river, or a number is out of range.
    MissingDependencyError
        If river is not installed.

    Examples
    --------
    >>> from river import bandit
    >>> ucb = RiverPolicy(policy=bandit.UCB(delta=1, seed=0), pulls=1).start(objectives=["quality"])
    >>> for _ in range(20):
    ...     ucb.learn("a", np.ones(1), {"quality": 0.0})
    ...     ucb.learn("b", np.ones(1), {"quality": 1.0})
    >>> nothing = np.zeros(2)
    >>> ucb.probabilities(nothing, nothing, arms=["a", "b"], information=lambda: nothing, x=np.ones(1))
    array([0.0025, 0.9975])
    """

    ignores_utilities: ClassVar[bool] = True

    policy: Any
    reward: Mapping[str, float] = field(default_factory=lambda: {"quality": 1.0})
    pulls: int = 100
    floor: float = 0.005

    def __post_init__(self) -> None:
        bandit = optional("river.bandit", extra="river")
        if not isinstance(self.policy, bandit.base.Policy):
            raise InvalidConfigurationError(
                f"policy is {self.policy!r}; give a policy of river.bandit, such as UCB(delta=1)"
            )
        object.__setattr__(self, "reward", check_reward(self.reward))
        whole(self.pulls, name="pulls", error=InvalidConfigurationError)
        check_floor(self.floor)

    def __repr__(self) -> str:  # river's own is a table of many lines
        return f"RiverPolicy(policy={type(self.policy).__name__}, reward={self.reward}, pulls={self.pulls})"

    def start(self, *, objectives: Collection[str]) -> RiverState:
        """Start the learned state of one router; see :class:`banditroute.policies.LearningPolicy`."""
        check_rewarded(self.reward, objectives)
        return RiverState(spec=self)


class RiverState:
    """The state of a :class:`RiverPolicy`; made by its ``start``. Not thread-safe: the router holds a lock."""

    def __init__(self, *, spec: RiverPolicy) -> None:
        self._spec = spec
        self.policy: Any = copy.deepcopy(spec.policy)
        contextual = optional("river.bandit", extra="river").base.ContextualPolicy
        self._contextual = isinstance(self.policy, contextual)
        self._arms: dict[str, None] = {}  # all arms that were ever eligible, in the order of their appearance

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector], x: Vector
    ) -> Vector:
        """Return the probability of each eligible arm ``(K,)``; see :class:`banditroute.policies.PolicyState`."""
        self._arms.update(dict.fromkeys(arms))
        asked = copy.deepcopy(self.policy)  # a pull uses up random numbers, and may do more
        order = sorted(arms)
        pulled: Counter[str] = Counter()
        for turn in range(self._spec.pulls):
            at = turn % len(order)
            pulled[asked.pull(order[at:] + order[:at], *self._context(x))] += 1
        shares = np.array([pulled[arm] / self._spec.pulls for arm in arms])
        return with_floor(shares, self._spec.floor)

    def learn(self, arm: str, x: Vector, values: Mapping[str, float]) -> None:
        """Learn the outcomes ``values`` of ``arm`` at context ``x (d,)``, if the whole reward is among them."""
        reward = self._spec.reward
        if reward.keys() <= values.keys():
            self._arms[arm] = None
            self.policy.pull(list(self._arms), *self._context(x))  # some policies update by their last pull
            self.policy.update(arm, *self._context(x), sum(worth * values[name] for name, worth in reward.items()))

    def _context(self, x: Vector) -> tuple[dict[int, float], ...]:
        """Return the extra argument of a pull or an update: the context as a mapping, or nothing without context."""
        return (dict(enumerate(x.tolist())),) if self._contextual else ()
