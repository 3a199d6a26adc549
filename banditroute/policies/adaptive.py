"""Adaptive exploration: a mixture of policies that gives larger shares to those with better rewards.

The algorithm is Exp4 (Auer, Cesa-Bianchi, Freund and Schapire 2002, "The nonstochastic multiarmed bandit problem",
section 7), with the candidate policies as its experts. Candidate i advises probabilities ``p_i`` at a request. The arm
is drawn from the mixture ``q = sum_i w_i p_i``, which is the exact propensity. Each candidate is charged its
importance-weighted share of the loss ``l`` at arm a, ``l p_i(a) / q(a)``. The shares are:

    w_i  proportional to  exp(-eta sum of its losses)        eta = sqrt(ln N / sum over outcomes of E)

with N candidates and ``E = sum over arms of max_i p_i(a)``. E is 1 if all candidates agree, and at most N. The rate is
that of Lattimore and Szepesvari 2020, "Bandit algorithms", theorem 18.3; it needs no horizon.

Corral (Agarwal, Luo, Neyshabur and Schapire 2017) is an alternative for candidates that learn from their own choices
only. It learns more slowly to protect candidates with small shares. Here all candidates share one belief, which learns
from every choice, so this protection is not needed.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidConfigurationError
from banditroute.policies.base import Policy, check_reward, check_rewarded
from banditroute.policies.thompson import Thompson

_REMEMBERED_REQUESTS = 1024  # the outcome of an older request does not change the shares

_DEFAULT_POLICIES = (Thompson(scale=0.4), Thompson(scale=0.8), Thompson(scale=1.6))
_NO_ADVICE: tuple[tuple[str, ...], Vector, Vector] = (), np.zeros((0, 0)), np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive:
    """A mixture of policies, whose shares depend on the rewards of their choices.

    An importance weight needs the exact probabilities from which the arm was drawn. The belief may have changed before
    the outcome arrives. So the policy keeps the advice of all candidates for the last 1024 contexts; for equal contexts
    it keeps the latest. Outcomes of other decisions, such as those of an earlier process, update only the belief.
    Losses are sums: those of all processes that share a database are added up and stored.

    Parameters
    ----------
    policies
        The candidates, at least two. Default: Thompson sampling of scale 0.4, 0.8 and 1.6.
    reward
        Objective -> reward per unit, by which choices are judged. The total should stay within about [0, 1]. It is
        separate from the preference, which may differ between requests. Only feedback that reports all these
        objectives at once is judged.

    Raises
    ------
    InvalidConfigurationError
        If there are fewer than two candidates, or one of them is not a stateless policy.

    Examples
    --------
    >>> state = Adaptive().start(objectives=["quality"])
    >>> means, stds = np.array([0.4, 0.6]), np.array([0.2, 0.2])
    >>> asked = {"arms": ["a", "b"], "information": lambda: np.zeros(2), "x": np.ones(1)}
    >>> state.probabilities(means, stds, **asked).round(2)  # of .04, .19 and .33, in equal shares
    array([0.19, 0.81])
    >>> state.learn("a", np.ones(1), {"quality": 0.0})  # charged the most is who would explore the most
    >>> state.shares.round(2)
    array([0.58, 0.28, 0.14])
    """

    policies: Sequence[Policy] = _DEFAULT_POLICIES
    reward: Mapping[str, float] = field(default_factory=lambda: {"quality": 1.0})

    def __post_init__(self) -> None:
        object.__setattr__(self, "policies", tuple(self.policies))
        if len(self.policies) < 2 or not all(isinstance(policy, Policy) for policy in self.policies):
            raise InvalidConfigurationError(
                f"policies is {self.policies!r}; give at least two policies without a state"
            )
        object.__setattr__(self, "reward", check_reward(self.reward))

    def start(self, *, objectives: Collection[str]) -> AdaptiveState:
        """Start the learned state of one router; see :class:`banditroute.policies.LearningPolicy`."""
        check_rewarded(self.reward, objectives)
        return AdaptiveState(spec=self)


class AdaptiveState:
    """The state of :class:`Adaptive`; made by its ``start``. Not thread-safe: the router holds a lock."""

    def __init__(self, *, spec: Adaptive) -> None:
        self._spec = spec
        self._sums = np.zeros(len(spec.policies) + 1)  # the loss of each candidate, then E
        self._unshared = np.zeros_like(self._sums)  # the part of the sums that is not shared yet
        self._waiting: OrderedDict[bytes, tuple[tuple[str, ...], Vector, Vector]] = OrderedDict()

    @property
    def shares(self) -> Vector:
        """The share of each candidate in the mixture ``(N,)``."""
        losses, disagreement = self._sums[:-1], float(self._sums[-1])
        rate = math.sqrt(math.log(len(losses)) / max(disagreement, 1.0))
        weights = np.exp(-rate * (losses - losses.min()))
        shares: Vector = weights / weights.sum()
        return shares

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector], x: Vector
    ) -> Vector:
        """Return the probability of each eligible arm ``(K,)``; see :class:`banditroute.policies.PolicyState`."""
        advice = np.stack(
            [each.probabilities(means, stds, arms=arms, information=information) for each in self._spec.policies]
        )
        mixed: Vector = self.shares @ advice
        key = x.tobytes()
        self._waiting[key] = tuple(arms), advice, mixed.copy()
        self._waiting.move_to_end(key)
        if len(self._waiting) > _REMEMBERED_REQUESTS:
            self._waiting.popitem(last=False)
        return mixed

    def learn(self, arm: str, x: Vector, values: Mapping[str, float]) -> None:
        """Judge the candidates by the outcomes ``values`` of ``arm`` at context ``x (d,)``."""
        reward = self._spec.reward
        arms, advice, mixed = self._waiting.get(x.tobytes(), _NO_ADVICE)
        if arm in arms and reward.keys() <= values.keys() and mixed[k := arms.index(arm)] > 0.0:
            loss = 1.0 - sum(worth * values[name] for name, worth in reward.items())
            added = np.array([*loss * advice[:, k] / mixed[k], advice.max(axis=0).sum()])
            self._sums += added
            self._unshared += added

    def take_update(self) -> bytes | None:
        """Return the sums since the last call; see :class:`banditroute.policies.SharedPolicyState`."""
        if not self._unshared.any():
            return None
        update, self._unshared = self._unshared, np.zeros_like(self._unshared)
        return json.dumps({repr(self._spec): update.tolist()}).encode()

    def merge(self, one: bytes, other: bytes) -> bytes:
        """Add two results of ``take_update``, for each set of candidates."""
        sums = json.loads(one)
        for spec, added in json.loads(other).items():
            sums[spec] = [a + b for a, b in zip(sums[spec], added, strict=True)] if spec in sums else added
        return json.dumps(sums).encode()

    def restart_from(self, learned: bytes) -> None:
        """Replace the sums of this process by those of all processes."""
        self._sums = np.array(json.loads(learned).get(repr(self._spec), np.zeros_like(self._sums)))
