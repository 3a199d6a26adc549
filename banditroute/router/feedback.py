"""The way back: a report is checked and recorded, the models learn from it, and the constraints observe it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import combinations, islice
from typing import TypeAlias

import numpy as np

from banditroute.adapters.shared_residency import RESIDENCY
from banditroute.core.decision import Decision
from banditroute.core.events import AdapterLoaded, FeedbackCorrected, FeedbackRecorded
from banditroute.core.failure import Failure
from banditroute.core.feedback import Feedback
from banditroute.core.promise import Promise
from banditroute.core.shared_total import SharedTotal
from banditroute.core.token_costs import CACHED_TOKENS
from banditroute.core.turn import SessionTurn
from banditroute.core.validation import label, non_negative, one_of, several, shown
from banditroute.errors import BanditRouteError, InvalidFeedbackError, UnknownDecisionError
from banditroute.features.vocabulary import KnownValues
from banditroute.objectives.objective import STANDARD_OBJECTIVES, Objective
from banditroute.router.changes import Changes
from banditroute.router.engine import Engine
from banditroute.router.observation import Observation
from banditroute.router.shared_changes import FollowedChanges
from banditroute.router.sizes import OutcomeSizes
from banditroute.sessions.credit import RULES, Credit, by_advantage
from banditroute.store.base import Acknowledgement, OutcomeEvent, Recorded, Store, StoredState, Ticket
from banditroute.store.outcomes import (
    FAILURE,
    IN_ALL,
    PAGING,
    PASSED_OVER_FOR,
    PREFERRED_TO,
    SHARE_OF,
    STEP,
    TIED_WITH,
)

_log = logging.getLogger("banditroute")

_REPORTS_TOGETHER = 1_000  # that wait to be written at a time, so that memory does not grow with their number

Report: TypeAlias = tuple[str, Mapping[str, float | str | None]]
"""The id of a decision and the words of ``Router.feedback``: objectives, ``failed``, ``failure``, ``audit_of``, ..."""

_AWAITED = (Promise, Future)  # tickets whose answer comes from another thread
_WORDS = ("failed", "failure", "retry_after_seconds", "audit_of")  # of a report, besides the outcomes

_MOST_RANKED = 20  # answers in one comparison, each pair of which is recorded

_STANDARD = {objective.name for objective in STANDARD_OBJECTIVES}


class FeedbackService:
    """Records what is reported about decisions, and learns from it once it is durable.

    It is the subscriber of the store: ``report`` gives a report to the store, which calls ``on_recorded`` when that is
    durable.

    Parameters
    ----------
    objectives
        What can be reported, by name.
    store
        Records the reports.
    engine
        Learns from what was recorded.
    observation, changes
        Take what was recorded, and what changed by it.
    followed
        Hears what others changed for all routers.
    vocabularies
        The values that the features learn, and that other processes record too.
    clock
        Gives Unix time in seconds.
    """

    def __init__(
        self,
        *,
        objectives: Mapping[str, Objective],
        store: Store,
        engine: Engine,
        observation: Observation,
        changes: Changes,
        followed: FollowedChanges,
        vocabularies: Sequence[KnownValues],
        clock: Callable[[], float],
    ) -> None:
        self._objectives = objectives
        self._unbounded = {name for name, each in objectives.items() if not math.isfinite(each.high - each.low)}
        self._store = store
        self._engine = engine
        self._learn_signals: Callable[[str, float], None] | None = None
        self._check_audit: Callable[[str, object], None] | None = None
        self._observation = observation
        self._changes = changes
        self._followed = followed
        self._vocabularies = {known.state: known for known in vocabularies}
        self._clock = clock
        self._sizes = OutcomeSizes()

    def report(
        self,
        decision_id: object,
        values: Mapping[str, float | None],
        failed: bool | None = None,
        failure: Failure | str | None = None,
        retry_after_seconds: float | None = None,
        source: str | None = None,
        audit_of: object = None,
    ) -> Ticket:
        """Record outcomes of one decision."""
        if audit_of is not None and self._check_audit is not None:
            self._check_audit(check_id(decision_id), audit_of)
        checked = check_outcomes(self._objectives, values, failed, failure, retry_after_seconds)
        if not self._unbounded.isdisjoint(checked):
            self._sizes.check({name: value for name, value in checked.items() if name in self._unbounded})
        return self._record(check_id(decision_id), checked, source)

    def answer(self, ticket: Ticket) -> Acknowledgement:
        """Return how a report is acknowledged, when it is durable and learned."""
        return self._engine.waiting(ticket.result) if isinstance(ticket, _AWAITED) else ticket.result()

    def report_many(self, reports: Iterable[Report], *, source: str | None) -> list[Acknowledgement | BanditRouteError]:
        """Record outcomes of many decisions, and wait until each is durable; see ``Router.feedback_many``."""
        answers: list[Acknowledgement | BanditRouteError] = []
        example = "[(decision.id, {'quality': 1.0})]"
        remaining = several(reports, name="reports", example=example, error=InvalidFeedbackError)
        while some := list(islice(remaining, _REPORTS_TOGETHER)):
            tickets = [self._ticket(report, source) for report in some]
            answers += [self._engine.waiting(partial(_answer_of, ticket)) for ticket in tickets]
        return answers

    def _ticket(self, report: Report, source: str | None) -> Ticket | BanditRouteError:
        """Return the ticket of a report, or why it is refused."""
        try:
            decision_id, outcomes = report
            values = dict(outcomes)
            words = {name: values.pop(name) for name in _WORDS if name in values}
        except (TypeError, ValueError):
            return InvalidFeedbackError(
                f"a report is {shown(report)}; give a decision's id and its outcomes: (decision.id, {{'quality': 1.0}})"
            )
        try:
            return self.report(decision_id, values, source=source, **words)  # type: ignore[arg-type]
        except BanditRouteError as refusal:
            return refusal

    def report_session(
        self, session: str, values: Mapping[str, float | None], *, credit: Credit, source: str | None
    ) -> None:
        """Record one outcome of all decisions of a session, each with its credit, and wait for it."""
        label(session, name="session", error=InvalidFeedbackError)
        one_of(credit, RULES, name="credit", error=InvalidFeedbackError)
        checked = check_outcomes(self._objectives, values)
        of_calls = [name for name in checked if name != "quality" and name in _STANDARD]
        if of_calls or not checked:
            raise InvalidFeedbackError(
                f"{', '.join(of_calls) or 'no outcome'} is given for session {shown(session)}; give quality or an "
                "objective of your own, and report cost, latency and failures with each decision"
            )
        ids = self._store.find_session(session)
        if not ids:
            raise UnknownDecisionError(
                f"no decision of session {shown(session)} is held; check its name, as given to route()"
            )
        if credit == "last":
            last = max(map(self._store.find, ids), key=lambda made: (made.decided_at, made.ordinal))
            ids = [last.id]
        shares: list[dict[str, float]] = [{f"{name}{SHARE_OF}{len(ids)}": value for name, value in checked.items()}]
        shares *= len(ids)
        if credit == "advantage":
            shares = self._by_advantage(ids, checked)
        self._wait([self._record(id, some, source) for id, some in zip(ids, shares, strict=True)])

    def _by_advantage(self, ids: Sequence[str], outcomes: Mapping[str, float]) -> list[dict[str, float]]:
        """Return what each decision of a session is credited, with the session's own outcomes."""
        made = [self._store.find(id) for id in ids]
        shares: list[dict[str, float]] = [{} for _ in made]
        for name, outcome in outcomes.items():
            share = f"{name}{SHARE_OF}{len(made)}"
            credits = by_advantage(outcome, [self._engine.advantage(each, name) for each in made])
            for some, credited in zip(shares, credits, strict=True):
                some[share], some[share + IN_ALL] = credited, outcome
        return shares

    def correct(self, decision_id: object, values: Mapping[str, float | None], *, failed: bool | None) -> None:
        """Replace outcomes that are recorded for a decision."""
        checked = check_outcomes(self._objectives, values, failed)
        if not checked:
            raise InvalidFeedbackError("there is no outcome to correct; give at least one, for example quality=1.0")
        id = check_id(decision_id)
        self._store.correct(id, checked)
        self._engine.count_correction(id, checked)
        self._observation.emit(FeedbackCorrected(at=self._clock(), decision_id=id, values=checked))

    def compare(self, ranking: object, *, source: str | None) -> None:
        """Record every pair of a ranking of answers, with both decisions, and wait for it; see ``Router.compare``."""
        ranks = check_ranking(ranking, check_id)
        served = {id: self._store.find(id) for id in ranks}
        among = f"{SHARE_OF}{len(ranks)}" if len(ranks) > 2 else ""
        reports: list[tuple[str, str, float]] = []
        for better, worse in combinations(ranks, 2):
            if served[better].arm == served[worse].arm:
                continue
            tied = ranks[better] == ranks[worse]
            won, lost = self._engine.compare(served[better], served[worse], tied=tied)
            reports.append((better, f"{TIED_WITH if tied else PREFERRED_TO}{worse}{among}", won))
            reports.append((worse, f"{TIED_WITH if tied else PASSED_OVER_FOR}{better}{among}", lost))
        self._wait([self._record(id, {name: value}, source) for id, name, value in reports])

    def _wait(self, tickets: Sequence[Ticket]) -> None:
        """Return when all these reports are durable and learned."""
        for ticket in tickets:
            self.answer(ticket)

    def record_expected_quality(self, decision_id: str, quality: float) -> None:
        """Record what signals say of the quality of a discarded answer, as a share that a grade overrides."""
        self._record(decision_id, {f"quality{SHARE_OF}1": min(max(quality, 0.0), 1.0)}, None)

    def record_step(self, decision_id: str, *, stopped: bool, probability: float) -> None:
        """Record what followed an answer in a cascade, and the probability with which that was chosen."""
        self._record(decision_id, {STEP + ("stopped" if stopped else "asked"): probability}, None)

    def attach(
        self, *, learn_signals: Callable[[str, float], None], check_audit: Callable[[str, object], None]
    ) -> None:
        """Let a cascade learn the quality of every answer, and check which decision a report audits, from now on."""
        self._learn_signals, self._check_audit = learn_signals, check_audit

    def record_load_failure(self, decision: Decision) -> None:
        """Record that the arm of a decision failed, as its adapter cannot be loaded."""
        with suppress(BanditRouteError):  # the store may be down as well
            self.report(decision.id, {}, failed=True).result()

    def record_load_seconds(self, decision: Decision, seconds: float) -> None:
        """Record how long the adapter of a decision was waited for; the request is served, recorded or not."""
        try:
            waited = Feedback(decision_id=decision.id, values={PAGING: seconds}, received_at=self._clock())
            self._store.add_feedback(waited)
            if seconds > 0.0 and decision.residency is not None:
                adapter = decision.residency.adapter.name
                self._observation.emit(
                    AdapterLoaded(
                        at=waited.received_at,
                        decision_id=decision.id,
                        arm=decision.arm,
                        adapter=adapter,
                        seconds=seconds,
                    )
                )
        except Exception:
            _log.warning("the time that an adapter was waited for cannot be recorded", exc_info=True)

    def on_recorded(self, recorded: Recorded) -> None:
        """Learn from outcomes that are durable now: models, then limits, budgets and guard, then escalation."""
        self._engine.learn(recorded.event)
        self._engine.observe_outcome(recorded)
        if self._learn_signals is not None and "quality" in recorded.event.values:
            self._learn_signals(recorded.decision_id, recorded.event.values["quality"])
        if self._observation.active:
            self._observation.emit(_as_seen(recorded))
            self._changes.emit()

    def on_corrected(self, before: OutcomeEvent, after: OutcomeEvent) -> None:
        """Take back an outcome that was corrected, and learn its new value."""
        self._engine.correct(before, after)

    def on_total(self, budget: str, total: SharedTotal, added: SharedTotal) -> None:
        """Use the total of a budget over all processes; it includes what this process ``added``."""
        self._engine.with_constraints(lambda constraints: constraints.merge_total(budget, total, added))

    @property
    def follows_sessions(self) -> bool:
        """True if ``on_turns`` is to be called."""
        return self._engine.follows_sessions

    def on_turns(self, turns: Sequence[SessionTurn]) -> None:
        """Take over turns of sessions that other processes have served."""
        self._engine.follow_turns(turns)

    @property
    def followed_states(self) -> tuple[str, ...]:
        """Names of the pieces of state for ``on_states``."""
        return (*self._vocabularies, *([RESIDENCY] if self._engine.adapters.follows_residency else []))

    def on_states(self, states: Mapping[str, bytes]) -> None:
        """Take over what is recorded of the servers of adapters, and the values of categories."""
        if self._engine.adapters.follows_residency:
            self._engine.adapters.follow_residency(states.get(RESIDENCY))
        for name in self._vocabularies.keys() & states.keys():
            self._vocabularies[name].follow(states[name])

    def on_changed(self, state: StoredState) -> None:
        """Rebuild the models, as another process added to the stored state or some of it was folded."""
        self._engine.rebuild(state)
        self._followed.hear(state.states)
        self._changes.emit()

    def _record(self, decision_id: str, values: Mapping[str, float], source: str | None) -> Ticket:
        if source is not None:
            label(source, name="source", error=InvalidFeedbackError)
        report = Feedback(decision_id=decision_id, values=values, received_at=self._clock(), source=source)
        return self._store.add_feedback(report)


