"""Adaptive exploration: a mixture of policies that leans to those whose choices paid.

Exp4 (Auer, Cesa-Bianchi, Freund and Schapire 2002, "The nonstochastic multiarmed bandit problem", section 7), with the
candidates as its experts. Candidate i advises probabilities ``p_i`` at a request; the arm is drawn from the mixture
``q = sum_i w_i p_i``, which is the propensity, exactly. An outcome of loss ``l`` at arm a is charged to each candidate
by importance, ``l p_i(a) / q(a)``, and the shares follow:

    w_i  proportional to  exp(-eta sum of its losses)        eta = sqrt(ln N / sum over outcomes of E)

with N candidates and ``E = sum over arms of max_i p_i(a)``, between 1 where they agree and N where they do not: the
rate of Lattimore and Szepesvari 2020, "Bandit algorithms", theorem 18.3, which needs no horizon. Not Corral (Agarwal,
Luo, Neyshabur and Schapire 2017): it is for candidates that each learn from their own choices alone, and slows down to
keep the starved ones sound; these share one belief, which learns from every choice.
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

_WAITING = 1024  # requests whose outcome is waited for; a later one teaches nothing

_STRENGTHS = (Thompson(scale=0.4), Thompson(scale=0.8), Thompson(scale=1.6))
_NOTHING: tuple[tuple[str, ...], Vector, Vector] = (), np.zeros((0, 0)), np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive:
    """A mixture of policies, whose shares follow from what their choices were worth.

    An importance weight must rest on the very probabilities that the arm was drawn from, and by the time of the outcome
    the belief has moved on. So the advice of all candidates is kept for the last 1024 contexts, of equal ones for the
    latest. Outcomes of other decisions, such as those of an earlier process, teach the belief only. Losses are sums:
    those of all processes that share a database are added up, and survive them.

    Parameters
    ----------
    policies
        The candidates, at least two. Default: Thompson sampling of scale 0.4, 0.8 and 1.6.
    reward
        Objective -> what one unit of it adds to the reward that choices are judged by, which should stay within about
        [0, 1]; not the preference, since that may differ from request to request. Judged is feedback that reports all
        of it at once.

    Raises
    ------
    InvalidConfigurationError
        For fewer than two candidates, or what is no policy without a state.

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

    policies: Sequence[Policy] = _STRENGTHS
    reward: Mapping[str, float] = field(default_factory=lambda: {"quality": 1.0})

    def __post_init__(self) -> None:
        object.__setattr__(self, "policies", tuple(self.policies))
        if len(self.policies) < 2 or not all(isinstance(policy, Policy) for policy in self.policies):
            raise InvalidConfigurationError(
                f"policies is {self.policies!r}; give at least two policies without a state"
            )
        object.__setattr__(self, "reward", check_reward(self.reward))

    def start(self, *, objectives: Collection[str]) -> AdaptiveState:
        """What one router learns; see :class:`banditroute.policies.LearningPolicy`."""
        check_rewarded(self.reward, objectives)
        return AdaptiveState(spec=self)


class AdaptiveState:
    """The state of :class:`Adaptive`; made by its ``start``. Not thread-safe: the router holds a lock."""

    def __init__(self, *, spec: Adaptive) -> None:
        self._spec = spec
        self._sums = np.zeros(len(spec.policies) + 1)  # the losses of each candidate, and E
        self._news = np.zeros_like(self._sums)  # what of them is not shared yet
        self._waiting: OrderedDict[bytes, tuple[tuple[str, ...], Vector, Vector]] = OrderedDict()

    @property
    def shares(self) -> Vector:
        """What share of each request every candidate has ``(N,)``."""
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
        if len(self._waiting) > _WAITING:
            self._waiting.popitem(last=False)
        return mixed

    def learn(self, arm: str, x: Vector, values: Mapping[str, float]) -> None:
        """Judge the candidates by the outcomes ``values`` of ``arm`` at context ``x (d,)``."""
        reward = self._spec.reward
        arms, advice, mixed = self._waiting.get(x.tobytes(), _NOTHING)
        if arm in arms and reward.keys() <= values.keys() and mixed[k := arms.index(arm)] > 0.0:
            loss = 1.0 - sum(worth * values[name] for name, worth in reward.items())
            told = np.array([*loss * advice[:, k] / mixed[k], advice.max(axis=0).sum()])
            self._sums += told
            self._news += told

    def news(self) -> bytes | None:
        """The sums since the last call; see :class:`banditroute.policies.SharedPolicyState`."""
        if not self._news.any():
            return None
        told, self._news = self._news, np.zeros_like(self._news)
        return json.dumps({repr(self._spec): told.tolist()}).encode()

    def join(self, one: bytes, other: bytes) -> bytes:
        """The sums of two pieces of news, for each set of candidates."""
        sums = json.loads(one)
        for spec, told in json.loads(other).items():
            sums[spec] = [a + b for a, b in zip(sums[spec], told, strict=True)] if spec in sums else told
        return json.dumps(sums).encode()

    def begin_anew(self, learned: bytes) -> None:
        """Take the sums of all processes in place of those known here."""
        self._sums = np.array(json.loads(learned).get(repr(self._spec), np.zeros_like(self._sums)))
