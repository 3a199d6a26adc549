"""The choice: beliefs and a preference become a decision, outcomes become better beliefs."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import numpy as np

from banditroute.adapters.penalties import AdapterPenalties, Seen
from banditroute.beliefs.base import Belief
from banditroute.beliefs.drift import Reset
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.errors import InvalidRequestError
from banditroute.learners import Learner
from banditroute.limits.constraints import Limits
from banditroute.objectives.objective import Objective
from banditroute.objectives.scaling import Scaled, Scales
from banditroute.objectives.utility import utility, weights
from banditroute.policies.base import SharedPolicyState, start
from banditroute.pricing.token_prices import TokenPrices
from banditroute.router.candidates import Candidates
from banditroute.router.constraints import Constraints
from banditroute.router.forecast import Forecast, look, tokens_of
from banditroute.router.models import ArmModels
from banditroute.router.sampling import CannotChooseError, draw
from banditroute.store.base import Event, PutState, Served, StoredState
from banditroute.store.outcomes import measured

_T = TypeVar("_T")
_CACHED_PREFERENCES = 1024
_FORCED = "adapters: it had to be tried"
_NOT_FINITE = "the belief is not finite; verify or restore the stored statistics"


class Engine:
    """A belief, the policy that acts on it, and the randomness between. Safe to use from many threads.

    Parameters
    ----------
    arms, objectives
        What can be chosen, and what can be observed of it, by name.
    learner
        Belief and policy.
    gate
        What may be chosen just now.
    pager
        What paging and switching take off.
    features_version, dimension
        The features, and d, the length of the context with its bias.
    memory
        What was learned before, by earlier processes.
    put_state
        Takes what is to be found in the memory's ``states`` after a restart; see ``Store.put_state``.
    rng
        Draws the arms.
    """

    def __init__(
        self,
        *,
        arms: Sequence[Arm],
        objectives: Mapping[str, Objective],
        learner: Learner,
        gate: Constraints,
        pager: AdapterPenalties,
        features_version: str,
        dimension: int,
        memory: StoredState,
        put_state: PutState,
        rng: np.random.Generator,
    ) -> None:
        self._objectives = objectives
        self._gate = gate
        self.pager = pager
        self._scales = Scales(objectives=objectives, states=memory.states, put_state=put_state)
        self._policy = start(learner.policy, objectives=objectives)
        self._shared = self._policy if isinstance(self._policy, SharedPolicyState) else None
        self._put_state = put_state
        self._of_context = learner.context_exploration**2
        self._policy_text = repr(learner)
        self._dimension = dimension
        self._rng = rng
        self._lock = threading.Lock()
        self._changing = threading.Lock()  # held, outside the other, while the belief is exchanged
        self._weights: dict[Preference, Vector] = {}
        self._weighed: tuple[str, ...] = ()  # the objectives that they are of
        self._seat(arms)
        self._knowledge = ArmModels(
            arms=arms,
            objectives=objectives,
            learner=learner,
            watched=gate.accounts.objectives,
            features_version=features_version,
            dimension=dimension,
            memory=memory,
            put_state=put_state,
        )
        self._share(memory.states)
        for event in memory.pending:
            self._policy.learn(event.arm, event.x, measured(event.values))
        self._learned = memory.feedback
        self._decided = memory.decisions

    def rates(self, preference: Preference | Scaled) -> Preference:
        """The exchange rates that a preference comes to just now."""
        if isinstance(preference, Preference):
            return preference
        with self._lock:
            return self._scales.rates(preference)

    def choose(
        self,
        request: Request,
        preference: Preference,
        among: Collection[str] | None,
        x: Vector,
        now: float,
        limits: Limits | None = None,
    ) -> Decision:
        """Decide by the policy, among all arms or those named in ``among``, within ``limits``.

        Raises
        ------
        InvalidRequestError
            If all arms in ``among`` were removed meanwhile.
        CannotChooseError
            If what is believed is not finite, or the policy gives no probabilities.
        """
        with self._lock:
            ordinal = self._decided
            self._decided += 1
            names = self._names
            eligible = None if among is None else [k for k, name in enumerate(names) if name in among]
            if eligible == []:
                raise InvalidRequestError(f"no arm is left: {', '.join(among or ())} was removed meanwhile")
            belief, gate = self._knowledge.belief, self._gate
            if limits is not None:
                belief.watch(list(limits.objectives.values()))
            signed = self._weights.get(preference) if belief.objectives is self._weighed else None
            if signed is None:
                signed = self._weigh(preference, belief)
            belief.advance(now, ordinal)
            tokens = None if self._prices is None else tokens_of(request)
            outlook = self._look(tokens, belief, x)
            objectives, means, stds, explored, _ = outlook
            admission = uncovered = None
            if limits is not None or gate.bars(request.input_tokens):
                admission = gate.admit(
                    range(len(names)) if eligible is None else eligible,
                    tokens=request.input_tokens,
                    now=now,
                    limits=limits,
                    beyond=outlook.excess(limits, belief.counts) if limits and limits.objectives else None,
                )
                eligible = admission.positions
            utilities, utility_stds = utility(signed, means, explored)
            penalties = self.pager.penalties(preference, request.session)
            if penalties is None:
                penalties = self._no_penalty
            else:
                utilities = utilities - penalties
            eligible = (forced := self.pager.forced(eligible)) or eligible
            if gate.accounts.counts(request):
                spends = {name: means[objectives.index(name)] for name in gate.accounts.objectives}
                if not all(math.isfinite(row.sum()) for row in (utilities, *spends.values())):
                    raise CannotChooseError(_NOT_FINITE)
                positions = range(len(names)) if eligible is None else eligible
                outcomes = {name: belief.counts(name) for name in gate.accounts.objectives}
                priced = gate.accounts.price(request, utilities, utility_stds, spends, outcomes, positions, now)
                eligible, uncovered = priced.positions, priced.trouble
                penalties, utilities = penalties + priced.penalties, utilities - priced.penalties
            slate = Candidates(names, objectives, means, stds, utilities, utility_stds, penalties, belief.information)
            if eligible is not None:
                slate = slate.of(eligible)
            if not math.isfinite(
                np.vdot(slate.utilities, slate.utilities) + np.vdot(slate.utility_stds, slate.utility_stds)
            ):
                raise CannotChooseError(_NOT_FINITE)
            probabilities = slate.ask(self._policy, x)
            reason, mixed = None, None
            if gate.shapes:
                probabilities, reason, mixed = gate.shape(
                    probabilities, slate.arms, lambda some: slate.of(some).ask(self._policy, x)
                )
            chosen, propensity = draw(probabilities, len(slate.arms), self._rng.random())
            id = _new_id(now)
            reserved, by_tokens = self._enter(id, request, chosen, slate.arms, probabilities, now)
            self.pager.note(slate.arms[chosen], x, preference, tokens, request.session)
            if gate.watch is not None and mixed is not None:
                worth = {name: each * self._objectives[name].sign for name, each in preference.items() if each > 0.0}
                gate.watch.enter(id, chosen, mixed, slate.worth(worth), worth, by_tokens)
        if admission is not None:
            reason = admission.reason(slate.arms[chosen]) or reason
        return slate.decision(
            id,
            chosen,
            probabilities,
            propensity=propensity,
            reason=f"fallback: {uncovered}" if uncovered else _FORCED if forced else reason or "policy",
            request=request,
            preference=preference,
            policy=self._policy_text,
            x=x,
            now=now,
            ordinal=ordinal,
            paging=self.pager.paging(slate.arms[chosen]),
            reserved=reserved,
        )

    def fall_back(
        self,
        request: Request,
        preference: Preference,
        among: Sequence[str] | None,
        x: Vector | None,
        now: float,
        *,
        arm: str,
        trouble: str,
    ) -> Decision:
        """Decide for ``arm``, or the first eligible one, without asking belief or policy."""
        names = self._names if among is None else tuple(among)
        arm = arm if arm in names else names[0]
        with self._lock, suppress(Exception):  # what fails may be the budgets themselves
            arm = self._gate.accounts.fallback(request, names, arm, now)
        chosen = names.index(arm)
        probabilities = np.array([float(k == chosen) for k in range(len(names))])
        id = _new_id(now)
        with self._lock:
            ordinal = self._decided
            self._decided += 1
            reserved: Mapping[str, tuple[float, ...]] = {}
            with suppress(Exception):  # what fails may be the gate itself
                reserved, _ = self._enter(id, request, chosen, names, probabilities, now)
        return Candidates.blank(names).decision(
            id,
            chosen,
            probabilities,
            propensity=1.0,
            reason=f"fallback: {trouble}",
            request=request,
            preference=preference,
            policy=self._policy_text,
            x=x,
            now=now,
            ordinal=ordinal,
            paging=self.pager.paging(names[chosen]),
            reserved=reserved,
        )

    @property
    def learned(self) -> int:
        """Of how many decisions something was learned."""
        return self._learned

    @property
    def decided(self) -> int:
        """How many decisions were made: the ordinal of the next."""
        return self._decided

    def learn(self, event: Event) -> None:
        """Learn what is newly known of a decision."""
        with self._lock:
            self._learned += event.first
            self._knowledge.learn(event)
            if event.arm in self._names:
                outcomes = measured(event.values)
                self._policy.learn(event.arm, event.x, outcomes)
                if self._shared is not None and (news := self._shared.news()) is not None:
                    self._put_state("policy", news, self._shared.join)
                self._scales.add(event.arm, outcomes)
        if self.pager.due:
            self.pager.plan(self._review, self._knowledge.untried)

    def compare(self, winner: Served, loser: Served) -> tuple[float, float]:
        """What it teaches of the quality of each that the one answer was preferred to the other."""
        with self._lock:
            return self._knowledge.compare(winner, loser)

    def expect(self, served: Served, request: Request) -> tuple[float, dict[str, float]]:
        """The quality expected of an arm that served, and the utility of every arm, had each been asked instead."""
        x = served.x
        with self._lock:
            quality = self._knowledge.quality(served.arm, x)
            if x is None or len(x) != self._dimension:
                return quality, {}
            belief = self._knowledge.belief
            signed = self._weigh(served.preference, belief)
            tokens = None if self._prices is None else tokens_of(request)
            means = self._look(tokens, belief, x).means
            return quality, dict(zip(self._names, (signed @ means).tolist(), strict=True))

    @property
    def resets(self) -> tuple[Reset, ...]:
        """The latest change of everything that changed, oldest first."""
        with self._lock:
            return self._knowledge.resets

    def report(self, id: str, event: Event, now: float) -> None:
        """Tell the gate what is newly reported, ``now``, of decision ``id``, and learned already."""
        with self._lock:
            self._gate.report(
                id,
                event.arm,
                event.values,
                reserved=event.reserved,
                known=event.known,
                decided_at=event.decided_at,
                now=now,
            )

    def at_gate(self, do: Callable[[Constraints], _T]) -> _T:
        """What ``do`` makes of the gate, while nothing passes it."""
        with self._lock:
            return do(self._gate)

    def _review(self, seen: Seen) -> tuple[Vector, Vector]:
        """What is believed now of every arm's utility at an earlier request, and its standard deviation."""
        with self._lock:  # for each by itself, so that no request waits for all
            belief = self._knowledge.belief
            signed = self._weigh(seen.preference, belief)
            outlook = self._look(seen.tokens, belief, seen.x)
            return utility(signed, outlook.means, outlook.explored)

    def _look(self, tokens: float | None, belief: Belief, x: Vector) -> Forecast:
        return look(
            belief,
            x,
            of_context=self._of_context,
            prices=self._prices,
            tokens=tokens,
            availability=self._gate.availability,
        )

    def _enter(
        self, id: str, request: Request, chosen: int, names: Sequence[str], probabilities: Vector, now: float
    ) -> tuple[Mapping[str, tuple[float, ...]], tuple[float, float] | None]:
        """Tell the gate of the decision ``id`` for the ``chosen``-th of ``names``.

        Returns what budgets reserve for it, and what it costs by tokens.
        """
        tokens = None if self._prices is None else tokens_of(request)
        by_tokens = None
        if self._prices is not None and tokens is not None:
            by_tokens = self._prices.by_tokens(self._names.index(names[chosen]), tokens)
        return self._gate.choose(id, chosen, names, probabilities, request, now, by_tokens), by_tokens

    def refresh(self, memory: StoredState) -> None:
        """Believe what is remembered now in place of what was; meanwhile nothing may be learned."""
        with self._changing:
            known = self._knowledge.recall(memory)
            with self._lock:
                self._knowledge.replace(*known)
                self._share(memory.states)
                if self._gate.watch is not None:
                    self._gate.watch.follow(memory.states.get("guard"))
                self._learned = memory.feedback
                self._decided = max(self._decided, memory.decisions)

    def warm_start(self, statistics: Mapping[str, bytes]) -> None:
        """Begin anew from these statistics of a log, in place of an earlier log's, and from all feedback."""
        with self._changing, self._lock:
            self._knowledge.warm_start(statistics)

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Choose among ``arms`` from now on; what was learned of others is kept for their return."""
        with self._changing, self._lock:
            self._knowledge.set_arms(arms)
            self._gate.set_arms(arms)
            self.pager.set_arms(arms)
            self._seat(arms)

    def _share(self, states: Mapping[str, bytes]) -> None:
        """Let the policy know what all processes told it, if it can."""
        if self._shared is not None and "policy" in states:
            self._shared.begin_anew(states["policy"])

    def _seat(self, arms: Sequence[Arm]) -> None:
        """Derive all that follows from the arms alone."""
        self._names = tuple(arm.name for arm in arms)
        self._scales.set_arms(self._names)
        self._prices = TokenPrices(arms=arms) if any(arm.priced for arm in arms) else None
        self._no_penalty = np.zeros(len(arms))
        self._no_penalty.flags.writeable = False

    def _weigh(self, preference: Preference, belief: Belief) -> Vector:
        belief.watch([name for name, weight in preference.items() if weight > 0.0])
        if belief.objectives is not self._weighed or len(self._weights) >= _CACHED_PREFERENCES:
            self._weights.clear()
            self._weighed = belief.objectives
        signed = weights(preference, belief.objectives, self._objectives)
        self._weights[preference] = signed
        return signed


def _new_id(now: float) -> str:
    """32 hexadecimal digits: 12 of time in milliseconds, 20 random, so that ids sort by time and cannot be guessed."""
    return f"{max(int(now * 1000.0), 0):012x}{os.urandom(10).hex()}"