def outcomes_of(
    quality: float | None,
    cost_usd: float | None,
    energy_joules: float | None,
    latency_seconds: float | None,
    output_tokens: float | None,
    cached_tokens: float | None = None,
) -> dict[str, float | None]:
    """Return the outcomes by name, in the order of the parameters of ``Router.feedback``."""
    return {
        "quality": quality,
        "cost_usd": cost_usd,
        "energy_joules": energy_joules,
        "latency_seconds": latency_seconds,
        "output_tokens": output_tokens,
        "cached_tokens": cached_tokens,
    }


def _as_seen(recorded: Recorded) -> FeedbackRecorded:
    """Return recorded feedback as observers see it."""
    event = recorded.event
    return FeedbackRecorded(
        decision_id=recorded.decision_id,
        arm=event.arm,
        values=dict(event.values),  # an observer may change its copy
        received_at=recorded.received_at,
        decided_at=event.decided_at,
    )


def _answer_of(ticket: Ticket | BanditRouteError) -> Acknowledgement | BanditRouteError:
    """Return how a report is acknowledged, or why it is not recorded."""
    if isinstance(ticket, BanditRouteError):
        return ticket
    try:
        return ticket.result()
    except BanditRouteError as refusal:
        return refusal


def check_id(decision_id: object) -> str:
    """Return ``decision_id`` if it is a string; raise InvalidFeedbackError for any other."""
    if not isinstance(decision_id, str) or type(decision_id).__hash__ is None:
        raise InvalidFeedbackError(
            f"decision_id is {shown(decision_id)} ({type(decision_id).__name__}); give the string decision.id"
        )
    return decision_id


