"""The router: from a request to a decision, from feedback to better beliefs; it knows all the other rooms."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeAlias, Unpack

import numpy as np
from numpy.typing import ArrayLike

from banditroute.adapters.cache import AdapterCache
from banditroute.adapters.penalties import AdapterPenalties
from banditroute.budgets.budget import Budget, check_budgets
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.preference import Preference
from banditroute.core.validation import label
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features.base import Featurizer
from banditroute.guard.guard import Guard
from banditroute.learners import Learner
from banditroute.limits.breaker import CircuitBreaker
from banditroute.limits.constraints import Limits
from banditroute.limits.traffic import Share
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import PreferenceLike, check_preference, table
from banditroute.router.arms import Steering
from banditroute.router.checks import (
    Conversation,
    RouteOptions,
    check_arms,
    check_breaker,
    check_eligible,
    check_features,
    check_guard,
    check_learner,
    check_limits,
    check_request,
    check_store,
    check_switching,
    check_traffic,
)
from banditroute.router.constraints import Constraints
from banditroute.router.engine import Engine
from banditroute.router.escalation import Cascade
from banditroute.router.fallback import FallbackRouting
from banditroute.router.feedback import Listener
from banditroute.router.sources import fold_with
from banditroute.store.base import Store

Clock: TypeAlias = Callable[[], float]
"""Gives Unix time in seconds."""

_log = logging.getLogger("banditroute")


class Router(Listener, Steering):
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
    preference
        What the objectives are worth, in their own units, or in scaled ones (``banditroute.objectives.Scaled``). Default:
        ``Preference(quality=1.0)``.
    objectives
        The user's own objectives, beside the standard ones.
    limits
        What an arm must keep to serve a request. Default: nothing.
    breaker
        When to leave a failing arm alone; None: never.
    budgets
        What may be spent, by all processes that share the store together.
    adapters
        What holds the arms' adapters; with it, those never tried are expected to be perfect, and are believed apart.
    switching
        What is lost when a session goes on with another arm than its last, by objective: ``{"latency_seconds": 0.8}``.
    traffic
        Arm -> the least and the most of the traffic that it gets, such as a canary's.
    guard
        What serves until there is evidence that the learner is better. Default: the learner decides at once.
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
        preference: PreferenceLike | None = None,
        objectives: Sequence[Objective] = (),
        limits: Limits | None = None,
        breaker: CircuitBreaker | None = CircuitBreaker(),  # noqa: B008
        budgets: Sequence[Budget] = (),
        adapters: AdapterCache | None = None,
        switching: Mapping[str, float] | None = None,
        traffic: Mapping[str, Share] | None = None,
        guard: Guard | None = None,
        store: Store | None = None,
        fallback: str | None = None,
        name: str = "default",
        store_prompts: bool = False,
        seed: int | np.random.Generator | None = None,
        clock: Clock = time.time,
    ) -> None:
        self._arms = check_arms(arms, adapters)
        self._adapters = adapters
        names = [arm.name for arm in self._arms]
        if fallback is not None and fallback not in names:
            raise InvalidConfigurationError(f"fallback {fallback!r} is no arm; arms: {', '.join(names)}")
        self._objectives = table(objectives)
        self._preference = check_preference(
            Preference(quality=1.0) if preference is None else preference, self._objectives
        )
        self._features = check_features(features)
        self._dimension = self._features.dimension + 1
        self._learner = check_learner(learner, of_adapters=adapters is not None)
        self._limits = check_limits(limits, error=InvalidConfigurationError)
        check_eligible(self._arms, limits=self._limits, error=InvalidConfigurationError)
        check_breaker(breaker)
        check_budgets(budgets, self._arms)
        self._traffic = check_traffic({} if traffic is None else traffic, names)
        self._guard = guard
        utility_range = check_guard(guard, names, self._traffic, self._preference, self._objectives)
        self._clock = clock
        self._changing = threading.Lock()  # held while the arms or the warm start change
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
            self._chooser = Engine(
                arms=self._arms,
                objectives=self._objectives,
                learner=self._learner,
                gate=Constraints(
                    arms=self._arms,
                    breaker=breaker,
                    budgets=budgets,
                    traffic=self._traffic,
                    guard=guard,
                    utility_range=utility_range,
                    states=memory.states,
                    put_state=self._store.put_state,
                    tallies=memory.tallies,
                    add_tally=self._add_tally,
                ),
                pager=AdapterPenalties(
                    arms=self._arms,
                    cache=adapters,
                    switching=check_switching(switching, self._objectives),
                    instead=self._instead,
                    note=self._note_paging,
                    states=memory.states,
                    put_state=self._store.put_state,
                ),
                features_version=self._features.version,
                dimension=self._dimension,
                memory=memory,
                put_state=self._store.put_state,
                rng=np.random.default_rng(seed),
            )
            self._store.follow(self._chooser.refresh)
            if self._chooser.at_gate(lambda gate: gate.accounts.prepare(clock())):
                self._store.flush()  # the first request finds the first slices
        except BaseException:
            self._store.close()
            raise
        self._cascade = Cascade(states=memory.states, put_state=self._store.put_state, rng=np.random.default_rng(seed))
        self._decider = FallbackRouting(
            chooser=self._chooser,
            features=self._features,
            store=self._store,
            fallback=names[0] if fallback is None else fallback,
            store_prompts=store_prompts,
            clock=clock,
        )

    @property
    def features(self) -> Featurizer:
        """Turns requests into vectors, without the bias that the router adds."""
        return self._features

    @property
    def fallbacks(self) -> int:
        """How many decisions fell back since this router was made."""
        return self._decider.fallbacks

    def route(
        self,
        request: str | Conversation | ArrayLike,
        *,
        preference: PreferenceLike | None = None,
        arms: Collection[str] | None = None,
        exclude: Collection[str] = (),
        limits: Limits | None = None,
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
            What the objectives are worth for this request; replaces the router's preference.
        arms
            Names of the arms that may be chosen. Default: all.
        exclude
            Names of arms that may not be chosen, such as one that has just failed.
        limits
            What an arm must keep to serve this request; replaces the router's limits.
        session, tags
            Labels, recorded with the decision.
        input_tokens
            Tokens of all messages; where arms have token prices and none is given, a quarter of their characters.
        max_output_tokens
            The most tokens that the answer may have: with token prices, it bounds the cost for hard budgets.
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
            For a caller's mistake: no arm left that is named and has the tags, an unknown arm or objective, features of
            a wrong length or not finite, metadata that the featurizer cannot read.
        InvalidConfigurationError
            For a preference without a usable weight.
        """
        checked = check_request(request, self._features, session, tags, input_tokens, template, max_output_tokens, metadata)
        preference = self._preference if preference is None else check_preference(preference, self._objectives)
        limits = self._limits if limits is None else check_limits(limits)
        eligible = check_eligible(self._arms, arms, exclude, limits)
        return self._decider.decide(checked, preference, eligible, checked.features, limits)

    def route_many(
        self,
        requests: Sequence[str | Conversation | ArrayLike],
        *,
        preference: PreferenceLike | None = None,
        arms: Collection[str] | None = None,
        exclude: Collection[str] = (),
        limits: Limits | None = None,
        session: str | None = None,
        tags: Collection[str] = (),
        max_output_tokens: int | None = None,
        template: str | None = None,
        metadata: Mapping[str, float | str | None] | None = None,
    ) -> list[Decision]:
        """``route()`` for many requests, whose texts are featurized in one batch."""
        if isinstance(requests, str):
            raise InvalidRequestError(f"requests is the string {requests[:40]!r}; give a list of texts, or use route()")
        checked = [check_request(each, self._features, session, tags, None, template, max_output_tokens, metadata) for each in requests]
        preference = self._preference if preference is None else check_preference(preference, self._objectives)
        limits = self._limits if limits is None else check_limits(limits)
        eligible = check_eligible(self._arms, arms, exclude, limits)
        texts = [request for request in checked if request.text is not None]
        try:
            rows: Sequence[Vector | None] = list(self._features.transform(texts)) if texts else []
        except InvalidRequestError:  # a caller's mistake, as in one alone: nothing is decided
            raise
        except Exception as error:  # one bad text must not spoil the others: each goes alone
            _log.warning("featurizing %d texts in one batch failed, now one at a time: %s", len(texts), error)
            rows = [None] * len(texts)
        row = iter(rows)
        return [
            self._decider.decide(
                request, preference, eligible, next(row) if request.features is None else request.features, limits
            )
            for request in checked
        ]

    async def aroute(self, request: str | Conversation | ArrayLike, **options: Unpack[RouteOptions]) -> Decision:
        """``route()`` for the event loop, which is free meanwhile: it is done in a worker thread."""
        return await asyncio.to_thread(self.route, request, **options)

    def flush(self) -> None:
        """Return when every decision so far is recorded."""
        self._store.flush()

    def close(self) -> None:
        """Write all that is left and release the store; closing twice is harmless."""
        self._chooser.at_gate(lambda gate: gate.accounts.close())
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
