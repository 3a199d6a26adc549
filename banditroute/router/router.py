"""The router: the public face of the engine."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import NoReturn, Self, SupportsIndex, Unpack

import numpy as np

from banditroute.adapters import AdapterCache, Fleet
from banditroute.budgets import Budget
from banditroute.core import Arm, Decision, DecisionSet, Failure, Observer, Request, Step
from banditroute.core.to_thread import to_thread
from banditroute.errors import BanditRouteError, InvalidConfigurationError
from banditroute.features import Featurizer
from banditroute.features.given import GivenFeatures
from banditroute.graders import Signal
from banditroute.guard import Guarantee, Guard
from banditroute.guard.guard import Mode
from banditroute.learners import Learner
from banditroute.limits import CircuitBreaker, Limits, Quota, Share
from banditroute.objectives import Objective
from banditroute.objectives.utility import PreferenceLike
from banditroute.router.assembly import assemble
from banditroute.router.feedback import Report, outcomes_of
from banditroute.router.lease import Lease
from banditroute.router.requests import ManyOptions, RequestLike, RouteOptions
from banditroute.router.sets import draw_set
from banditroute.router.settings import Clock, RouterSettings
from banditroute.router.status import Status
from banditroute.router.threads import RoutingThreads
from banditroute.router.warm_start import LogRow
from banditroute.sessions.credit import Credit
from banditroute.store import Acknowledgement, Store
from banditroute.store.sql.ticket import answer_of


class Router:
    """Learns which arm should serve each request.

    ``route()`` chooses an arm and never waits for a disk. ``feedback()`` reports what came back, and returns when that
    is recorded. A router is safe to use from many threads. Close it, or use it in a ``with`` statement, so that
    everything is written.

    Parameters
    ----------
    arms
        The arms, or their names; at least one, names unique.
    features
        A featurizer for text, or the number of ready features that every request brings. Default: ``TextFeatures()``.
    learner, challenger
        Belief and policy. Default: ``ThompsonSampling()``. A challenger learns the same and decides nothing, until
        ``admin.promote`` lets it serve.
    preference
        The weights of the objectives, in their own units or scaled (``banditroute.objectives.Scaled``). Default:
        ``Preference(quality=1.0)``.
    objectives
        The user's own objectives, in addition to the standard ones.
    limits, breaker
        What an arm must keep to serve a request, and when to leave a failing arm alone (None: never).
    budgets, quotas
        What may be spent, and the requests and tokens a minute that arms may get, by all processes on the store.
    adapters
        The cache or the fleet that holds the arms' adapters. With it, adapters never tried are expected to be perfect,
        and each is believed by itself.
    switching, max_switch_spend
        The loss when a session goes on with another arm than its last, by objective: ``{"latency_seconds": 0.8}``; and
        how much more a session may be expected to spend than with its first arm alone: .05 for 5% more.
    traffic
        Arm -> its least and greatest share of the traffic, such as a canary's.
    guard, guarantee
        The baseline that serves until there is evidence that the learner is better; and what the answers that
        ``next_step()`` delivers may lose against one arm.
    store
        Records decisions, feedback and what was learned. Default: ``MemoryStore()``, which ends with the process.
    fallback
        The arm to use when the policy cannot choose. Default: the first arm.
    name
        Tells routers in one database apart.
    store_prompts
        Whether prompts are recorded with the decisions.
    observers
        Objects that see every decision, all feedback, and events such as an opened circuit, on a thread of their own.
        They cannot slow down or stop the router. See ``banditroute.observe``.
    seed, clock
        A seed of the choices, or a generator; and what gives Unix time in seconds, replaced in simulations.

    Raises
    ------
    InvalidConfigurationError
        If there are no arms, two have the same name, the fallback is unknown, or settings contradict each other.
    InvalidRequestError
        If the preference names an unknown objective.
    StoreError
        If the store cannot be opened.

    Examples
    --------
    >>> router = Router(arms=["small", "large"], features=1, seed=0)
    >>> for hard in [0.0, 1.0] * 50:
    ...     decision = router.route([hard])
    ...     _ = router.feedback(decision.id, quality=1.0 if hard == 0.0 or decision.arm == "large" else 0.0)
    >>> router.route([1.0]).arm
    'large'
    """

    def __init__(
        self,
        *,
        arms: Sequence[Arm | str],
        features: Featurizer | int | None = None,
        learner: Learner | None = None,
        challenger: Learner | None = None,
        preference: PreferenceLike | None = None,
        objectives: Sequence[Objective] = (),
        limits: Limits | None = None,
        breaker: CircuitBreaker | None = CircuitBreaker(),  # noqa: B008
        budgets: Sequence[Budget] = (),
        quotas: Sequence[Quota] = (),
        adapters: AdapterCache | Fleet | None = None,
        switching: Mapping[str, float] | None = None,
        max_switch_spend: float | None = None,
        traffic: Mapping[str, Share] | None = None,
        guard: Guard | None = None,
        guarantee: Guarantee | None = None,
        store: Store | None = None,
        fallback: str | None = None,
        name: str = "default",
        store_prompts: bool = False,
        observers: Sequence[Observer] = (),
        seed: int | np.random.Generator | None = None,
        clock: Clock = time.time,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self"}
        settings = RouterSettings.checked(**given)
        self._parts, self._threads = assemble(settings), RoutingThreads()
        if features is None:
            self.prepare()
        self._decides_at_once = settings.decides_at_once

    @property
    def features(self) -> Featurizer:
        """The featurizer that turns requests into vectors, without the bias that the router adds."""
        return self._parts.settings.features

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms that can be chosen, in the order of a decision's arrays."""
        return self._parts.registry.arms

    # Deciding.

    def prepare(self) -> None:
        """Load what the first request needs, such as the featurizer's model. Call it before a service takes requests.

        ``Router(...)`` does this itself with the default features.
        """
        if not isinstance(self.features, GivenFeatures):
            self.features.transform_one(Request(text="Why?"))

    def route(
        self,
        request: RequestLike,
        *,
        preference: PreferenceLike | None = None,
        arms: Collection[str] | None = None,
        exclude: Collection[str] = (),
        limits: Limits | None = None,
        replace_limits: Limits | None = None,
        requires: Collection[str] = (),
        deadline_seconds: float | None = None,
        session: str | None = None,
        tags: Collection[str] = (),
        input_tokens: int | None = None,
        max_output_tokens: int | None = None,
        template: str | None = None,
        metadata: Mapping[str, float | str | None] | None = None,
    ) -> Decision:
        """Choose an arm for a request.

        Parameters
        ----------
        request
            The prompt, messages such as ``{"role": "user", "content": "Why?"}``, or ready features ``(d - 1,)``.
        preference
            The weights of the objectives for this request, in place of the router's.
        arms, exclude
            Names of the arms that may be chosen (default: all), and of arms that may not, such as one that just failed.
        limits, replace_limits
            Limits for this request: they tighten the router's, or take their place.
        requires
            Capabilities that the arm must have, as in ``Arm(capabilities=...)``.
        deadline_seconds
            The longest expected latency, above 0.
        session, tags
            Labels, recorded with the decision. Where arms have prices of cached input, the session of messages is their
            ``session_key``, unless one is given.
        input_tokens
            Tokens of all messages. Default, where arms have token prices: a quarter of the number of characters.
        max_output_tokens
            The most tokens that the answer may have. With token prices, it bounds the cost for hard budgets.
        template, metadata
            What the featurizers ``Template`` and ``Metadata`` read: a name for the place in the application that made
            the prompt, and name = number or string (None: not known).

        Returns
        -------
        Decision
            The arm to use, and why. It never waits for a disk. Learned or stored trouble never makes it fail: then
            the decision names the fallback arm, and ``decision.reason`` says why.

        Raises
        ------
        InvalidRequestError
            If the caller made a mistake: no arm is left that is named and has the capabilities, an arm or objective is
            unknown, features have a wrong length or are not finite, or the featurizer cannot read the metadata.
        InvalidConfigurationError
            If the preference has no usable weight.
        """
        check, pool = self._parts.requests, self._parts.registry.arms
        checked = check.request(request, session, tags, input_tokens, max_output_tokens, template, metadata)
        terms = check.terms(pool, preference, arms, exclude, limits, replace_limits, requires, deadline_seconds)
        return self._parts.routing.decide(checked, terms)

    def route_many(self, requests: Sequence[RequestLike], **options: Unpack[ManyOptions]) -> list[Decision]:
        """Choose an arm for each of many requests, as ``route()`` does; texts are featurized in one batch.

        ``options`` are those of ``route()`` but ``input_tokens``, for all the requests.
        """
        return self._parts.routing.decide_many(*self._parts.requests.checked_many(requests, self.arms, options))

    def route_set(self, request: RequestLike, k: int = 2, **options: Unpack[RouteOptions]) -> DecisionSet:
        """Choose ``k`` arms for one request, such as experts whose answers are combined or shown side by side.

        They are drawn one after the other, each from the arms that are left, so every place explores. Each is a
        decision of its own, which takes feedback of its own. ``session_feedback(chosen.session, ...)`` reports what
        they achieved together: every member without that outcome learns from its share.

        Parameters
        ----------
        request
            As ``route()`` takes it.
        k
            Number of arms, at least 1.
        options
            Those of ``route()``. Without a session, the set is a session by itself.

        Raises
        ------
        InvalidRequestError
            As ``route()``, and if fewer than ``k`` arms may be chosen. Then nothing is drawn.
        InvalidConfigurationError
            As ``route()``.

        Examples
        --------
        >>> router = Router(arms=["law", "code", "math"], features=1, seed=0)
        >>> chosen = router.route_set([0.5], 2)
        >>> for member in chosen.members:
        ...     _ = router.feedback(member.id, cost_usd=0.002)
        >>> router.session_feedback(chosen.session, quality=1.0)
        """
        parts, arms = self._parts, self.arms
        return draw_set(parts.routing, *parts.requests.checked(request, arms, options), k, [arm.name for arm in arms])

    async def aroute_set(self, request: RequestLike, k: int = 2, **options: Unpack[RouteOptions]) -> DecisionSet:
        """Choose ``k`` arms as ``route_set()`` does, in a thread; the event loop is free meanwhile."""
        return await self._threads.run(partial(self.route_set, request, k, **options))

    async def aroute(self, request: RequestLike, **options: Unpack[RouteOptions]) -> Decision:
        """Choose an arm as ``route()`` does; the event loop is free while a text is featurized or a disk is slow.

        Ready features are decided at once in the event loop, unless the store writes each decision before it is used.
        """
        if self._decides_at_once and not isinstance(request, str):
            return self.route(request, **options)
        return await self._threads.run(partial(self.route, request, **options))

    def preview(self, request: RequestLike, **options: Unpack[RouteOptions]) -> Decision:
        """Return the decision that ``route()`` would make now, without making it.

        Nothing is drawn, counted, reserved or recorded: its id is empty, and its arm is the likeliest one.

        Raises
        ------
        InvalidRequestError, InvalidConfigurationError
            As ``route()``.

        Examples
        --------
        >>> router = Router(arms=["small", "large"], features=1, seed=0)
        >>> router.preview([0.5], exclude=["small"]).arm, router.status().decisions
        ('large', 0)
        """
        return self._parts.routing.preview(*self._parts.requests.checked(request, self.arms, options))

    def lease(self, decision: Decision) -> Lease:
        """Return a context manager, sync and async, that keeps the arm's adapter resident while the request is served.

        It gives the decision that is served. If the adapter cannot be loaded, that is another decision, with an id of
        its own, for another arm. For an arm without an adapter it does nothing.

        Raises
        ------
        InvalidRequestError
            If ``decision`` is not a Decision.
        AdapterError
            On entering, if the adapter cannot be loaded and no other arm is ready.

        Examples
        --------
        >>> router = Router(arms=["small", "large"], features=1)
        >>> with router.lease(router.route([0.5], arms=["small"])) as decision:
        ...     decision.arm
        'small'
        """
        return self._parts.lease(decision)

    def next_step(self, decision: Decision | str, signals: Mapping[str, float | Signal | None]) -> Step:
        """Decide after an answer: deliver it, deliver an earlier one, or ask another arm.

        An arm is asked if the quality that its answer is expected to add is worth more than its call. The router learns
        what signals say from the answers whose quality is reported. The limits and the deadline of the request hold
        over all its calls. ``docs/howto/cascade.md`` says how it works.

        Parameters
        ----------
        decision
            The decision whose answer is there, or its id. The limits of its ``route()`` are known by the decision only.
        signals
            Name -> how good the answer looks, in [0, 1], or a grader's ``Signal``. Leave out what is not known, or give
            None. Use the same name for the same kind of signal.

        Returns
        -------
        Step
            ``step.stop``: deliver the answer of the decision ``step.answer``, and report its quality. Otherwise serve
            ``step.next``, and ask again for the next step.

        Raises
        ------
        InvalidRequestError
            If a signal is not a number in [0, 1].
        UnknownDecisionError
            If no such decision is held.

        Examples
        --------
        >>> router = Router(arms=["small", "large"], features=1, seed=0)
        >>> decision = router.route([0.5], arms=["small"])
        >>> step = router.next_step(decision, {"judge": 0.2})
        >>> step.stop, step.answer == decision.id  # no other arm was allowed
        (True, True)
        """
        return self._parts.cascade.next(decision, signals)

    async def anext_step(self, decision: Decision | str, signals: Mapping[str, float | Signal | None]) -> Step:
        """Decide in a worker thread, as ``next_step()`` does; the event loop is free meanwhile."""
        return await to_thread(self.next_step, decision, signals)

    def escalate(self, decision_id: str, *, signal: float) -> Decision | None:
        """Choose another arm if the first answer is not good enough; return None if it is.

        It is the short form of ``next_step()`` for one signal, where a later answer always replaces an earlier one. For
        an answer that is discarded, the quality that its signal predicts is learned in place of a grade; if you grade
        it, report the grade before you escalate.

        Parameters
        ----------
        decision_id
            The decision whose answer is there. Its request is routed again to an arm that was not asked yet. The new
            decision may be escalated in turn.
        signal
            How good the answer looks, in [0, 1]: a judge's score, agreement between samples, the share of tests passed.

        Returns
        -------
        Decision or None
            The decision to try next, or None if the first answer is good enough.

        Raises
        ------
        InvalidRequestError, UnknownDecisionError
            As ``next_step``.

        Examples
        --------
        >>> router = Router(arms=["small", "large"], features=1, seed=0)
        >>> first = router.route([0.5], exclude=["large"])
        >>> router.escalate(first.id, signal=0.0)  # no other arm was allowed: it prints nothing
        """
        return self._parts.cascade.escalate(decision_id, signal)

    async def aescalate(self, decision_id: str, *, signal: float) -> Decision | None:
        """Choose another arm in a worker thread, as ``escalate()`` does; the event loop is free meanwhile."""
        return await to_thread(self.escalate, decision_id, signal=signal)

    # Reporting.

    def feedback(
        self,
        decision_id: str,
        *,
        quality: float | None = None,
        cost_usd: float | None = None,
        energy_joules: float | None = None,
        latency_seconds: float | None = None,
        output_tokens: float | None = None,
        cached_tokens: float | None = None,
        failed: bool | None = None,
        failure: Failure | str | None = None,
        retry_after_seconds: float | None = None,
        source: str | None = None,
        audit_of: str | None = None,
        **user_objectives: float | None,
    ) -> Acknowledgement:
        """Report outcomes of a decision: any of the objectives, in any number of parts, in any order, however late.

        It returns when the report is durable and learned. The same value again is harmless.

        Parameters
        ----------
        decision_id
            ``decision.id``.
        quality
            How good the answer was, in [0, 1].
        cost_usd, energy_joules, latency_seconds, output_tokens
            What the call took, at least 0. Leave out what is not known; it is never taken for 0.
        cached_tokens
            Input tokens that the provider read from its prompt cache, at least 0. The router learns from them how long
            caches stay warm, and budgets price them as cached input if ``output_tokens`` come in the same report.
        failed
            True if the call failed or timed out, False if it was answered (which any other outcome says as well). It is
            the objective ``availability``, and trips the circuit breaker.
        failure
            How the call failed, in place of ``failed=True``: one of :class:`banditroute.core.Failure`.
        retry_after_seconds
            With a ``failure``: how long the arm asked to be left alone, as in the header ``Retry-After``.
        source
            Who reports it, such as a user or a grader. Everything that one source reported can be erased.
        audit_of
            For the answer of an audit: ``step.audit_of``. The audit counts when both answers have a quality.
        user_objectives
            The objectives given to the router, by name.

        Returns
        -------
        str
            ``"accepted"``: durable and learned. ``"pending"``: kept for a decision that another process may have made
            a moment ago; learned when that appears, and dropped if it does not within 60 s of its own time.

        Raises
        ------
        InvalidFeedbackError
            If there is no outcome, an objective is unknown, or a value is not a finite number in range.
        UnknownDecisionError
            If no such decision is held.
        ConflictingFeedbackError
            If an outcome is recorded with another value already; nothing of this report is recorded.
        StoreError
            If the report could not be written; nothing was learned, report it again.
        """
        values = outcomes_of(quality, cost_usd, energy_joules, latency_seconds, output_tokens, cached_tokens)
        ticket = self._parts.feedback.report(
            decision_id, values | user_objectives, failed, failure, retry_after_seconds, source, audit_of
        )
        return self._parts.feedback.answer(ticket)

    def feedback_many(
        self, reports: Iterable[Report], *, source: str | None = None
    ) -> list[Acknowledgement | BanditRouteError]:
        """Report outcomes of many decisions, as ``feedback()`` does of one; they are written in groups.

        Parameters
        ----------
        reports
            For each decision its id and its outcomes, such as ``(decision.id, {"quality": 1.0, "failed": False})``,
            named as in ``feedback``. They may come from a generator; a thousand are held at a time.
        source
            As in ``feedback``.

        Returns
        -------
        list
            For each report, in order, what ``feedback()`` returns, or the error that it raises. A report that is
            refused does not stop the others.

        Raises
        ------
        InvalidFeedbackError
            If ``reports`` are not several reports.

        Examples
        --------
        >>> router = Router(arms=["small", "large"], features=1, seed=0)
        >>> decisions = router.route_many([[0.5], [0.2]])
        >>> router.feedback_many([(decision.id, {"quality": 1.0}) for decision in decisions])
        ['accepted', 'accepted']
        """
        return self._parts.feedback.report_many(reports, source=source)

    async def afeedback_many(
        self, reports: Iterable[Report], *, source: str | None = None
    ) -> list[Acknowledgement | BanditRouteError]:
        """Report outcomes in a worker thread, as ``feedback_many()`` does; the event loop is free meanwhile."""
        return await to_thread(self.feedback_many, reports, source=source)

    async def afeedback(
        self,
        decision_id: str,
        *,
        failed: bool | None = None,
        failure: Failure | str | None = None,
        retry_after_seconds: float | None = None,
        source: str | None = None,
        audit_of: str | None = None,
        **outcomes: float | None,
    ) -> Acknowledgement:
        """Report outcomes as ``feedback()`` does; the event loop is free while the report is written.

        A cancelled wait does not take the report back. After 60 s without an answer it raises ``StoreError``: the
        outcome is unknown.
        """
        ticket = self._parts.feedback.report(
            decision_id, outcomes, failed, failure, retry_after_seconds, source, audit_of
        )
        return await answer_of(ticket)

    def correct(
        self,
        decision_id: str,
        *,
        quality: float | None = None,
        cost_usd: float | None = None,
        energy_joules: float | None = None,
        latency_seconds: float | None = None,
        output_tokens: float | None = None,
        failed: bool | None = None,
        **user_objectives: float | None,
    ) -> None:
        """Replace outcomes that are recorded for a decision, as if they had been reported with these values.

        It returns when the correction is durable. The models of all routers on the store follow within a second;
        budgets, the circuit breaker and the guard keep what they have counted.

        Parameters
        ----------
        decision_id, quality, cost_usd, energy_joules, latency_seconds, output_tokens, failed, user_objectives
            As in ``feedback``; None leaves an outcome as it is.

        Raises
        ------
        InvalidFeedbackError
            If there is no outcome, an objective is unknown, or a value is not a finite number in range.
        UnknownDecisionError
            If no such decision is held, or one of the outcomes is not recorded; nothing is changed.
        StoreError
            If the correction could not be written; nothing is changed.

        Examples
        --------
        >>> router = Router(arms=["small", "large"], features=1, seed=0)
        >>> decision = router.route([0.5])
        >>> _ = router.feedback(decision.id, quality=1.0)
        >>> router.correct(decision.id, quality=0.0)
        """
        values = outcomes_of(quality, cost_usd, energy_joules, latency_seconds, output_tokens) | user_objectives
        self._parts.engine.waiting(lambda: self._parts.feedback.correct(decision_id, values, failed=failed))

    async def acorrect(self, decision_id: str, *, failed: bool | None = None, **outcomes: float | None) -> None:
        """Replace recorded outcomes in a worker thread, as ``correct()`` does; the event loop is free meanwhile."""
        await to_thread(self.correct, decision_id, failed=failed, **outcomes)

    def session_feedback(
        self,
        session: str,
        *,
        quality: float | None = None,
        credit: Credit = "equal",
        source: str | None = None,
        **user_objectives: float | None,
    ) -> None:
        """Report one outcome of all decisions of a session or task, when it is over.

        Each of its n decisions that has no such outcome of its own gets this one, and learns from it as an n-th of an
        observation. Report what single calls took with each decision.

        Parameters
        ----------
        session
            The session, as given to ``route()``.
        credit
            How the steps share the outcome. ``"equal"``: as above. ``"advantage"``: each step gets the outcome less
            what the other steps' choices are expected to have added, as an n-th of an observation; the formula is that
            of :func:`~banditroute.sessions.credit.by_advantage`. ``"last"``: the latest decision gets all, as one
            observation. What each step was credited is recorded.
        quality, source, user_objectives
            As in ``feedback``.

        Raises
        ------
        InvalidFeedbackError
            If there is no outcome, an outcome is one of single calls, ``credit`` is unknown, or a value is not a finite
            number in range.
        UnknownDecisionError
            If no decision of the session is held.
        ConflictingFeedbackError, StoreError
            As ``feedback``.

        Examples
        --------
        >>> router = Router(arms=["small", "large"], features=1, seed=0)
        >>> decisions = [router.route([0.5], session="ticket 7") for _ in range(3)]
        >>> router.session_feedback("ticket 7", quality=1.0)
        """
        outcomes = {"quality": quality, **user_objectives}
        self._parts.feedback.report_session(session, outcomes, credit=credit, source=source)

    async def asession_feedback(
        self, session: str, *, credit: Credit = "equal", source: str | None = None, **outcomes: float | None
    ) -> None:
        """Report an outcome of a session in a worker thread, as ``session_feedback()`` does."""
        await to_thread(self.session_feedback, session, credit=credit, source=source, **outcomes)

    def compare(self, ranking: Sequence[str | Sequence[str]], *, source: str | None = None) -> None:
        """Report which of several answers was better, where they have no quality of their own.

        The arms' quality is learned by a Bradley-Terry step for each pair: the less a result was expected, the larger
        the step. The pairs of n answers count for as much as a Plackett-Luce model finds in a ranking of n. It returns
        when the report is durable and learned. The same report again is harmless.

        Parameters
        ----------
        ranking
            ``decision.id`` of 2 to 20 answers to one request, the best first. Those that are equally good stand
            together in a list: ``[[first.id, second.id], third.id]``. ``route_set()`` makes such decisions. Of two
            answers of one arm, nothing is learned.
        source
            As in ``feedback``.

        Raises
        ------
        InvalidFeedbackError
            If it is not a ranking of different decisions.
        ConflictingFeedbackError
            If two of them were compared with another result before, which stays; the other pairs are recorded.
        UnknownDecisionError, StoreError
            As ``feedback``.

        Examples
        --------
        >>> router = Router(arms=["small", "large"], features=1, seed=0)
        >>> for _ in range(100):
        ...     answers = [router.route([0.5], arms=[arm]) for arm in ("small", "large")]
        ...     router.compare([answers[1].id, answers[0].id])
        >>> router.route([0.5]).arm
        'large'
        """
        self._parts.feedback.compare(ranking, source=source)

    async def acompare(self, ranking: Sequence[str | Sequence[str]], *, source: str | None = None) -> None:
        """Report a ranking in a worker thread, as ``compare()`` does; the event loop is free meanwhile."""
        await to_thread(self.compare, ranking, source=source)

    def warm_start(self, log: Iterable[LogRow], *, worth: float | None = None) -> None:
        """Learn from a log, before or during traffic: an evaluation of some arms or all, or past feedback.

        It returns when the log is recorded and learned. Every router of this name begins with it, until another warm
        start replaces it. It affects the beliefs alone: not availability, the scales of objectives, or policies that
        learn by themselves.

        Parameters
        ----------
        log
            Rows of a request, as ``route()`` takes it, and arm -> objective -> outcome; None is not known. Or, in place
            of the outcomes, the arms by their answers, the best first, as ``compare()`` takes them.
        worth
            How many requests the log counts for: of an arm with n rows each weighs ``min(1, worth / n)``. Use a number
            below n where the log differs from the traffic. Above 0. Default: each row counts as one.

        Raises
        ------
        InvalidRequestError, InvalidFeedbackError
            If a row is malformed, names an unknown arm or objective, or has a value that is not a finite number in
            range, or if the log has no outcome; nothing was changed.
        InvalidConfigurationError
            If ``worth`` is not above 0.
        StoreError
            If it cannot be written at present; nothing was learned, give it again.

        Examples
        --------
        >>> router = Router(arms=["small", "large"], features=1, seed=0)
        >>> row = ([0.5], {"small": {"quality": 0.0}, "large": {"quality": 1.0}})
        >>> router.warm_start([row] * 200, worth=50)
        >>> router.route([0.5]).means.round(2)
        array([[0.04, 0.96]])
        """
        self._parts.warm_start.learn(log, worth=worth)

    # Changing what is routed to.

    def add_arm(self, arm: Arm | str, *, traffic: Share | None = None) -> None:
        """Let an arm be chosen from now on, in this process; it comes last in a decision's arrays.

        An arm that was here before goes on with what was learned of it. A new one starts from its ``expected``,
        ``profile`` and ``descriptors``, and from the arm that it ``replaces``.

        Parameters
        ----------
        arm
            The arm, or its name.
        traffic
            Its least and greatest share of the traffic. Default: as before, if it was here before.

        Raises
        ------
        InvalidConfigurationError
            If there is an arm of that name, or the arms cannot have such shares together.
        """
        self._parts.registry.add(arm, traffic)

    def remove_arm(self, name: str) -> None:
        """Let an arm no longer be chosen, in this process; what is learned of it is kept for its return.

        Feedback for its decisions may still come. If it was the fallback, the first arm takes its place.

        Raises
        ------
        InvalidConfigurationError
            If there is no such arm, or the arms that are left cannot keep the router's limits, its traffic shares or
            its guard's baseline.
        """
        self._parts.registry.remove(name)

    def set_traffic(self, traffic: Mapping[str, Share]) -> None:
        """Keep the arms within these shares of the traffic from now on, in this process, in place of earlier ones.

        Raises
        ------
        InvalidConfigurationError
            If a share names an unknown arm, or the shares are infeasible together or with the guard's baseline.
        """
        self._parts.registry.set_traffic(traffic)

    def report_headroom(self, arm: str, headers: Mapping[str, object]) -> None:
        """Report what a provider says is left of an arm's limits, in the headers of an answer; nothing is recorded.

        Until it is full again, the arm is not eligible for what does not fit. Arms that share a quota share what is
        left. ``x-ratelimit-remaining-requests`` and the like are read, and ``anthropic-ratelimit-requests-remaining``;
        headers that are missing or unreadable say nothing.

        Parameters
        ----------
        arm
            The name of the arm that answered.
        headers
            Names, in any case, and values, such as ``response.headers``.

        Raises
        ------
        InvalidFeedbackError
            If there is no such arm, or ``headers`` is no mapping.

        Examples
        --------
        >>> router = Router(arms=["small", "large"], features=1, seed=0)
        >>> router.report_headroom("large", {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9s"})
        >>> router.route([0.5]).excluded
        {'large': 'quotas: its quota is used up'}
        """
        self._parts.registry.report_headroom(arm, headers)

    def set_guard_mode(self, mode: Mode) -> None:
        """Restart the rollout at the first share in ``mode``; ``"bypass"`` is an instant rollback to the baseline.

        It holds from the next request on and outlives a restart. Other processes on the same store follow when they
        next learn of feedback.

        Raises
        ------
        InvalidConfigurationError
            If ``mode`` is unknown or the router has no guard.
        StoreError
            If it cannot be recorded at present; in this process it holds.
        """
        self._parts.registry.set_guard_mode(mode)

    # Looking and closing.

    def status(self) -> Status:
        """Return what the router is doing: figures of every arm, fallbacks, circuits, budgets, rollout and queue.

        It is about this process, and what it has learned from others. It reads no database; for the figures of all
        processes see ``banditroute.admin.inspect``.

        Examples
        --------
        >>> router = Router(arms=["small", "large"], features=1, seed=0)
        >>> decision = router.route([0.5], arms=["small"])
        >>> print(router.status())
        router default: 1 decisions, 0 learned, 0 fallbacks
        small  100.0%
        large    0.0%
        """
        return self._parts.status()

    def flush(self) -> None:
        """Return when every decision so far is recorded."""
        self._parts.engine.waiting(self._parts.settings.store.flush)

    def close(self) -> None:
        """Write all that is left, let observers see it, and release the store; closing twice is harmless."""
        self._parts.close()
        self._threads.close()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise InvalidConfigurationError(
            "a router cannot be copied or sent to another process: make a router in each process, with a store of its "
            "own on the same database; a router that exists when its process is forked works in the child"
        )

    def __repr__(self) -> str:
        arms = self.arms
        names = [arm.name[:40] for arm in arms[:8]] + ["..."] * (len(arms) > 8)
        return f"Router({len(arms)} {'arm' if len(arms) == 1 else 'arms'}: {', '.join(names)})"

    def _repr_html_(self) -> str:
        """Return the status for notebooks."""
        return self.status()._repr_html_()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
