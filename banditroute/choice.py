"""The choice: beliefs and a preference become a decision, outcomes become better beliefs."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from banditroute.beliefs.base import Belief, BeliefSpec, Prior
from banditroute.errors import BanditRouteError
from banditroute.learners import Learner
from banditroute.rewards.objectives import Objective
from banditroute.rewards.prices import TokenPrices
from banditroute.rewards.utility import utility, weights
from banditroute.store.base import Event, Fold, Memory
from banditroute.types import Arm, Decision, Preference, Request, Vector

_CHARACTERS_PER_TOKEN = 4.0
_CACHED_PREFERENCES = 1024


class CannotChooseError(BanditRouteError):
    """Why the policy could not choose; its message goes into ``decision.reason``, it never reaches a caller."""


def fold_with(belief: BeliefSpec) -> Fold:
    """How a store folds events into the statistics of ``belief``."""

    def fold(blob: bytes | None, events: Sequence[Event]) -> bytes:
        pairs = {sign: [(event.x, event.values) for event in events if event.sign == sign] for sign in (1, -1)}
        return belief.fold(blob, pairs[1], dimension=len(events[0].x), removed=pairs[-1])

    return fold


class Chooser:
    """A belief, the policy that acts on it, and the randomness between. Safe to use from many threads.

    Parameters
    ----------
    arms, objectives
        What can be chosen, and what can be observed of it, by name.
    learner
        Belief and policy.
    dimension
        d, the length of the context with its bias.
    memory
        What was learned before, by earlier processes.
    rng
        Draws the arms.
    """

    def __init__(
        self,
        *,
        arms: Sequence[Arm],
        objectives: Mapping[str, Objective],
        learner: Learner,
        dimension: int,
        memory: Memory,
        rng: np.random.Generator,
    ) -> None:
        self._names = tuple(arm.name for arm in arms)
        self._objectives = objectives
        self._policy = learner.policy
        self._policy_text = repr(learner)
        self._rng = rng
        self._lock = threading.Lock()
        self._weights: dict[Preference, Vector] = {}
        self._no_penalty = np.zeros(len(arms))
        self._no_penalty.flags.writeable = False
        self._start = partial(
            learner.belief.start,
            arms=self._names,
            dimension=dimension,
            priors={o.name: Prior(mean=o.prior_mean, noise=o.prior_noise) for o in objectives.values()},
        )
        self._belief = self._believe(memory)
        self._learned = memory.feedback
        self._decided = itertools.count(memory.decisions)
        self._prices = TokenPrices(arms=arms) if any(arm.priced for arm in arms) else None
        if self._prices is not None:
            self._belief.watch(["cost_usd", "output_tokens"])

    def choose(
        self, request: Request, preference: Preference, eligible: list[int] | None, x: Vector, now: float
    ) -> Decision:
        """Decide by the policy, among all arms or those at the ``eligible`` positions.

        Raises
        ------
        CannotChooseError
            If what is believed is not finite, or the policy gives no probabilities.
        """
        names = self._names
        with self._lock:
            belief = self._belief
            signed = self._weights.get(preference)
            if signed is None:
                signed = self._weigh(preference)
            means, spreads = belief.predict(x)
            if self._prices is not None:
                self._price(self._prices, request, means, spreads)
            objectives = belief.objectives
            information = belief.information
            if eligible is not None:
                names = tuple(names[k] for k in eligible)
                means, spreads = means[:, eligible], spreads[:, eligible]

                def information() -> Vector:
                    some: Vector = belief.information()[eligible]
                    return some

            utilities, utility_spreads = utility(signed, means, spreads)
            if not math.isfinite(np.vdot(utilities, utilities) + np.vdot(utility_spreads, utility_spreads)):
                raise CannotChooseError("the belief is not finite; verify or restore the stored statistics")
            probabilities = self._policy.probabilities(utilities, utility_spreads, arms=names, information=information)
            chosen, propensity = _draw(probabilities, len(names), self._rng.random())
        return Decision(
            id=_new_id(now),
            arm=names[chosen],
            propensity=propensity,
            reason="policy",
            decided_at=now,
            arms=names,
            probabilities=probabilities,
            objectives=objectives,
            means=means,
            spreads=spreads,
            utilities=utilities,
            utility_spreads=utility_spreads,
            penalties=self._no_penalty[: len(names)],
            x=x,
            preference=preference,
            policy=self._policy_text,
            session=request.session,
            tags=request.tags,
            input_tokens=request.input_tokens,
            ordinal=next(self._decided),
        )

    def fall_back(
        self,
        request: Request,
        preference: Preference,
        eligible: list[int] | None,
        x: Vector | None,
        now: float,
        *,
        arm: str,
        trouble: str,
    ) -> Decision:
        """Decide for ``arm``, or the first eligible one, without asking belief or policy."""
        names = self._names if eligible is None else tuple(self._names[k] for k in eligible)
        arm = arm if arm in names else names[0]
        nothing = np.zeros((0, len(names)))
        zeros = self._no_penalty[: len(names)]
        return Decision(
            id=_new_id(now),
            arm=arm,
            propensity=1.0,
            reason=f"fallback: {trouble}",
            decided_at=now,
            arms=names,
            probabilities=np.array([float(name == arm) for name in names]),
            objectives=(),
            means=nothing,
            spreads=nothing,
            utilities=zeros,
            utility_spreads=zeros,
            penalties=zeros,
            x=x,
            preference=preference,
            policy=self._policy_text,
            session=request.session,
            tags=request.tags,
            input_tokens=request.input_tokens,
            ordinal=next(self._decided),
        )

    @property
    def learned(self) -> int:
        """Of how many decisions something was learned."""
        return self._learned

    def learn(self, arm: str, x: Vector, values: Mapping[str, float], *, first: bool = True) -> None:
        """Learn the outcomes ``values`` of ``arm`` at context ``x (d,)``, the ``first`` of their decision or others."""
        if arm not in self._names:
            return  # an arm of an earlier configuration: recorded, and folded by the store
        with self._lock:
            known = len(self._belief.objectives)
            self._belief.update(arm, x, values)
            self._learned += first
            if len(self._belief.objectives) != known:
                self._weights.clear()

    def refresh(self, memory: Memory) -> None:
        """Believe what is remembered now in place of what was; meanwhile nothing may be learned."""
        belief = self._believe(memory)
        with self._lock:
            belief.watch(self._belief.objectives)
            self._belief = belief
            self._weights.clear()
            self._learned = memory.feedback
            self._decided = itertools.count(max(next(self._decided), memory.decisions))

    def _believe(self, memory: Memory) -> Belief:
        belief = self._start(statistics=memory.statistics)
        for event in memory.pending:
            if event.arm in self._names:
                belief.update(event.arm, event.x, event.values)
        return belief

    def _weigh(self, preference: Preference) -> Vector:
        known = len(self._belief.objectives)
        self._belief.watch([name for name, weight in preference.items() if weight > 0.0])
        if len(self._belief.objectives) != known or len(self._weights) >= _CACHED_PREFERENCES:
            self._weights.clear()
        signed = weights(preference, self._belief.objectives, self._objectives)
        self._weights[preference] = signed
        return signed

    def _price(self, prices: TokenPrices, request: Request, means: Vector, spreads: Vector) -> None:
        """Replace the learned cost of priced arms by the one computed from tokens."""
        tokens: float | None = request.input_tokens
        if tokens is None:
            if request.text is None:
                return  # neither counted nor countable: the learned cost stands
            tokens = len(request.text) / _CHARACTERS_PER_TOKEN
        cost, output = (self._belief.objectives.index(name) for name in ("cost_usd", "output_tokens"))
        mean, spread = prices.cost_usd(tokens, means[output], spreads[output])
        # An arm that reported dollars and never tokens is better known by its dollars.
        known_by_tokens = (self._belief.counts("output_tokens") > 0) | (self._belief.counts("cost_usd") == 0)
        by_tokens = prices.priced & known_by_tokens
        means[cost] = np.where(by_tokens, mean, means[cost])
        spreads[cost] = np.where(by_tokens, spread, spreads[cost])


def _draw(probabilities: Vector, count: int, u: float) -> tuple[int, float]:
    """The arm whose share of [0, 1) holds ``u``, and its probability; never one of probability 0."""
    shares = probabilities.tolist()
    if len(shares) != count or not abs(sum(shares) - 1.0) < 1e-9 or min(shares) < 0.0:
        raise CannotChooseError(
            f"the policy did not give {count} probabilities that sum to 1; test it with testing.check_policy"
        )
    at = 0.0
    chosen = -1
    for k, share in enumerate(shares):
        if share > 0.0:
            chosen = k
            at += share
            if u < at:
                break
    return chosen, shares[chosen]


def _new_id(now: float) -> str:
    """32 hexadecimal digits: 12 of time in milliseconds, 20 random, so that ids sort by time and cannot be guessed."""
    return f"{max(int(now * 1000.0), 0):012x}{os.urandom(10).hex()}"
