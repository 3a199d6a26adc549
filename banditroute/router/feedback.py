"""The half of the router that listens: what came back becomes better beliefs."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress

import numpy as np
from numpy.typing import ArrayLike

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.failure import Failure
from banditroute.core.feedback import Feedback
from banditroute.core.request import Request
from banditroute.core.validation import label, number
from banditroute.errors import (
    BanditRouteError,
    InvalidConfigurationError,
    InvalidFeedbackError,
    InvalidRequestError,
    StoreError,
    UnknownDecisionError,
)
from banditroute.features.base import Featurizer
from banditroute.learners import Learner
from banditroute.limits.constraints import Limits
from banditroute.objectives.objective import STANDARD_OBJECTIVES, Objective
from banditroute.router import warm_start
from banditroute.router.checks import Conversation, bounded, check_log, check_outcomes
from banditroute.router.engine import Engine
from banditroute.router.escalation import Cascade
from banditroute.router.fallback import FallbackRouting
from banditroute.store.base import Event, Store, Ticket
from banditroute.store.outcomes import FAILURE, PAGING, PASSED_OVER_FOR, PREFERRED_TO, SHARE_OF

_log = logging.getLogger("banditroute")

_STANDARD = {objective.name for objective in STANDARD_OBJECTIVES}


class Listener:
    """Takes feedback and logs; :class:`banditroute.Router` is made of it."""

    _arms: tuple[Arm, ...]
    _objectives: Mapping[str, Objective]
    _features: Featurizer
    _learner: Learner
    _limits: Limits | None
    _chooser: Engine
    _decider: FallbackRouting
    _cascade: Cascade
    _store: Store
    _clock: Callable[[], float]
    _changing: threading.Lock

    def _instead(self, decision: Decision, error: Exception) -> Decision:
        """Decide for an arm that is ready, in place of one whose adapter cannot be loaded; that one has failed."""
        with suppress(BanditRouteError):  # the log may be down as well
            self.feedback(decision.id, failed=True)
        return self._decider.decide_instead(decision, error)

    def _note_paging(self, decision_id: str, seconds: float) -> None:
        """Record how long a decision's adapter was waited for; the request is served, recorded or not."""
        try:
            waited = Feedback(decision_id=decision_id, values={PAGING: seconds}, received_at=self._clock())
            self._store.add_feedback(waited, lambda event: None)  # it says nothing of the answer
        except Exception:
            _log.warning("what paging took cannot be recorded", exc_info=True)

    def feedback(
        self,
        decision_id: str | None = None,
        *,
        session: str | None = None,
        quality: float | None = None,
        cost_usd: float | None = None,
        energy_joules: float | None = None,
        latency_seconds: float | None = None,
        output_tokens: float | None = None,
        failed: bool | None = None,
        failure: Failure | str | None = None,
        retry_after_seconds: float | None = None,
        source: str | None = None,
        **user_objectives: float | None,
    ) -> None:
        """Report what came back: any subset of the objectives, in any number of parts, in any order, however late.

        Returns when the report is durable and learned. The same value again is harmless.

        Parameters
        ----------
        decision_id
            ``decision.id``.
        session
            Instead of an id: a session or task whose decisions had one outcome together, when it is over. Of its n
            decisions each without such an outcome of its own is given this one, and learns from it as an n-th of an
            observation. Quality and your own objectives; what single calls took is reported with each.
        quality
            How good the answer was, in [0, 1].
        cost_usd, energy_joules, latency_seconds, output_tokens
            What it took, at least 0. What is not known is left out; it is never taken for 0.
        failed
            True if the call failed or timed out, False if it was answered (which any other outcome says as well): the
            objective ``availability``, and what trips the circuit breaker.
        failure
            How the call failed, such as ``"rate_limit"``; it takes the place of ``failed=True``.
            :class:`banditroute.core.Failure` lists the ways, and what each means for the arm.
        retry_after_seconds
            With a ``failure``: how long the arm asked to be left alone, as in the header ``Retry-After``.
        source
            Who reports it, such as a user or a grader: all that one source reported can be taken back.
        user_objectives
            The objectives given to the router, by name.

        Raises
        ------
        InvalidFeedbackError
            For no outcome at all, an unknown objective, or a value that is not a finite number in range; for both an id
            and a session, or neither.
        UnknownDecisionError
            If no such decision is held, or none of that session.
        ConflictingFeedbackError
            If an outcome is recorded with another value already; nothing of this report is taken.
        StoreError
            If the report could not be written; nothing was learned, report it again.
        """
        tickets = self._report(
            decision_id,
            session,
            quality=quality,
            cost_usd=cost_usd,
            energy_joules=energy_joules,
            latency_seconds=latency_seconds,
            output_tokens=output_tokens,
            failed=failed,
            failure=failure,
            retry_after_seconds=retry_after_seconds,
            source=source,
            **user_objectives,
        )
        for ticket in tickets:
            ticket.result()

    async def afeedback(
        self,
        decision_id: str | None = None,
        *,
        session: str | None = None,
        failed: bool | None = None,
        failure: Failure | str | None = None,
        retry_after_seconds: float | None = None,
        source: str | None = None,
        **outcomes: float | None,
    ) -> None:
        """``feedback()`` for the event loop, which is free while the report is written.

        A cancelled wait does not take the report back.
        """
        if session is not None:  # whose decisions are looked up, in a database
            return await asyncio.to_thread(
                self.feedback,
                decision_id,
                session=session,
                failed=failed,
                failure=failure,
                retry_after_seconds=retry_after_seconds,
                source=source,
                **outcomes,
            )
        for ticket in self._report(
            decision_id,
            None,
            failed=failed,
            failure=failure,
            retry_after_seconds=retry_after_seconds,
            source=source,
            **outcomes,
        ):
            if isinstance(ticket, Future):
                await asyncio.shield(asyncio.wrap_future(ticket))
            else:
                ticket.result()

    def compare(self, winner_id: str, loser_id: str, *, source: str | None = None) -> None:
        """Report which of two answers was better, where neither has a quality of its own.

        Teaches the quality of both arms by a Bradley-Terry step: the more the less it was expected. Returns when it is
        durable and learned; the same report again is harmless. Of two answers of one arm nothing is learned.

        Parameters
        ----------
        winner_id, loser_id
            ``decision.id`` of the answer that was preferred, and of the other: two decisions for one request, such as
            ``route(request)`` and ``route(request, exclude=[first.arm])``.
        source
            As in ``feedback``.

        Raises
        ------
        InvalidFeedbackError
            For a decision compared with itself.
        UnknownDecisionError
            If one of them is not held.
        ConflictingFeedbackError
            If the other was preferred by an earlier report.
        StoreError
            If the report could not be written; report it again.

        Examples
        --------
        >>> from banditroute import Router
        >>> router = Router(arms=["small", "large"], features=1, seed=0)
        >>> for _ in range(100):
        ...     answers = [router.route([0.5], arms=[arm]) for arm in ("small", "large")]
        ...     router.compare(answers[1].id, answers[0].id)
        >>> router.route([0.5]).arm
        'large'
        """
        if winner_id == loser_id:
            raise InvalidFeedbackError(f"decision {winner_id!r} is compared with itself; give two decisions")
        winner, loser = (self._store.find(checked_id(id)) for id in (winner_id, loser_id))
        if winner.arm == loser.arm:
            return
        won, lost = self._chooser.compare(winner, loser)
        tickets = [
            self._add(winner_id, {PREFERRED_TO + loser_id: won}, source),
            self._add(loser_id, {PASSED_OVER_FOR + winner_id: lost}, source),
        ]
        for ticket in tickets:
            ticket.result()

    def escalate(self, decision_id: str, *, signal: float) -> Decision | None:
        """Ask again, where what the first answer showed makes another worth its price; None where it may stand.

        What the signal says of the quality of an answer is learned from the answers whose quality is reported. The
        answer stands if the quality expected of it is worth as much as the best that another arm is expected to be, its
        price taken off; what the first call took is gone either way, and is reported with its own decision.
        Of an answer that is not taken, what its signal says is learned in place of its quality: else only the answers
        of an arm that look good would count. An answer that you grade yourself is reported before it is escalated.

        Parameters
        ----------
        decision_id
            The decision whose answer is there. Its request is routed again, in the same context and by the same
            preference, to an arm that was not asked yet; that decision may be escalated in turn.
        signal
            How good the answer looks, in [0, 1]: a judge's or verifier's score, agreement between samples, or the share
            of tests passed.

        Returns
        -------
        Decision or None
            Whom to ask next.

        Raises
        ------
        InvalidRequestError
            For a signal that is not a number in [0, 1].
        UnknownDecisionError
            If no such decision is held.

        Examples
        --------
        >>> from banditroute import Router
        >>> router = Router(arms=["small", "large"], features=1, seed=0)
        >>> for looks_good in [1.0, 0.0] * 100:
        ...     answer = router.route([0.5])
        ...     if another := router.escalate(answer.id, signal=looks_good):
        ...         answer = another
        ...     router.feedback(answer.id, quality=0.9 if answer.arm == "large" else looks_good)
        >>> first = router.route([0.5], arms=["small"])
        >>> router.escalate(router.route([0.5], exclude=["large"]).id, signal=0.0)
        """
        served = self._store.find(checked_id(decision_id))
        score = number(signal, name="signal", low=0.0, high=1.0, error=InvalidRequestError)
        if served.x is None:
            return None
        request = Request(
            features=served.x[:-1],
            session=served.session,
            tags=served.tags,
            input_tokens=served.input_tokens,
            again=True,
        )
        believed, utilities = self._chooser.expect(served, request)
        left = [arm for arm in served.arms if arm != served.arm and arm in utilities]
        expected, drawn = self._cascade.show(decision_id, believed=believed, signal=score)
        if not left or max(utilities[arm] for arm in left) <= served.preference.get("quality", 0.0) * drawn:
            return None
        self._add(decision_id, {f"quality{SHARE_OF}1": min(max(expected, 0.0), 1.0)}, source=None)
        return self._decider.decide(request, served.preference, left, request.features, self._limits)

    def warm_start(
        self,
        log: Iterable[tuple[str | Conversation | ArrayLike, Mapping[str, Mapping[str, float | None]]]],
        *,
        worth: float | None = None,
    ) -> None:
        """Learn from a log, before the traffic or beside it: an evaluation of some arms or all, or past feedback.

        Returns when it is recorded and learned: every router of this name begins with it, and others that run already
        believe it when they next learn of feedback. Another warm start takes its place. The arms' availability, scales
        of objectives, and policies that learn by themselves know nothing of it.

        Parameters
        ----------
        log
            Rows of a request, as ``route()`` takes it, and arm -> objective -> outcome. What is None is not known.
        worth
            How many requests the log counts for: of an arm with n rows each weighs ``min(1, worth / n)``. Fewer than it
            has where its requests or its grades are not quite like the traffic's. Above 0. Default: each row counts
            as one.

        Raises
        ------
        InvalidRequestError, InvalidFeedbackError
            For a row that is none, an unknown arm or objective, a value that is not a finite number in range, and a log
            without any outcome; nothing was changed.
        InvalidConfigurationError
            For a ``worth`` that is not above 0.
        StoreError
            If it cannot be written at present; nothing was learned, give it again.

        Examples
        --------
        >>> from banditroute import Router
        >>> router = Router(arms=["small", "large"], features=1, seed=0)
        >>> row = ([0.5], {"small": {"quality": 0.0}, "large": {"quality": 1.0}})
        >>> router.warm_start([row] * 200, worth=50)
        >>> router.route([0.5]).means.round(2)
        array([[0.04, 0.96]])
        """
        if worth is not None and number(worth, name="worth", low=0.0, error=InvalidConfigurationError) == 0.0:
            raise InvalidConfigurationError("worth is 0; give how many requests the log counts for")
        with self._changing:
            names = [arm.name for arm in self._arms]
            rows = check_log(log, features=self._features, arms=names, objectives=self._objectives)
            statistics = warm_start.fold(
                self._learner.belief,
                zip(self._contexts([request for request, _ in rows]), (outcomes for _, outcomes in rows), strict=True),
                worth=worth,
                decided_at=self._clock(),
                ordinal=self._chooser.decided,
            )
            state = warm_start.to_bytes(
                statistics, features_version=self._features.version, dimension=self._features.dimension + 1
            )
            if self._store.trouble is not None:
                raise StoreError(f"the warm start cannot be recorded: {self._store.trouble}")
            self._store.put_state("warm_start", state)
            self._store.flush()
            self._chooser.warm_start(statistics)

    def _contexts(self, requests: Sequence[Request]) -> Vector:
        """The contexts ``(n, d)`` of requests, whose texts are featurized in one batch."""
        texts = [request for request in requests if request.text is not None]
        rows = iter(self._features.transform(texts) if texts else ())
        x = np.ones((len(requests), self._features.dimension + 1))
        for i, request in enumerate(requests):
            x[i, :-1] = next(rows) if request.features is None else request.features
            if not bounded(x[i]):
                raise InvalidRequestError(
                    f"row {i} of the log: {type(self._features).__name__} gave no finite features"
                )
        return x

    def _report(
        self,
        decision_id: str | None,
        session: str | None,
        *,
        failed: bool | None,
        failure: Failure | str | None,
        retry_after_seconds: float | None,
        source: str | None,
        **values: float | None,
    ) -> list[Ticket]:
        if decision_id is not None and session is not None:
            raise InvalidFeedbackError(
                f"feedback is for a decision or for a session, got {decision_id!r} and session={session!r}; give one"
            )
        if session is None:
            checked = check_outcomes(self._objectives, values, failed, failure, retry_after_seconds)
            return [self._add(checked_id(decision_id), checked, source)]
        label(session, name="session", error=InvalidFeedbackError)
        checked = check_outcomes(self._objectives, values, failed, failure, retry_after_seconds)
        of_calls = [n for n in checked if n.startswith(FAILURE) or (n != "quality" and n in _STANDARD)]
        if of_calls or not checked:
            raise InvalidFeedbackError(
                f"{', '.join(of_calls) or 'no outcome'} is given for session {session!r}; give quality or an objective "
                "of your own, and report what calls took with their decisions"
            )
        ids = self._store.find_session(session)
        if not ids:
            raise UnknownDecisionError(
                f"no decision of session {session!r} is held; check its name, as given to route()"
            )
        shares = {f"{name}{SHARE_OF}{len(ids)}": value for name, value in checked.items()}
        return [self._add(id, shares, source) for id in ids]

    def _add(self, decision_id: str, values: Mapping[str, float], source: str | None) -> Ticket:
        if source is not None:
            label(source, name="source", error=InvalidFeedbackError)
        report = Feedback(decision_id=decision_id, values=values, received_at=self._clock(), source=source)

        def hear(event: Event) -> None:
            self._chooser.learn(event)
            self._chooser.report(decision_id, event, report.received_at)
            if "quality" in event.values:
                self._cascade.learn(decision_id, event.values["quality"])

        return self._store.add_feedback(report, hear)


def checked_id(decision_id: object) -> str:
    """``decision_id`` if it can be one; raises InvalidFeedbackError for what is no string."""
    if not isinstance(decision_id, str):
        raise InvalidFeedbackError(
            f"decision_id is {decision_id!r} ({type(decision_id).__name__}); give the string decision.id"
        )
    return decision_id
