"""The engine: a request and a preference become a decision, and outcomes become better models."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import numpy as np

from banditroute.adapters.penalties import AdapterPenalties, Seen
from banditroute.beliefs.base import Belief
from banditroute.beliefs.drift import Reset
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.decision_ids import DecisionIds
from banditroute.core.failure import Failure
from banditroute.core.forking import hold_while_forking
from banditroute.core.preference import Preference
from banditroute.core.promise import Promise
from banditroute.core.request import Request
from banditroute.core.token_costs import CACHED_TOKENS
from banditroute.core.turn import SessionTurn, TurnCosts
from banditroute.core.values import open_twin
from banditroute.errors import InvalidRequestError
from banditroute.guard.monitor import Mixed
from banditroute.learners import Learner
from banditroute.objectives.objective import Objective
from banditroute.objectives.scaling import Scaled, Scales
from banditroute.policies.base import PolicyState, SharedPolicyState, start
from banditroute.router.candidates import Candidates
from banditroute.router.constraints import Constraints
from banditroute.router.figures import Figures
from banditroute.router.foresight import Foresight
from banditroute.router.models import ArmModels, NotWatchedError
from banditroute.router.requests import Ask, NothingToAskError, reason_left_out
from banditroute.router.sampling import RandomStream, sample_arm
from banditroute.router.session_stage import SessionStage
from banditroute.router.status import Status
from banditroute.sessions.book import SessionBook
from banditroute.store.base import Backlog, OutcomeEvent, Recorded, StoredDecision, StoredState
from banditroute.store.outcomes import failure_of, measured
from banditroute.store.state_slot import StateSlots

_T = TypeVar("_T")
_OpenDecision = open_twin(Decision)

_FIRST_SLICE_SECONDS = 0.5  # that a key's first request waits, at most, for the database
_MOST_WAIT_SECONDS = 0.1  # for a rebuild, before the first request that weighs an objective makes others wait
_LENT_SECONDS = 0.01  # how long a signal handler lends the lock before it looks whether it has what it waits for


class Engine:
    """Arm models, the policy that acts on them, and the randomness between. Safe to use from many threads.

    One lock is held for a whole decision. The models are updated in place, by rank-one updates of arrays that all arms
    share. A snapshot for every decision would copy these arrays with every outcome, and gain nothing: the interpreter
    runs one thread at a time, so two decisions do not overlap anyway.

    Parameters
    ----------
    objectives
        What can be observed, by name.
    learner
        Its policy, and its name in decisions.
    models
        The models of the arms.
    constraints
        Limits, breaker, budgets, traffic shares and guard.
    adapters
        What loading an adapter and leaving a session's arm take off.
    sessions
        The sessions and their prompt caches; None: they do not count.
    memory
        The state that earlier processes stored.
    slots
        Where scales and shared policy state are stored.
    stream
        Draws the arms.
    """

    def __init__(
        self,
        *,
        objectives: Mapping[str, Objective],
        learner: Learner,
        models: ArmModels,
        constraints: Constraints,
        adapters: AdapterPenalties,
        sessions: SessionBook | None = None,
        memory: StoredState,
        slots: StateSlots,
        stream: RandomStream,
    ) -> None:
        self.models: ArmModels = models
        self.adapters = adapters
        self.sessions = sessions
        self._session_stage = None if sessions is None or not sessions.active else SessionStage(sessions)
        self._constraints = constraints
        self._hard_keys = constraints.has_hard_keys
        self._objectives = objectives
        self._scales = Scales(objectives=objectives, slot=slots["scales"])
        self._scales.set_arms(models.names)
        self._act_as(learner)
        self._policy_slot = slots["policy"]
        self._foresight: Foresight | None = None
        self._stream = stream
        self._ids = DecisionIds()
        # A signal handler may come to them again.
        self._lock = threading.RLock()
        self._rebuilding = threading.RLock()  # held, outside the other, while the models are rebuilt
        self._turn = threading.Condition(self._lock)  # tells whether this thread holds the lock, and lends it
        hold_while_forking(self, "_rebuilding", "_lock")
        self._load_shared_policy(memory.states)
        for event in memory.pending:
            self.policy.learn(event.arm, event.x, measured(event.values))
        self._figures = Figures()
        self._learned = memory.feedback
        self._decided = memory.decisions

    # A decision.

    def decide(self, ask: Ask) -> Decision:
        """Return the policy's decision for a request.

        Raises
        ------
        InvalidRequestError
            If all eligible arms were removed meanwhile.
        CannotChooseError
            If the predictions are not finite, or the policy gives no probabilities.
        """
        try:
            return self._decide(ask)
        except NotWatchedError as missing:  # the first request that weighs an objective
            self._watch(missing.objectives)
            return self._decide(ask)

    def _decide(self, ask: Ask) -> Decision:
        assert ask.x is not None
        with self._lock:
            candidates, pmf, shaped, mixed = self._weigh(ask, ask.x, self._decided)
            ordinal = self._next_ordinal()
            chosen, propensity = sample_arm(pmf, len(candidates.arms), self._stream.generator.random())
            arm, id = candidates.arms[chosen], self._ids.make(ask.now)
            costs = self.models.token_costs(arm, candidates.tokens, candidates.turn)
            granted, turn = candidates.granted, None
            reserved = self._constraints.reserve(
                id, chosen, candidates.arms, pmf, ask.request, ask.now, costs, granted=granted
            )
            if granted and self.adapters.active:
                self.adapters.note(arm, ask.x, ask.preference, candidates.tokens, ask.request.session)
            if granted and self._session_stage is not None:
                turn = self._session_stage.note(candidates, ask, id, arm)
            if granted and mixed is not None:
                weights = self._signed_weights(ask.preference)
                self._constraints.await_evidence(id, chosen, mixed, candidates, weights, costs)
            self._figures.add_decision(arm, ask.now)
        reason = candidates.reason(arm, shaped)
        return self._decision(ask, candidates, id, ordinal, chosen, pmf, propensity, reason, reserved, turn)

    def await_first_slices(self, request: Request, now: float) -> None:
        """Wait a moment for the first slices of hard budgets with keys: a new session's, or a new user's."""
        if not self._hard_keys:
            return
        until = time.monotonic() + _FIRST_SLICE_SECONDS
        while time.monotonic() < until:
            with self._lock:
                if not self._constraints.awaits_first_slice(request, now):
                    return
            time.sleep(_FIRST_SLICE_SECONDS / 200)

    def preview(self, ask: Ask) -> Decision:
        """Return what ``decide`` would decide now, with the likeliest arm; nothing is counted, reserved or drawn.

        Raises
        ------
        CannotChooseError
            As ``decide``.
        """
        assert ask.x is not None
        try:
            with self._lock:
                candidates, pmf, shaped, _ = self._weigh(ask, ask.x, self._decided)
        except NotWatchedError as missing:
            self._watch(missing.objectives)
            return self.preview(ask)
        chosen = int(pmf.argmax())
        reason = candidates.reason(candidates.arms[chosen], shaped)
        return self._decision(ask, candidates, "", self._decided, chosen, pmf, float(pmf[chosen]), reason, {})

    def prepare(self, preference: Preference | Scaled) -> None:
        """Predict and choose once without a decision, so that the first one does not pay for imports and BLAS."""
        x = np.zeros(self.models.dimension)
        x[-1] = 1.0
        with self._lock, suppress(Exception):  # what fails here fails in the first decision, which says why
            rates = self.rates(preference)
            candidates = self.models.review(x, rates, tokens=None, availability=self._constraints.availability)
            candidates.probabilities(start(self.learner.policy, objectives=self._objectives), x)

    def fall_back(self, ask: Ask, *, arm: str, trouble: str) -> Decision:
        """Return a decision for ``arm``, or for the first eligible one, without asking models or policy."""
        candidates = Candidates.blank(self.models.names if ask.eligible is None else tuple(ask.eligible))
        arm = arm if arm in candidates.arms else candidates.arms[0]
        refused = None
        with self._lock, suppress(Exception):  # what fails may be the budgets themselves
            arm, refused = self._constraints.affordable_fallback(ask.request, candidates.arms, arm, ask.now)
        if refused is not None:
            trouble = f"{refused}; {trouble}"
        chosen = candidates.arms.index(arm)
        pmf = np.array([float(k == chosen) for k in range(len(candidates.arms))])
        arm, id = candidates.arms[chosen], self._ids.make(ask.now)
        reserved: Mapping[str, tuple[float, ...]] = {}
        with self._lock:
            ordinal = self._next_ordinal()
            self._figures.add_decision(arm, ask.now)
            with suppress(Exception):  # what fails may be the constraints themselves
                costs = self.models.token_costs(arm, self.models.token_count(ask.request))
                reserved = self._constraints.reserve(
                    id, chosen, candidates.arms, pmf, ask.request, ask.now, costs, granted=refused is None
                )
        return self._decision(ask, candidates, id, ordinal, chosen, pmf, 1.0, f"fallback: {trouble}", reserved)

    def preview_fallback(self, ask: Ask, *, arm: str, trouble: str) -> Decision:
        """Return the decision for ``arm`` that ``fall_back`` would make; nothing is counted or reserved."""
        candidates = Candidates.blank((arm,))
        return self._decision(ask, candidates, "", self._decided, 0, np.ones(1), 1.0, f"fallback: {trouble}", {})

    def _watch(self, objectives: Sequence[str]) -> None:
        """Predict these objectives from now on; decisions go on while they are derived.

        A signal handler that interrupts a decision holds the lock already, and must not wait for a rebuild.
        """
        aside = self._rebuilding.acquire(timeout=_MOST_WAIT_SECONDS)
        try:
            belief = self.models.watching_aside(objectives) if aside else None
            with self._lock:
                self.models.watch(objectives, belief)
        finally:
            if aside:
                self._rebuilding.release()

    def _next_ordinal(self) -> int:
        ordinal = self._decided
        self._decided += 1
        return ordinal

    def _weigh(self, ask: Ask, x: Vector, ordinal: int) -> tuple[Candidates, Vector, str | None, Mixed | None]:
        """Return the arms that may be chosen, their probabilities, what shaped these, and the mixture of a guard."""
        candidates = self._constraints.foresee_waits(self._predict(ask, x, ordinal), ask)
        if self._session_stage is not None:
            candidates = self._session_stage.price(candidates, ask)
        candidates = self._constraints.admit(candidates, ask)
        candidates = self.models.weigh_costs(candidates, ask.preference)
        if self._foresight is not None and self._foresight.active and not ask.request.again:
            candidates = self._foresight.look_ahead(candidates, ask.preference)
        if self.adapters.active or self._session_stage is not None:
            candidates = self._penalize(candidates, ask)
        candidates = self._constraints.price(candidates, ask)
        if ask.request.again:
            _check_further_call(candidates)
        candidates = candidates.narrowed()
        candidates.check_finite()
        wanted = candidates.probabilities(self.policy, x)
        if self._session_stage is not None:
            wanted = self._session_stage.redraw(candidates, wanted)
        pmf, shaped, mixed = self._constraints.shape(wanted, candidates, self.policy, x)
        return candidates, pmf, shaped, mixed

    def _predict(self, ask: Ask, x: Vector, ordinal: int) -> Candidates:
        """Return all arms with predictions, of which those that the request names are eligible."""
        candidates = self.models.predict(
            x,
            ask.preference,
            request=ask.request,
            availability=self._constraints.availability,
            limited=() if ask.limits is None else list(ask.limits.objectives.values()),
            now=ask.now,
            ordinal=ordinal,
        )
        if ask.eligible is None:
            return candidates
        named = set(ask.eligible)
        eligible = [k for k, name in enumerate(candidates.arms) if name in named]
        if not eligible:
            raise InvalidRequestError(f"no arm is left: {', '.join(ask.eligible)} was removed meanwhile")
        missing = {arm.name: reason_left_out(arm, ask) for arm in self.models.arms if arm.name not in named}
        return candidates.restricted(eligible, missing)

    def _penalize(self, candidates: Candidates, ask: Ask) -> Candidates:
        """Take off what loading adapters and leaving a session's arm cost; rule out all but an arm to be tried."""
        penalties = self.adapters.penalties(ask.preference, ask.request.session)
        if penalties is not None:
            candidates = candidates.penalized(penalties)
        if candidates.turn is not None and self._session_stage is not None:
            candidates = self._session_stage.narrow(candidates, candidates.turn)
        forced = self.adapters.forced(candidates.eligible)
        if forced is None:
            return candidates
        return candidates.restricted(forced, "adapters: another arm had to be tried")._replace(forced=True)

    def _signed_weights(self, preference: Preference) -> dict[str, float]:
        """Return the weight of every objective that matters, below 0 where less is better."""
        return {name: weight * self._objectives[name].sign for name, weight in preference.items() if weight > 0.0}

    def _decision(
        self,
        ask: Ask,
        candidates: Candidates,
        id: str,
        ordinal: int,
        chosen: int,
        pmf: Vector,
        propensity: float,
        reason: str,
        reserved: Mapping[str, tuple[float, ...]],
        turn: TurnCosts | None = None,
    ) -> Decision:
        arm = candidates.arms[chosen]
        decision = _OpenDecision(
            id=id,
            arm=arm,
            propensity=propensity,
            reason=ask.reason(reason),
            decided_at=ask.now,
            arms=candidates.arms,
            probabilities=pmf,
            objectives=candidates.objectives,
            means=candidates.means,
            stds=candidates.stds,
            utilities=candidates.utilities,
            utility_stds=candidates.utility_stds,
            penalties=candidates.penalties,
            x=ask.x,
            preference=ask.preference,
            policy=self._policy_text,
            session=ask.request.session,
            tags=ask.request.tags,
            input_tokens=ask.request.input_tokens,
            ordinal=ordinal,
            residency=self.adapters.residency(arm) if self.adapters.active else None,
            reserved=reserved,
            turn=turn,
            dominated=candidates.dominated and _without_chance(candidates.dominated, candidates.arms, pmf),
            excluded=candidates.excluded,
            deadline_seconds=None if ask.limits is None else ask.limits.max_latency_seconds,
            max_cost_usd=None if ask.limits is None else ask.limits.max_cost_usd,
        )
        decision.__class__ = Decision
        return decision

    # Learning.

    def learn(self, event: OutcomeEvent) -> None:
        """Learn new outcomes of a decision."""
        with self._rebuilding:
            prepared = self.models.prepare(event)  # what takes long is done before decisions have to wait
            with self._lock:
                self._learned += event.first
                self.models.learn(event, prepared)
                if self.models.knows(event.arm):
                    outcomes = measured(event.values)
                    self.policy.learn(event.arm, event.x, outcomes)
                    if self._shared_policy is not None and (update := self._shared_policy.take_update()) is not None:
                        self._policy_slot.save(update, self._shared_policy.merge)
                    self._scales.add(event.arm, outcomes)
        if event.values.get("availability") == 0.0 and _adapter_may_be_gone(event.values):
            self.adapters.observe_failure(event.arm)
        if self.adapters.due:
            self.adapters.plan(self._review, self.models.untried)

    def correct(self, before: OutcomeEvent, after: OutcomeEvent) -> None:
        """Take back ``before`` and learn ``after``, outcomes of one decision."""
        self._rebuild(lambda: self.models.amended([before, after]))

    def observe_outcome(self, recorded: Recorded) -> None:
        """Let the constraints see new outcomes of a decision, which are learned already."""
        with self._lock:
            self._constraints.observe_outcome(recorded)
            if self.sessions is not None and (cached := recorded.event.values.get(CACHED_TOKENS)) is not None:
                self.sessions.observe(recorded.decision_id, cached)
            event = recorded.event
            self._figures.add_outcomes(recorded.decision_id, event.arm, event.values, recorded.received_at)

    def count_correction(self, decision_id: str, values: Mapping[str, float]) -> None:
        """Show corrected outcomes in the figures."""
        with self._lock:
            self._figures.correct(decision_id, values)

    def _review(self, seen: Seen) -> tuple[Vector, Vector]:
        """Return the present utility of every arm at an earlier request, and its standard deviation."""
        with self._lock:  # for each request by itself, so that no decision waits for all
            candidates = self.models.review(
                seen.x, seen.preference, tokens=seen.tokens, availability=self._constraints.availability
            )
            return candidates.utilities, candidates.utility_stds

    # What others ask.

    def rates(self, preference: Preference | Scaled) -> Preference:
        """Return the exchange rates that a preference comes to just now."""
        if isinstance(preference, Preference):
            return preference
        with self._lock:
            return self._scales.rates(preference)

    def compare(self, winner: StoredDecision, loser: StoredDecision, *, tied: bool) -> tuple[float, float]:
        """Return the pseudo-outcomes of winner and loser of a pairwise comparison."""
        with self._lock:
            return self.models.compare(winner, loser, tied=tied)

    def advantage(self, made: StoredDecision, objective: str) -> float:
        """Return what the arm of a decision is expected to add to what its probabilities gave on average."""
        with self._lock:
            return self.models.advantage(made, objective)

    def expect(self, served: StoredDecision, request: Request) -> Candidates | None:
        """Return all arms with present predictions for an earlier request; None if its features are other ones."""
        x = served.x
        if x is None or len(x) != self.models.dimension:
            return None
        with self._lock:
            self.models.belief.watch(["quality"])
            tokens, availability = self.models.token_count(request), self._constraints.availability
            return self.models.review(x, served.preference, tokens=tokens, availability=availability)

    def look_ahead_with(self, foresight: Foresight) -> None:
        """Let first choices count on what may follow them, as far as ``foresight`` is active."""
        self._foresight = foresight

    def status(
        self, now: float, *, router: str, fallbacks: int, trouble: str | None, backlog: Backlog, unobserved: int
    ) -> Status:
        """Return the figures of this process; what the engine does not know itself is given."""
        with self._lock:
            return Status(
                at=now,
                router=router,
                decisions=self._figures.decisions,
                learned=self._learned,
                fallbacks=fallbacks,
                trouble=trouble,
                arms=self._figures.of_arms(self.models.names, self._constraints.open_circuits, now),
                budgets=self._constraints.budget_statuses(now),
                rollout=self._constraints.rollout(),
                resets=self.models.resets,
                queued=backlog.decisions,
                lag_seconds=0.0 if backlog.oldest_at is None else max(now - backlog.oldest_at, 0.0),
                dropped=backlog.dropped,
                pending=backlog.pending,
                unobserved=unobserved,
                pool=self.models.pool(),
            )

    @property
    def learned(self) -> int:
        """Number of decisions with feedback that the models rest on."""
        return self._learned

    @property
    def decided(self) -> int:
        """Number of decisions so far: the ordinal of the next one."""
        return self._decided

    @property
    def resets(self) -> tuple[Reset, ...]:
        """The latest change of everything that changed, oldest first."""
        with self._lock:
            return self.models.resets

    def waiting(self, wait: Callable[[], _T]) -> _T:
        """Return ``wait()``, which waits for another thread.

        A signal handler may have interrupted this very thread within a decision. Then it holds the lock that the other
        thread needs, and lends it meanwhile.
        """
        turn, lends = self._turn, True
        try:
            turn.notify()
        except RuntimeError:  # this thread does not hold the lock, as nearly always
            lends = False
        if not lends:
            return wait()
        result: Promise[_T] = Promise()
        threading.Thread(target=_settle, args=(result, wait), daemon=True).start()
        while not result.done():
            turn.wait(_LENT_SECONDS)
        return result.result()

    def with_constraints(self, do: Callable[[Constraints], _T]) -> _T:
        """Return ``do(constraints)``, called while the lock is held."""
        with self._lock:
            return do(self._constraints)

    @property
    def follows_sessions(self) -> bool:
        """True if the turns of sessions are priced by their prompt caches."""
        return self._session_stage is not None

    def follow_turns(self, turns: Sequence[SessionTurn]) -> None:
        """Take over turns of sessions that other processes have served."""
        with self._lock:
            if self.sessions is not None:
                self.sessions.follow_turns(turns)

    def close(self) -> None:
        """Store what is counted of sessions, and give back leases of servers and slices of hard budgets."""
        self.adapters.close()
        with self._lock:
            if self.sessions is not None:
                self.sessions.close()
            self._constraints.close()

    # Changes at run time.

    def rebuild(self, memory: StoredState) -> None:
        """Rebuild the models from the stored state. Do not call ``learn`` concurrently."""
        with self._rebuilding:
            loaded = self.models.load(memory)
            with self._lock:
                self.models.swap(*loaded)
                self._load_shared_policy(memory.states)
                self._constraints.load_rollout(memory.states.get("guard"))
                if self.sessions is not None:
                    self.sessions.follow_counts(memory.states.get("sessions"))
                self._learned = memory.feedback
                self._decided = max(self._decided, memory.decisions)

    def warm_start(self, statistics: Mapping[str, bytes]) -> None:
        """Rebuild the models from these statistics of a log, in place of an earlier log's, and from all feedback."""
        self._rebuild(lambda: self.models.warm_started(statistics))

    def follow_learner(self, learner: Learner) -> None:
        """Decide by another learner from now on, which rests on the same statistics; decisions go on meanwhile."""
        with self._rebuilding:
            models = self.models.led_by(learner)
            with self._lock:
                self.models = models
                self._act_as(learner)

    def _act_as(self, learner: Learner) -> None:
        self.learner = learner
        self.policy: PolicyState = start(learner.policy, objectives=self._objectives)
        self._shared_policy = self.policy if isinstance(self.policy, SharedPolicyState) else None
        self._policy_text = repr(learner)

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Choose among ``arms`` from now on; what was learned of others is kept for their return."""
        with self._rebuilding:  # decisions go on while the belief is built
            belief = self.models.over(arms)
            with self._lock:
                self.models.use(belief, arms)
                self._constraints.set_arms(arms)
                self.adapters.set_arms(arms)
                if self.sessions is not None:
                    self.sessions.set_arms(arms)
                    self._session_stage = SessionStage(self.sessions) if self.sessions.active else None
                self._scales.set_arms(self.models.names)

    def _rebuild(self, build: Callable[[], Belief]) -> None:
        """Use the belief that ``build`` returns; decisions go on while it is built."""
        with self._rebuilding:
            belief = build()
            with self._lock:
                self.models.use(belief)

    def _load_shared_policy(self, states: Mapping[str, bytes]) -> None:
        """Load policy state shared by other processes, if the policy supports it."""
        if self._shared_policy is not None and "policy" in states:
            self._shared_policy.restart_from(states["policy"])


def _settle(result: Promise[_T], wait: Callable[[], _T]) -> None:
    try:
        result.set_result(wait())
    except BaseException as error:
        result.set_exception(error)


def _adapter_may_be_gone(values: Mapping[str, float]) -> bool:
    """Return whether a failed call may have missed its adapter: it says so, or does not say how it failed."""
    failure = failure_of(values)
    return failure is None or failure[0] is Failure.UNKNOWN_MODEL


def _without_chance(dominated: Sequence[str], arms: Sequence[str], pmf: Vector) -> tuple[str, ...]:
    """Return the dominated arms that cannot be chosen: a floor, a share or a budget may give one its chance."""
    return tuple(arm for arm in dominated if arm not in arms or pmf[arms.index(arm)] == 0.0)


def _check_further_call(candidates: Candidates) -> None:
    """Raise NothingToAskError if every arm would break a limit or a budget: a further call is not worth that."""
    trouble = candidates.uncovered or candidates.overruled
    if trouble is not None:
        raise NothingToAskError(trouble)
