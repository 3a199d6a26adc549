"""The router: from a request to a decision, from feedback to better beliefs; it knows all the other rooms."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeAlias, Unpack

import numpy as np
from numpy.typing import ArrayLike

from banditroute._checks import (
    RouteOptions,
    bounded,
    check_arms,
    check_eligible,
    check_features,
    check_learner,
    check_request,
    check_store,
)
from banditroute._validate import label
from banditroute.choice import CannotChooseError, Chooser, fold_with
from banditroute.errors import BanditRouteError, InvalidConfigurationError, InvalidFeedbackError, InvalidRequestError
from banditroute.features.base import Featurizer
from banditroute.learners import Learner
from banditroute.rewards.objectives import Objective
from banditroute.rewards.utility import check_preference, table
from banditroute.store.base import Event, Store, Ticket
from banditroute.types import Arm, Decision, Feedback, Preference, Request, Vector

Clock: TypeAlias = Callable[[], float]
"""Gives Unix time in seconds."""

_log = logging.getLogger("banditroute")


class Router:
    """Learns which arm should serve each request.

    ``route()`` chooses and never waits for a disk; ``feedback()`` reports what came back and returns when that is
    recorded. Safe to use from many threads. Close it, or use it in a ``with`` statement, so that all is written.

    Parameters
    ----------
    arms
        What can be chosen: arms, or their names; at least one, names unique.
    features
        A featurizer for text, or the number of ready features that every request brings. Default: ``TextFeatures()``.
    learner
        Belief and policy. Default: ``ThompsonSampling()``.
    prefer
        What the objectives are worth. Default: ``Preference(quality=1.0)``.
    objectives
        The user's own objectives, beside the standard ones.
    store
        Where decisions, feedback and what was learned are kept. Default: ``MemoryStore()``, gone with the process.
    fallback
        The arm to use when the policy cannot choose. Default: the first arm.
    name
        Tells routers in one database apart.
    store_prompts
        Whether prompts are recorded with the decisions.
    seed
        Seed of the choices, or a generator.
    clock
        Gives Unix time in seconds; replaced in simulations.

    Raises
    ------
    InvalidConfigurationError
        For no arms, two arms of one name, an unknown fallback, and settings that contradict each other.
    InvalidRequestError
        For a preference that names an unknown objective.
    StoreError
        If the store cannot be opened.

    Examples
    --------
    >>> router = Router(arms=["small", "large"], features=1, seed=0)
    >>> for hard in [0.0, 1.0] * 50:
    ...     decision = router.route([hard])
    ...     router.feedback(decision.id, quality=1.0 if hard == 0.0 or decision.arm == "large" else 0.0)
    >>> router.route([1.0]).arm
    'large'
    """

    def __init__(
        self,
        *,
        arms: Sequence[Arm | str],
        features: Featurizer | int | None = None,
        learner: Learner | None = None,
        prefer: Preference | Mapping[str, float] | None = None,
        objectives: Sequence[Objective] = (),
        store: Store | None = None,
        fallback: str | None = None,
        name: str = "default",
        store_prompts: bool = False,
        seed: int | np.random.Generator | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._arms = check_arms(arms)
        self._index = {arm.name: k for k, arm in enumerate(self._arms)}
        if fallback is not None and fallback not in self._index:
            raise InvalidConfigurationError(f"fallback {fallback!r} is no arm; arms: {', '.join(self._index)}")
        self._fallback = self._arms[0].name if fallback is None else fallback
        self._objectives = table(objectives)
        self._preference = check_preference(Preference(quality=1.0) if prefer is None else prefer, self._objectives)
        self._features = check_features(features)
        self._dimension = self._features.dimension + 1
        self._learner = check_learner(learner)
        self._store_prompts = store_prompts
        self._clock = clock
        self._fallbacks = 0
        self._last_trouble: str | None = None
        label(name, name="Router(name=...)", error=InvalidConfigurationError)

        self._store = check_store(store)
        memory = self._store.open(
            router=name,
            arms=self._arms,
            features_version=self._features.version,
            dimension=self._dimension,
            fold=fold_with(self._learner.belief),
        )
        try:
            self._chooser = Chooser(
                arms=self._arms,
                objectives=self._objectives,
                learner=self._learner,
                dimension=self._dimension,
                memory=memory,
                rng=np.random.default_rng(seed),
            )
            self._store.follow(self._chooser.refresh)
        except BaseException:
            self._store.close()
            raise

    @property
    def arms(self) -> tuple[Arm, ...]:
        """What can be chosen, in the order of a decision's arrays."""
        return self._arms

    @property
    def features(self) -> Featurizer:
        """Turns requests into vectors, without the bias that the router adds."""
        return self._features

    @property
    def learned(self) -> int:
        """On how many decisions with feedback the beliefs rest, those of earlier processes included."""
        return self._chooser.learned

    @property
    def fallbacks(self) -> int:
        """How many decisions fell back since this router was made."""
        return self._fallbacks

    def route(
        self,
        request: str | ArrayLike,
        *,
        prefer: Preference | Mapping[str, float] | None = None,
        arms: Collection[str] | None = None,
        exclude: Collection[str] = (),
        session: str | None = None,
        tags: Collection[str] = (),
        input_tokens: int | None = None,
        template: str | None = None,
        metadata: Mapping[str, float | str | None] | None = None,
    ) -> Decision:
        """Choose an arm for a request.

        Parameters
        ----------
        request
            The prompt, or its ready features ``(d - 1,)`` without bias.
        prefer
            What the objectives are worth for this request; replaces the router's preference.
        arms
            Names of the arms that may be chosen. Default: all.
        exclude
            Names of arms that may not be chosen, such as one that has just failed.
        session, tags
            Labels, recorded with the decision.
        input_tokens
            Tokens of the prompt; where arms have token prices and none is given, a quarter of its characters.
        template, metadata
            What the featurizers ``Template`` and ``Metadata`` read: a name for the place in the application that made
            the prompt, and name = number or string (None: not known). Not recorded, but for their part in the context.

        Returns
        -------
        Decision
            Never waits for a disk, and never fails for what was learned or stored: then it names the fallback arm, and
            ``decision.reason`` says why.

        Raises
        ------
        InvalidRequestError
            For a caller's mistake: no arm left, an unknown arm or objective, features of a wrong length or not finite,
            metadata that the featurizer cannot read.
        InvalidConfigurationError
            For a preference without a usable weight.
        """
        checked = check_request(request, self._features, session, tags, input_tokens, template, metadata)
        preference = self._preference if prefer is None else check_preference(prefer, self._objectives)
        eligible = None if arms is None and not exclude else check_eligible(self._index, arms, exclude)
        return self._decide(checked, preference, eligible, checked.features)

    def route_many(
        self,
        requests: Sequence[str | ArrayLike],
        *,
        prefer: Preference | Mapping[str, float] | None = None,
        arms: Collection[str] | None = None,
        exclude: Collection[str] = (),
        session: str | None = None,
        tags: Collection[str] = (),
        template: str | None = None,
        metadata: Mapping[str, float | str | None] | None = None,
    ) -> list[Decision]:
        """``route()`` for many requests, whose texts are featurized in one batch."""
        if isinstance(requests, str):
            raise InvalidRequestError(f"requests is the string {requests[:40]!r}; give a list of texts, or use route()")
        checked = [check_request(each, self._features, session, tags, None, template, metadata) for each in requests]
        preference = self._preference if prefer is None else check_preference(prefer, self._objectives)
        eligible = None if arms is None and not exclude else check_eligible(self._index, arms, exclude)
        texts = [request for request in checked if request.text is not None]
        try:
            rows: Sequence[Vector | None] = list(self._features.transform(texts)) if texts else []
        except InvalidRequestError:  # a caller's mistake, as in _decide: nothing is decided
            raise
        except Exception as error:  # one bad text must not spoil the others: each goes alone
            _log.warning("featurizing %d texts in one batch failed, now one at a time: %s", len(texts), error)
            rows = [None] * len(texts)
        row = iter(rows)
        return [
            self._decide(request, preference, eligible, next(row) if request.features is None else request.features)
            for request in checked
        ]

    async def aroute(self, request: str | ArrayLike, **options: Unpack[RouteOptions]) -> Decision:
        """``route()`` for the event loop, which is free meanwhile: it is done in a worker thread."""
        return await asyncio.to_thread(self.route, request, **options)

    def feedback(
        self,
        decision_id: str,
        source: str | None = None,
        /,
        *,
        quality: float | None = None,
        cost_usd: float | None = None,
        energy_joules: float | None = None,
        latency_seconds: float | None = None,
        output_tokens: float | None = None,
        **user_objectives: float | None,
    ) -> None:
        """Report what came back: any subset of the objectives, in any number of parts, in any order, however late.

        Returns when the report is durable and learned. The same value again is harmless.

        Parameters
        ----------
        decision_id
            ``decision.id``.
        source
            Who reports it, such as a user or a grader: all that one source reported can be taken back.
        quality
            How good the answer was, in [0, 1].
        cost_usd, energy_joules, latency_seconds, output_tokens
            What it took, at least 0. What is not known is left out; it is never taken for 0.
        user_objectives
            The objectives given to the router, by name.

        Raises
        ------
        InvalidFeedbackError
            For no outcome at all, an unknown objective, or a value that is not a finite number in range.
        UnknownDecisionError
            If no such decision is held.
        ConflictingFeedbackError
            If an outcome is recorded with another value already; nothing of this report is taken.
        StoreError
            If the report could not be written; nothing was learned, report it again.
        """
        self._report(
            decision_id,
            source,
            quality=quality,
            cost_usd=cost_usd,
            energy_joules=energy_joules,
            latency_seconds=latency_seconds,
            output_tokens=output_tokens,
            **user_objectives,
        ).result()

    async def afeedback(self, decision_id: str, source: str | None = None, /, **outcomes: float | None) -> None:
        """``feedback()`` for the event loop, which is free while the report is written.

        A cancelled wait does not take the report back.
        """
        ticket = self._report(decision_id, source, **outcomes)
        if isinstance(ticket, Future):
            await asyncio.shield(asyncio.wrap_future(ticket))
        else:
            ticket.result()

    def flush(self) -> None:
        """Return when every decision so far is recorded."""
        self._store.flush()

    def close(self) -> None:
        """Write all that is left and release the store; closing twice is harmless."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decide(
        self, request: Request, preference: Preference, eligible: list[int] | None, features: Vector | None
    ) -> Decision:
        now = self._clock()
        prompt = request.text if self._store_prompts else None
        x: Vector | None = None
        try:
            x = self._context(request, features)
            if self._store.trouble is not None:
                raise CannotChooseError(self._store.trouble)
            decision = self._chooser.choose(request, preference, eligible, x, now)
            self._store.add_decision(decision, prompt)
            self._last_trouble = None
            return decision
        except InvalidRequestError:  # a caller's mistake that only the featurizer can see
            raise
        except Exception as error:  # whatever was learned or stored must not stop the traffic
            trouble = str(error) if isinstance(error, BanditRouteError) else f"{type(error).__name__}: {error}"
            self._note(trouble, error)
            decision = self._chooser.fall_back(
                request, preference, eligible, x, now, arm=self._fallback, trouble=trouble
            )
        with suppress(Exception):  # a store that breaks its word has given the trouble, or will with the next request
            self._store.add_decision(decision, prompt)
        return decision

    def _context(self, request: Request, features: Vector | None) -> Vector:
        x = np.empty(self._dimension)
        x[:-1] = self._features.transform_one(request) if features is None else features
        x[-1] = 1.0
        if not bounded(x):
            raise CannotChooseError(f"{type(self._features).__name__} gave features that are not finite")
        return x

    def _note(self, trouble: str, error: Exception) -> None:
        """Count a fallback; one line in the log per trouble, not per request."""
        self._fallbacks += 1
        if trouble != self._last_trouble:
            self._last_trouble = trouble
            surprise = None if isinstance(error, BanditRouteError) else error
            _log.warning("routing falls back to arm %r: %s", self._fallback, trouble, exc_info=surprise)

    def _report(self, decision_id: str, source: str | None, /, **values: float | None) -> Ticket:
        if not isinstance(decision_id, str):
            raise InvalidFeedbackError(
                f"decision_id is {decision_id!r} ({type(decision_id).__name__}); give the string decision.id"
            )
        checked: dict[str, float] = {}
        for name, value in values.items():
            if name not in self._objectives:
                raise InvalidFeedbackError(
                    f"{name!r} is no objective of this router; known: {', '.join(sorted(self._objectives))}. "
                    "Declare your own with Router(objectives=[Objective(...)])"
                )
            if value is not None:
                checked[name] = self._objectives[name].check(value)
        if source is not None:
            label(source, name="source", error=InvalidFeedbackError)
        report = Feedback(decision_id=decision_id, values=checked, received_at=self._clock(), source=source)
        return self._store.add_feedback(report, self._learn)

    def _learn(self, event: Event) -> None:
        self._chooser.learn(event.arm, event.x, event.values, first=event.first)
