"""The router: from a request to a decision, from feedback to better beliefs. The only room that knows all the others."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from banditroute._validate import label, number
from banditroute.beliefs.base import Prediction, Prior
from banditroute.errors import (
    BanditRouteError,
    InvalidConfigurationError,
    InvalidFeedbackError,
    InvalidRequestError,
)
from banditroute.features.base import Featurizer
from banditroute.features.given import GivenFeatures
from banditroute.learners import Learner, ThompsonSampling
from banditroute.rewards.objectives import Objective
from banditroute.rewards.prices import TokenPrices
from banditroute.rewards.utility import check_preference, table, utility, weights
from banditroute.store.base import Event, Store, Ticket
from banditroute.store.memory import MemoryStore
from banditroute.types import Arm, Decision, Feedback, Preference, Request, Vector

Clock: TypeAlias = Callable[[], float]
"""Gives Unix time in seconds."""

_log = logging.getLogger("banditroute")
_CHARACTERS_PER_TOKEN = 4.0
_CACHED_PREFERENCES = 1024


class Router:
    """Learns which arm should serve each request.

    ``route()`` chooses and never waits for a disk; ``feedback()`` reports what came back and returns when it is recorded.
    Safe to use from many threads. Close it, or use it in a ``with`` statement, so that all is written.

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
        self._arms = _check_arms(arms)
        self._names = tuple(arm.name for arm in self._arms)
        self._index = {arm.name: k for k, arm in enumerate(self._arms)}
        if fallback is not None and fallback not in self._index:
            raise InvalidConfigurationError(f"fallback {fallback!r} is no arm; arms: {', '.join(self._names)}")
        self._fallback = self._names[0] if fallback is None else fallback
        self._objectives = table(objectives)
        self._preference = check_preference(Preference(quality=1.0) if prefer is None else prefer, self._objectives)
        self._features = _check_features(features)
        self._dimension = self._features.dimension + 1
        self._learner = ThompsonSampling() if learner is None else learner
        self._policy_text = repr(self._learner)
        self._store: Store = MemoryStore() if store is None else store
        self._store_prompts = store_prompts
        self._clock = clock
        self._rng = np.random.default_rng(seed)
        self._lock = threading.Lock()
        self._weights: dict[Preference, Vector] = {}
        self._no_penalty = np.zeros(len(self._arms))
        self._no_penalty.flags.writeable = False
        self._fallbacks = 0
        self._last_trouble: str | None = None

        label(name, name="Router(name=...)", error=InvalidConfigurationError)
        memory = self._store.open(
            router=name, features_version=self._features.version, dimension=self._dimension, fold=self._fold
        )
        try:
            self._belief = self._learner.belief.start(
                arms=self._names,
                dimension=self._dimension,
                priors={o.name: Prior(mean=o.prior_mean, noise=o.prior_noise) for o in self._objectives.values()},
                statistics=memory.statistics,
            )
        except BanditRouteError:
            self._store.close()
            raise
        self._belief.watch([objective for objective, weight in self._preference.items() if weight > 0.0])
        self._prices = TokenPrices(arms=self._arms) if any(arm.priced for arm in self._arms) else None
        if self._prices is not None:
            self._belief.watch(["cost_usd", "output_tokens"])
        self._learned = 0
        for event in memory.pending:
            self._learn(event)
        self._learned = memory.feedback

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
        """How much feedback this router's beliefs rest on, that of earlier processes included."""
        return self._learned

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

        Returns
        -------
        Decision
            Never waits for a disk, and never fails for what was learned or stored: then it names the fallback arm, and
            ``decision.reason`` says why.

        Raises
        ------
        InvalidRequestError
            For a caller's mistake: no arm left, an unknown arm or objective, features of a wrong length or not finite.
        """
        checked = self._request(request, session=session, tags=tags, input_tokens=input_tokens)
        preference = self._preference if prefer is None else check_preference(prefer, self._objectives)
        eligible = None if arms is None and not exclude else self._eligible(arms, exclude)
        return self._decide(checked, preference, eligible, None)

    def route_many(
        self,
        requests: Sequence[str | ArrayLike],
        *,
        prefer: Preference | Mapping[str, float] | None = None,
        arms: Collection[str] | None = None,
        exclude: Collection[str] = (),
        session: str | None = None,
        tags: Collection[str] = (),
    ) -> list[Decision]:
        """Choose an arm for each of many requests, with their texts featurized in one batch; otherwise as ``route()``."""
        checked = [self._request(request, session=session, tags=tags, input_tokens=None) for request in requests]
        preference = self._preference if prefer is None else check_preference(prefer, self._objectives)
        eligible = None if arms is None and not exclude else self._eligible(arms, exclude)
        texts = [i for i, request in enumerate(checked) if request.text is not None]
        rows: dict[int, Vector] = {}
        try:
            rows = dict(zip(texts, self._features.transform([checked[i] for i in texts]), strict=True))
        except InvalidRequestError:
            raise
        except Exception as error:  # each request falls back, or fails alone, below
            _log.warning("featurizing %d texts in one batch failed, one at a time now: %s", len(texts), error)
        return [self._decide(request, preference, eligible, rows.get(i)) for i, request in enumerate(checked)]

    async def aroute(
        self,
        request: str | ArrayLike,
        *,
        prefer: Preference | Mapping[str, float] | None = None,
        arms: Collection[str] | None = None,
        exclude: Collection[str] = (),
        session: str | None = None,
        tags: Collection[str] = (),
        input_tokens: int | None = None,
    ) -> Decision:
        """``route()`` for the event loop: a text is featurized in a worker thread."""

        def choose() -> Decision:
            return self.route(
                request,
                prefer=prefer,
                arms=arms,
                exclude=exclude,
                session=session,
                tags=tags,
                input_tokens=input_tokens,
            )

        return await asyncio.to_thread(choose) if isinstance(request, str) else choose()

    def feedback(
        self,
        decision_id: str,
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
            quality=quality,
            cost_usd=cost_usd,
            energy_joules=energy_joules,
            latency_seconds=latency_seconds,
            output_tokens=output_tokens,
            **user_objectives,
        ).result()

    async def afeedback(
        self,
        decision_id: str,
        *,
        quality: float | None = None,
        cost_usd: float | None = None,
        energy_joules: float | None = None,
        latency_seconds: float | None = None,
        output_tokens: float | None = None,
        **user_objectives: float | None,
    ) -> None:
        """``feedback()`` for the event loop, which is free while the report is written.

        A cancelled wait does not take the report back.
        """
        ticket = self._report(
            decision_id,
            quality=quality,
            cost_usd=cost_usd,
            energy_joules=energy_joules,
            latency_seconds=latency_seconds,
            output_tokens=output_tokens,
            **user_objectives,
        )
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

    def _request(
        self, request: object, *, session: str | None, tags: Collection[str], input_tokens: int | None
    ) -> Request:
        if session is not None:
            label(session, name="session", error=InvalidRequestError)
        if tags:
            if isinstance(tags, str):
                raise InvalidRequestError(f"tags is the string {tags!r}; give a collection of strings, ({tags!r},)")
            tags = tuple(label(tag, name="tag", error=InvalidRequestError) for tag in tags)
        if input_tokens is not None:
            input_tokens = int(number(input_tokens, name="input_tokens", low=0.0, error=InvalidRequestError))
        if isinstance(request, str):
            if isinstance(self._features, GivenFeatures):
                raise InvalidRequestError(
                    f"this router expects {self._features.dimension} ready features, a text was given; "
                    "make it with Router(features=TextFeatures()) to route texts"
                )
            return Request(text=request, session=session, tags=tuple(tags), input_tokens=input_tokens)
        features = _check_vector(request, self._features.dimension)
        return Request(features=features, session=session, tags=tuple(tags), input_tokens=input_tokens)

    def _eligible(self, arms: Collection[str] | None, exclude: Collection[str]) -> list[int]:
        for given, what in ((arms, "arms"), (exclude, "exclude")):
            if isinstance(given, str):
                raise InvalidRequestError(f"{what} is the string {given!r}; give a collection of names, [{given!r}]")
            for name in given or ():
                if name not in self._index:
                    raise InvalidRequestError(f"{what} names {name!r}, which is no arm; arms: {', '.join(self._names)}")
        allowed = self._names if arms is None else arms
        left = [k for k, name in enumerate(self._names) if name in allowed and name not in exclude]
        if not left:
            raise InvalidRequestError(
                f"no arm is left: arms={None if arms is None else sorted(arms)}, exclude={sorted(exclude)} of "
                f"{', '.join(self._names)}; leave at least one"
            )
        return left

    def _decide(
        self, request: Request, preference: Preference, eligible: list[int] | None, features: Vector | None
    ) -> Decision:
        now = self._clock()
        x: Vector | None = None
        try:
            x = self._context(request, features)
            if self._store.trouble is not None:
                raise _CannotChoose(self._store.trouble)
            decision = self._choose(request, preference, eligible, x, now)
            self._last_trouble = None
        except InvalidRequestError:
            raise
        except Exception as error:  # whatever was learned or stored must not stop the traffic
            decision = self._fall_back(request, preference, eligible, x, now, error)
        self._store.add_decision(decision, request.text if self._store_prompts else None)
        return decision

    def _context(self, request: Request, features: Vector | None) -> Vector:
        x = np.empty(self._dimension)
        if features is None:
            features = self._features.transform_one(request) if request.features is None else request.features
        x[:-1] = features
        x[-1] = 1.0
        return x

    def _choose(
        self, request: Request, preference: Preference, eligible: list[int] | None, x: Vector, now: float
    ) -> Decision:
        belief, names = self._belief, self._names
        with self._lock:
            signed = self._weights.get(preference)
            if signed is None:
                signed = self._weigh(preference)
            means, spreads = self._price(request, belief.predict(x))
            objectives = belief.objectives
            information = belief.information
            if eligible is not None:
                names = tuple(names[k] for k in eligible)
                means, spreads = means[:, eligible], spreads[:, eligible]
                information = lambda: belief.information()[eligible]  # noqa: E731
            utilities, utility_spreads = utility(signed, means, spreads)
            if not math.isfinite(float(utilities @ utilities) + float(utility_spreads @ utility_spreads)):
                raise _CannotChoose("the belief is not finite")
            probabilities = self._learner.policy.probabilities(
                utilities, utility_spreads, arms=names, information=information
            )
            chosen, propensity = _draw(probabilities, self._rng.random())
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
        )

    def _weigh(self, preference: Preference) -> Vector:
        known = self._belief.objectives
        self._belief.watch([name for name, weight in preference.items() if weight > 0.0])
        if len(self._weights) >= _CACHED_PREFERENCES or self._belief.objectives != known:
            self._weights.clear()
        signed = weights(preference, self._belief.objectives, self._objectives)
        self._weights[preference] = signed
        return signed

    def _price(self, request: Request, prediction: Prediction) -> Prediction:
        """Replace the learned cost of priced arms by the one computed from tokens."""
        if self._prices is None:
            return prediction
        tokens: float | None = request.input_tokens
        if tokens is None:
            if request.text is None:
                return prediction  # neither counted nor countable: the learned cost stands
            tokens = len(request.text) / _CHARACTERS_PER_TOKEN
        means, spreads = prediction
        cost, output = (self._belief.objectives.index(name) for name in ("cost_usd", "output_tokens"))
        mean, spread = self._prices.cost_usd(tokens, means[output], spreads[output])
        # An arm that reported dollars and never tokens is better known by its dollars.
        by_tokens = self._prices.priced & ((self._belief.counts("output_tokens") > 0) | (self._belief.counts("cost_usd") == 0))
        means[cost] = np.where(by_tokens, mean, means[cost])
        spreads[cost] = np.where(by_tokens, spread, spreads[cost])
        return prediction

    def _fall_back(
        self,
        request: Request,
        preference: Preference,
        eligible: list[int] | None,
        x: Vector | None,
        now: float,
        error: Exception,
    ) -> Decision:
        names = self._names if eligible is None else tuple(self._names[k] for k in eligible)
        arm = self._fallback if self._fallback in names else names[0]
        trouble = str(error) if isinstance(error, BanditRouteError) else f"{type(error).__name__}: {error}"
        self._fallbacks += 1
        if trouble != self._last_trouble:  # one line per trouble, not per request
            _log.warning("routing falls back to arm %r: %s", arm, trouble, exc_info=error)
            self._last_trouble = trouble
        zeros = np.zeros(len(names))
        return Decision(
            id=_new_id(now),
            arm=arm,
            propensity=1.0,
            reason=f"fallback: {trouble}",
            decided_at=now,
            arms=names,
            probabilities=np.array([float(name == arm) for name in names]),
            objectives=(),
            means=np.zeros((0, len(names))),
            spreads=np.zeros((0, len(names))),
            utilities=zeros,
            utility_spreads=zeros,
            penalties=zeros,
            x=x,
            preference=preference,
            policy=self._policy_text,
            session=request.session,
            tags=request.tags,
            input_tokens=request.input_tokens,
        )

    def _report(self, decision_id: str, **values: float | None) -> Ticket:
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
        report = Feedback(decision_id=decision_id, values=checked, received_at=self._clock())
        return self._store.add_feedback(report, self._learn)

    def _learn(self, event: Event) -> None:
        if event.arm not in self._index:
            return  # an arm of an earlier configuration: recorded, and folded by the store
        with self._lock:
            known = self._belief.objectives
            self._belief.update(event.arm, event.x, event.values)
            if self._belief.objectives != known:
                self._weights.clear()
            self._learned += 1

    def _fold(self, blob: bytes | None, events: Sequence[Event]) -> bytes:
        pairs = [(event.x, event.values) for event in events]
        return self._learner.belief.fold(blob, pairs, dimension=self._dimension)


class _CannotChoose(BanditRouteError):
    """Why the policy was not asked; its message goes into ``decision.reason``."""


def _check_arms(arms: object) -> tuple[Arm, ...]:
    if isinstance(arms, str) or not isinstance(arms, Sequence):
        raise InvalidConfigurationError(f"arms is {arms!r}; give a list of arms or names, for example ['small', 'large']")
    checked = tuple(Arm(name=arm) if isinstance(arm, str) else arm for arm in arms)
    if not checked:
        raise InvalidConfigurationError("arms is empty; give at least one arm")
    for arm in checked:
        if not isinstance(arm, Arm):
            raise InvalidConfigurationError(f"arm {arm!r} is a {type(arm).__name__}; give an Arm or its name")
    names = [arm.name for arm in checked]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidConfigurationError(f"arm names must be unique; given twice: {', '.join(twice)}")
    return checked


def _check_features(features: Featurizer | int | None) -> Featurizer:
    if features is None:
        from banditroute.features.text import TextFeatures

        return TextFeatures()
    if isinstance(features, int):
        return GivenFeatures(dimension=features)
    if not isinstance(features, Featurizer):
        raise InvalidConfigurationError(
            f"features is {features!r}; give a featurizer such as TextFeatures(), or the number of ready features"
        )
    return features


def _check_vector(request: object, dimension: int) -> Vector:
    try:
        vector = np.asarray(request)
    except ValueError:
        vector = np.empty(0, dtype=object)
    if vector.dtype.kind not in "fiu":
        raise InvalidRequestError(
            f"the request is {type(request).__name__} of {vector.dtype}; give a text, or {dimension} numbers"
        )
    if vector.shape != (dimension,):
        raise InvalidRequestError(
            f"the features have shape {vector.shape}; this router expects ({dimension},), without the bias entry"
        )
    vector = vector.astype(np.float64, copy=False)
    if not math.isfinite(float(vector @ vector)):
        raise InvalidRequestError("the features hold NaN, an infinity or numbers beyond 1e150; give finite numbers")
    return vector


def _draw(probabilities: Vector, u: float) -> tuple[int, float]:
    """The arm whose share of [0, 1) holds ``u``, and its probability; never one of probability 0."""
    shares = probabilities.tolist()
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
