"""Any policy of the library river, as a policy of ours: it learns rewards by itself, and says how often it would pull.

Needs the extra ``river``.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.optional_imports import optional
from banditroute.errors import InvalidConfigurationError
from banditroute.policies.base import check_floor, check_reward, check_rewarded, with_floor


@dataclass(frozen=True, slots=True, kw_only=True)
class RiverPolicy:
    """A policy of ``river.bandit``, with or without context, that learns from a reward of its own.

    How probable each arm is, is counted over repeated pulls of a copy, each with the arms in another order, so that
    none gains by its place. The arm is then drawn from these shares: whatever their error, the propensity is exact.
    Beliefs go on beside it, for what else rests on them; the policy itself knows neither them, nor preferences, nor
    penalties, only which arms are eligible.

    What it learned is not in the store, nor shared between processes: opened again, a router teaches it the outcomes
    that are not folded yet, some hundreds at most. A policy that was trained before brings its experience along.

    Parameters
    ----------
    policy
        A policy of river, with a seed if choices are to be reproducible; each router starts from a copy.
    reward
        Objective -> what one unit of it adds to the reward, such as ``{"quality": 1.0, "cost_usd": -50.0}``. Learned is
        feedback that reports all of them at once.
    pulls
        How many pulls are counted, at least 1. One will do for a policy that draws lots only among equals, as ``UCB``,
        ``BayesUCB`` and ``LinUCBDisjoint`` do; the others explore in steps of one in so many.
    floor
        Share of requests spread evenly over all eligible arms, in [0, 1].

    Raises
    ------
    InvalidConfigurationError
        For what is no policy of river, and numbers out of range.
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
        if not isinstance(self.pulls, int) or isinstance(self.pulls, bool) or self.pulls < 1:
            raise InvalidConfigurationError(f"pulls is {self.pulls!r}; give a whole number of at least 1")
        check_floor(self.floor)

    def __repr__(self) -> str:  # river's own is a table of many lines
        return f"RiverPolicy(policy={type(self.policy).__name__}, reward={self.reward}, pulls={self.pulls})"

    def start(self, *, objectives: Collection[str]) -> RiverState:
        """What one router learns; see :class:`banditroute.policies.LearningPolicy`."""
        check_rewarded(self.reward, objectives)
        return RiverState(spec=self)


class RiverState:
    """The state of a :class:`RiverPolicy`; made by its ``start``. Not thread-safe: the router holds a lock."""

    def __init__(self, *, spec: RiverPolicy) -> None:
        self._spec = spec
        self._policy = copy.deepcopy(spec.policy)
        contextual = optional("river.bandit", extra="river").base.ContextualPolicy
        self._contextual = isinstance(self._policy, contextual)
        self._arms: dict[str, None] = {}  # all that ever were eligible, in the order of their appearance

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector], x: Vector
    ) -> Vector:
        """Return the probability of each eligible arm ``(K,)``; see :class:`banditroute.policies.PolicyState`."""
        self._arms.update(dict.fromkeys(arms))
        asked = copy.deepcopy(self._policy)  # a pull uses up random numbers, and may do more
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
            self._policy.pull(list(self._arms), *self._context(x))  # some learn from the chances of their last pull
            self._policy.update(arm, *self._context(x), sum(worth * values[name] for name, worth in reward.items()))

    def _context(self, x: Vector) -> tuple[dict[int, float], ...]:
        """What a pull or an update takes beside the arm: nothing, or the context as river has it."""
        return (dict(enumerate(x.tolist())),) if self._contextual else ()