def check_ranking(ranking: object, check: Callable[[object], str]) -> dict[str, int]:
    """Return the rank of each member, the best first; those that stand together in a list have the same rank.

    Parameters
    ----------
    check
        Returns a member if it is usable, such as the id of a decision.

    Raises
    ------
    InvalidFeedbackError
        If it is not a ranking of 2 to 20 different members.
    """
    ranks: dict[str, int] = {}
    places = ranking if isinstance(ranking, list | tuple) else [ranking]
    for rank, place in enumerate(places):
        for each in place if isinstance(place, list | tuple) else [place]:
            member = check(each)
            if member in ranks:
                raise InvalidFeedbackError(f"{shown(member)} is compared with itself; give each once")
            ranks[member] = rank
    if not 2 <= len(ranks) <= _MOST_RANKED:
        raise InvalidFeedbackError(
            f"the ranking has {len(ranks)} members; give 2 to {_MOST_RANKED}, the best first: [winner, loser], and "
            "those that tie in a list: [[one, other]]"
        )
    return ranks


def check_outcomes(
    objectives: Mapping[str, Objective],
    values: Mapping[str, float | None],
    failed: bool | None = None,
    failure: Failure | str | None = None,
    retry_after_seconds: float | None = None,
) -> dict[str, float]:
    """Return the outcomes that are known.

    Raises
    ------
    InvalidFeedbackError
        If an objective is unknown, or a value is out of its range.
    """
    checked = {}
    if failure is not None or retry_after_seconds is not None:
        checked = _check_failure(failure, retry_after_seconds)
    if failed is not None:
        if not isinstance(failed, bool | np.bool_):
            raise InvalidFeedbackError(f"failed is {shown(failed)} ({type(failed).__name__}); give True, False or None")
        if not failed and checked.get("availability") == 0.0:
            raise InvalidFeedbackError(f"failed is False and failure is {failure!r}; leave out one of them")
        checked["availability"] = 0.0 if failed else 1.0
    for name, value in values.items():
        if name == "cached_tokens" and name not in objectives:
            if value is not None:
                checked[CACHED_TOKENS] = non_negative(value, name=name, error=InvalidFeedbackError)
            continue
        if name not in objectives:
            raise InvalidFeedbackError(
                f"unknown objective {shown(name)}; known objectives: {', '.join(sorted(objectives))}. "
                "Declare your own with Router(objectives=[Objective(...)])"
            )
        if value is not None:
            checked[name] = objectives[name].check(value)
    return checked


def _check_failure(failure: Failure | str | None, retry_after_seconds: float | None) -> dict[str, float]:
    """Return how the call failed, as outcomes; raise InvalidFeedbackError for an unknown failure."""
    if failure is None:
        if retry_after_seconds is not None:
            raise InvalidFeedbackError("retry_after_seconds is given without a failure; add failure='rate_limit'")
        return {}
    if failure not in list(Failure):
        raise InvalidFeedbackError(f"unknown failure {shown(failure)}; known failures: {', '.join(Failure)}")
    seconds = non_negative(retry_after_seconds or 0.0, name="retry_after_seconds", error=InvalidFeedbackError)
    known = {f"{FAILURE}{Failure(failure)}": seconds}
    if Failure(failure).blames_arm:
        known["availability"] = 0.0
    return known
