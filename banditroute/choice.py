"""The choice: beliefs and a preference become a decision, outcomes become better beliefs."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import numpy as np

from banditroute.beliefs.base import Belief, Prior
from banditroute.beliefs.drift import Drift, Reset
from banditroute.draw import CannotChooseError, draw
from banditroute.errors import InvalidRequestError
from banditroute.history import History
from banditroute.learners import Learner
from banditroute.limits.budget import Spend
from banditroute.limits.constraints import Limits
from banditroute.limits.gate import Gate
from banditroute.outlook import look, tokens_of
from banditroute.policies.base import SharedPolicyState, start
from banditroute.rewards.objectives import Objective
from banditroute.rewards.prices import TokenPrices
from banditroute.rewards.scaling import Scaled, Scales
from banditroute.rewards.utility import utility, weights
from banditroute.store.base import Event, Memory, PutState
from banditroute.types import Arm, Decision, Preference, Request, Vector

_CACHED_PREFERENCES = 1024
_NOT_FINITE = "the belief is not finite; verify or restore the stored statistics"


class Chooser:
    """A belief, the policy that acts on it, and the randomness between. Safe to use from many threads.

    Parameters
    ----------
    arms, objectives
        What can be chosen, and what can be observed of it, by name.
    learner
        Belief and policy.
    gate
        What may be chosen just now.
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
        gate: Gate,
        features_version: str,
        dimension: int,
        memory: Memory,
        put_state: PutState,
        rng: np.random.Generator,
    ) -> None:
        self._objectives = objectives
        self._gate = gate
        self._scales = Scales(objectives=objectives, states=memory.states, put_state=put_state)
        self._policy = start(learner.policy, objectives=objectives)
        self._shared = self._policy if isinstance(self._policy, SharedPolicyState) else None
        self._put_state = put_state
        self._of_context = learner.context_exploration**2
        self._policy_text = repr(learner)
        self._learner = learner
        self._dimension = dimension
        self._priors = {o.name: Prior(mean=o.prior_mean, noise=o.prior_noise) for o in objectives.values()}
        self._rng = rng
        self._lock = threading.Lock()
        self._changing = threading.Lock()  # held, outside the other, while the belief is exchanged
        self._weights: dict[Preference, Vector] = {}
        self._drift = Drift(
            test=learner.drift,
            belief=learner.belief,
            dimension=dimension,
            features_version=features_version,
            put_state=put_state,
        )
        self._seat(arms)
        self._recall = partial(History, belief=learner.belief, features_version=features_version, dimension=dimension)
        self._judged_by: object = None  # by what is folded, all processes choose what is chosen once for a belief
        self._history = self._recall(memory=memory)
        self._belief = self._remember(self._history, arms, memory)
        self._share(memory.states)
        for event in memory.pending:
            self._policy.learn(event.arm, event.x, event.values)
        self._learned = memory.feedback
        self._decided = memory.decisions

    def rates(self, prefer: Preference | Scaled) -> Preference:
        """The exchange rates that a preference comes to just now."""
        if isinstance(prefer, Preference):
            return prefer
        with self._lock:
            return self._scales.rates(prefer)

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
            belief, gate = self._belief, self._gate
            if limits is not None:
                self._watch(limits.objectives.values())
            signed = self._weights.get(preference)
            if signed is None:
                signed = self._weigh(preference)
            belief.advance(now, ordinal)
            outlook = look(
                belief,
                x,
                of_context=self._of_context,
                prices=self._prices,
                tokens=None if self._prices is None else tokens_of(request),
                availability=gate.availability,
            )
            objectives, means, spreads, explored, _ = outlook
            admission = None
            if limits is not None or gate.bars(request.input_tokens):
                admission = gate.admit(
                    range(len(names)) if eligible is None else eligible,
                    tokens=request.input_tokens,
                    now=now,
                    limits=limits,
                    beyond=outlook.excess(limits, belief.counts) if limits and limits.objectives else None,
                )
                eligible = admission.positions
            utilities, utility_spreads = utility(signed, means, explored)
            penalties = self._no_penalty
            if gate.accounts.count(request.tags):
                spends = {name: means[objectives.index(name)] for name in gate.accounts.objectives}
                if not all(math.isfinite(row.sum()) for row in (utilities, *spends.values())):
                    raise CannotChooseError(_NOT_FINITE)
                positions = range(len(names)) if eligible is None else eligible
                penalties, eligible = gate.accounts.pace(
                    request.tags, utilities, utility_spreads, spends, positions, now
                )
                utilities = utilities - penalties
            information = belief.information
            if eligible is not None:
                names = tuple(names[k] for k in eligible)
                means, spreads = means[:, eligible], spreads[:, eligible]
                utilities, utility_spreads = utilities[eligible], utility_spreads[eligible]
                penalties = penalties[eligible]

                def information() -> Vector:
                    some: Vector = belief.information()[eligible]
                    return some

            if not math.isfinite(np.vdot(utilities, utilities) + np.vdot(utility_spreads, utility_spreads)):
                raise CannotChooseError(_NOT_FINITE)
            probabilities = self._policy.probabilities(
                utilities, utility_spreads, arms=names, information=information, x=x
            )
            chosen, propensity = draw(probabilities, len(names), self._rng.random())
            id = _new_id(now)
            self._enter(id, request, chosen, names, probabilities, now)
        return Decision(
            id=id,
            arm=names[chosen],
            propensity=propensity,
            reason="policy" if admission is None else admission.reason(names[chosen]),
            decided_at=now,
            arms=names,
            probabilities=probabilities,
            objectives=objectives,
            means=means,
            spreads=spreads,
            utilities=utilities,
            utility_spreads=utility_spreads,
            penalties=penalties,
            x=x,
            preference=preference,
            policy=self._policy_text,
            session=request.session,
            tags=request.tags,
            input_tokens=request.input_tokens,
            ordinal=ordinal,
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
        nothing = np.zeros((0, len(names)))
        zeros = np.zeros(len(names))
        probabilities = np.array([float(name == arm) for name in names])
        id = _new_id(now)
        with self._lock:
            ordinal = self._decided
            self._decided += 1
            with suppress(Exception):  # what fails may be the gate itself
                self._enter(id, request, names.index(arm), names, probabilities, now)
        return Decision(
            id=id,
            arm=arm,
            propensity=1.0,
            reason=f"fallback: {trouble}",
            decided_at=now,
            arms=names,
            probabilities=probabilities,
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
            ordinal=ordinal,
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
            if event.arm not in self._names:
                self._history.learn(event.arm, [event])  # for its return
                return
            known = len(self._belief.objectives)
            changed = self._drift.notice(self._belief, event.arm, event.x, event.values)
            self._belief.update(event.arm, event.x, event.values, decided_at=event.decided_at, ordinal=event.ordinal)
            self._policy.learn(event.arm, event.x, event.values)
            if self._shared is not None and (news := self._shared.news()) is not None:
                self._put_state("policy", news, self._shared.join)
            self._scales.add(event.arm, event.values)
            if len(self._belief.objectives) != known:
                self._weights.clear()
            for objective in changed:
                left = self._drift.reset(self._belief.statistics(), event.arm, objective, event.decided_at)
                self._exchange(self._believe(self._history, left, self._arms))

    @property
    def resets(self) -> tuple[Reset, ...]:
        """The latest change of everything that changed, oldest first."""
        with self._lock:
            return self._drift.resets

    def report(self, id: str, event: Event, now: float) -> None:
        """Tell the gate what is newly reported, ``now``, of decision ``id``, and learned already."""
        with self._lock:
            self._gate.report(id, event.arm, event.values, decided_at=event.decided_at, now=now, first=event.first)

    def spends(self, now: float) -> tuple[Spend, ...]:
        """How each budget stands."""
        with self._lock:
            return self._gate.accounts.spends(now)

    def _enter(
        self, id: str, request: Request, chosen: int, names: Sequence[str], probabilities: Vector, now: float
    ) -> None:
        """Tell the gate of the decision ``id`` for the ``chosen``-th of ``names``."""
        tokens = None if self._prices is None else tokens_of(request)
        by_tokens = None
        if self._prices is not None and tokens is not None:
            by_tokens = self._prices.by_tokens(self._names.index(names[chosen]), tokens)
        self._gate.choose(id, chosen, names, probabilities, request.tags, now, by_tokens)

    def refresh(self, memory: Memory) -> None:
        """Believe what is remembered now in place of what was; meanwhile nothing may be learned."""
        with self._changing:
            history = self._recall(memory=memory)
            belief = self._remember(history, self._arms, memory)
            with self._lock:
                self._history = history
                self._exchange(belief)
                self._share(memory.states)
                self._learned = memory.feedback
                self._decided = max(self._decided, memory.decisions)

    def warm_start(self, statistics: Mapping[str, bytes]) -> None:
        """Begin anew from these statistics of a log, in place of an earlier log's, and from all feedback."""
        with self._changing, self._lock:
            self._history.keep(self._belief.statistics())
            self._history.warm = dict(statistics)
            self._exchange(self._believe(self._history, self._history.begin(self._arms), self._arms))

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Choose among ``arms`` from now on; what was learned of others is kept for their return."""
        with self._changing, self._lock:
            self._history.keep(self._belief.statistics())
            belief = self._believe(self._history, self._history.begin(arms), arms)
            self._gate.set_arms(arms)
            self._seat(arms)
            self._exchange(belief)

    def _seat(self, arms: Sequence[Arm]) -> None:
        """Derive all that follows from the arms alone."""
        self._arms = tuple(arms)
        self._names = tuple(arm.name for arm in arms)
        self._scales.set_arms(self._names)
        self._prices = TokenPrices(arms=arms) if any(arm.priced for arm in arms) else None
        self._no_penalty = np.zeros(len(arms))
        self._no_penalty.flags.writeable = False

    def _remember(self, history: History, arms: Sequence[Arm], memory: Memory) -> Belief:
        """Believe all that is remembered of the arms, less what changes of theirs took off."""
        statistics = history.begin(arms)
        left = self._drift.discounted(lambda: statistics, memory.states)
        return self._believe(history, statistics if left is None else left, arms)

    def _believe(self, history: History, statistics: Mapping[str, bytes], arms: Sequence[Arm]) -> Belief:
        begin = partial(self._learner.belief.start, arms=arms, dimension=self._dimension, priors=self._priors)
        judged_by = tuple(arms), history.folded(arms)
        if judged_by != self._judged_by:
            self._judged_by, self._judge = judged_by, begin(statistics=judged_by[1])
        belief = begin(statistics=statistics, like=self._judge)
        if any(arm.priced for arm in arms):
            belief.watch(["cost_usd", "output_tokens"])
        belief.watch(self._gate.accounts.objectives)
        return belief

    def _share(self, states: Mapping[str, bytes]) -> None:
        """Let the policy know what all processes told it, if it can."""
        if self._shared is not None and "policy" in states:
            self._shared.begin_anew(states["policy"])

    def _exchange(self, belief: Belief) -> None:
        belief.watch(self._belief.objectives)
        self._belief = belief
        self._weights.clear()

    def _watch(self, objectives: Iterable[str]) -> None:
        known = len(self._belief.objectives)
        self._belief.watch(list(objectives))
        if len(self._belief.objectives) != known:
            self._weights.clear()

    def _weigh(self, preference: Preference) -> Vector:
        self._watch(name for name, weight in preference.items() if weight > 0.0)
        if len(self._weights) >= _CACHED_PREFERENCES:
            self._weights.clear()
        signed = weights(preference, self._belief.objectives, self._objectives)
        self._weights[preference] = signed
        return signed


def _new_id(now: float) -> str:
    """32 hexadecimal digits: 12 of time in milliseconds, 20 random, so that ids sort by time and cannot be guessed."""
    return f"{max(int(now * 1000.0), 0):012x}{os.urandom(10).hex()}"
