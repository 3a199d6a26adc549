"""A caller's mistakes, found before anything is done: what ``Router`` is made of, and what it is asked."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias, TypedDict, TypeGuard

import numpy as np

from banditroute.adapters.cache import AdapterCache
from banditroute.beliefs.linear import Linear
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.conversation import is_message
from banditroute.core.failure import Failure
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.core.validation import LARGEST, label, number, whole
from banditroute.errors import InvalidConfigurationError, InvalidFeedbackError, InvalidInputError, InvalidRequestError
from banditroute.features._messages import asked, messages_of
from banditroute.features.base import Featurizer
from banditroute.features.given import GivenFeatures
from banditroute.guard.guard import Guard
from banditroute.learners import Learner, LinUCB, ThompsonSampling
from banditroute.limits.breaker import CircuitBreaker
from banditroute.limits.constraints import Limits
from banditroute.limits.traffic import Share, check_shares
from banditroute.objectives.objective import QUALITY, Objective
from banditroute.objectives.scaling import Scaled
from banditroute.objectives.utility import PreferenceLike
from banditroute.store.base import Store
from banditroute.store.memory import MemoryStore
from banditroute.store.outcomes import FAILURE

Conversation: TypeAlias = Sequence[Mapping[str, object]]
"""Messages with a role and a content, as chat interfaces take them."""


class RouteOptions(TypedDict, total=False):
    """The options of ``Router.route``, for its other forms."""

    preference: PreferenceLike | None
    arms: Collection[str] | None
    exclude: Collection[str]
    limits: Limits | None
    session: str | None
    tags: Collection[str]
    input_tokens: int | None
    max_output_tokens: int | None
    template: str | None
    metadata: Mapping[str, float | str | None] | None


def check_arms(arms: object, adapters: AdapterCache | None = None) -> tuple[Arm, ...]:
    """The arms of a router, names turned into arms; raises InvalidConfigurationError for none or for twins.

    Adapters are expected to be as good as can be until they are tried, unless the arm says otherwise: a miss that costs
    more than an adapter never tried could be worth would never be paid.
    """
    if isinstance(arms, str) or not isinstance(arms, Sequence):
        raise InvalidConfigurationError(
            f"arms is {arms!r}; give a list of arms or names, for example ['small', 'large']"
        )
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
    if adapters is not None and not isinstance(adapters, AdapterCache):
        raise InvalidConfigurationError(f"adapters is {adapters!r}; give AdapterCache(backend=...)")
    with_adapter = [arm.name for arm in checked if arm.adapter is not None]
    if with_adapter and adapters is None:
        raise InvalidConfigurationError(
            f"arm {with_adapter[0]!r} has an adapter; say what holds it with Router(adapters=AdapterCache(...))"
        )
    return tuple(
        arm if arm.adapter is None else replace(arm, expected={"quality": QUALITY.high, **arm.expected})
        for arm in checked
    )


def check_features(features: Featurizer | int | None) -> Featurizer:
    """The featurizer of a router; raises InvalidConfigurationError for what cannot be one."""
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


def check_request(
    request: object,
    features: Featurizer,
    session: str | None = None,
    tags: Collection[str] = (),
    input_tokens: int | None = None,
    template: str | None = None,
    max_output_tokens: int | None = None,
    metadata: Mapping[str, float | str | None] | None = None,
) -> Request:
    """A request that ``features`` can turn into a context; raises InvalidRequestError for any other."""
    if session is not None:
        label(session, name="session", error=InvalidRequestError)
    if tags:
        if isinstance(tags, str):
            raise InvalidRequestError(f"tags is the string {tags!r}; give a collection of strings, ({tags!r},)")
        if not isinstance(tags, Collection):
            raise InvalidRequestError(f"tags is {tags!r} ({type(tags).__name__}); give a collection of strings")
        tags = tuple(label(tag, name="tag", error=InvalidRequestError) for tag in tags)
    if input_tokens is not None:
        input_tokens = int(number(input_tokens, name="input_tokens", low=0.0, error=InvalidRequestError))
    if max_output_tokens is not None:
        whole(max_output_tokens, name="max_output_tokens", error=InvalidRequestError)
    if template is not None:
        label(template, name="template", error=InvalidRequestError)
    given = {} if metadata is None else _check_metadata(metadata)
    messages = messages_of(request) if is_conversation(request) else ()
    if messages or isinstance(request, str):
        if isinstance(features, GivenFeatures):
            raise InvalidRequestError(
                f"this router expects {features.dimension} ready features, a text was given; "
                "make it with Router(features=TextFeatures()) to route texts"
            )
        text, vector = asked(messages) if messages else str(request), None
    else:
        text, vector = None, _check_vector(request, features.dimension)
    return Request(
        text=text,
        features=vector,
        session=session,
        tags=tuple(tags),
        input_tokens=input_tokens,
        max_output_tokens=max_output_tokens,
        template=template,
        metadata=given,
        messages=messages,
    )


def is_conversation(request: object) -> TypeGuard[Conversation]:
    """Whether a request is a list of messages."""
    return (
        isinstance(request, Sequence)
        and not isinstance(request, str | bytes)
        and len(request) > 0
        and is_message(request[0])
    )


def _check_metadata(metadata: object) -> dict[str, float | str]:
    """Names with a number or a string each, as a copy; what is None is not known, and left out."""
    if not isinstance(metadata, Mapping):
        raise InvalidRequestError(
            f"metadata is {metadata!r} ({type(metadata).__name__}); give a mapping, for example {{'tier': 'gold'}}"
        )
    given: dict[str, float | str] = {}
    for name, value in metadata.items():
        label(name, name="a name in metadata", error=InvalidRequestError)
        if name in ("session", "tags", "input_tokens"):
            raise InvalidRequestError(f"metadata names {name!r}, which has a keyword of its own: {name}=...")
        if isinstance(value, str):
            given[name] = value
        elif value is not None:
            given[name] = number(value, name=f"metadata {name!r}", error=InvalidRequestError)
    return given


LARGEST_FEATURE = 1e8
"""Largest number in a context: one that is far larger than all others would outweigh all that was learned."""


def bounded(vector: Vector) -> bool:
    """Return whether all numbers are finite and their root sum of squares is at most ``LARGEST_FEATURE``."""
    # Of all the ways to a sum of squares, vdot alone is silent where it overflows.
    return float(np.vdot(vector, vector)) <= LARGEST_FEATURE * LARGEST_FEATURE


def _check_vector(request: object, dimension: int) -> Vector:
    try:
        vector = np.asarray(request)
    except ValueError:  # rows of different lengths
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
    if not bounded(vector):
        raise InvalidRequestError("the features hold NaN, an infinity or numbers beyond 1e8; give finite numbers of mean square about 1")
    return vector


def check_learner(learner: Learner | None, *, of_adapters: bool = False) -> Learner:
    """The learner of a router; raises InvalidConfigurationError for what is none, such as a bare policy.

    What adapters do is not shared: each is good at something else, and one never tried must not be expected to be as
    the others are. So their beliefs are apart by default.
    """
    if learner is None:
        return LinUCB(alpha=3.0, belief=Linear(), context_exploration=1.0) if of_adapters else ThompsonSampling()
    if not isinstance(learner, Learner):
        raise InvalidConfigurationError(
            f"learner is {learner!r}; give a learner such as LinUCB(), or Learner(policy=...) around a policy"
        )
    return learner


def check_store(store: Store | None) -> Store:
    """The store of a router; raises InvalidConfigurationError for what is none, such as an address."""
    if store is None:
        return MemoryStore()
    if not isinstance(store, Store):
        raise InvalidConfigurationError(f"store is {store!r}; give a store such as MemoryStore() or SQLStore(...)")
    return store


def check_switching(switching: Mapping[str, float] | None, objectives: Mapping[str, Objective]) -> dict[str, float]:
    """What switching costs, by objective; raises InvalidConfigurationError for what is no loss of an objective."""
    if switching is not None and not isinstance(switching, Mapping):
        raise InvalidConfigurationError(f"switching is {switching!r}; give what is lost, such as {{'cost_usd': 0.001}}")
    for name, loss in (switching or {}).items():
        if name not in objectives:
            raise InvalidConfigurationError(
                f"switching names {name!r}, which is no objective; known: {', '.join(sorted(objectives))}"
            )
        number(loss, name=f"switching {name!r}", low=0.0, error=InvalidConfigurationError)
    return dict(switching or {})


def check_breaker(breaker: CircuitBreaker | None) -> CircuitBreaker | None:
    """The breaker of a router; raises InvalidConfigurationError for what is none."""
    if breaker is not None and not isinstance(breaker, CircuitBreaker):
        raise InvalidConfigurationError(f"breaker is {breaker!r}; give a CircuitBreaker, or None for none")
    return breaker


def check_traffic(traffic: Mapping[str, Share], arms: Sequence[str]) -> dict[str, Share]:
    """A copy of the shares of traffic; raises InvalidConfigurationError for any that ``arms`` cannot have."""
    if not isinstance(traffic, Mapping) or not all(isinstance(share, Share) for share in traffic.values()):
        raise InvalidConfigurationError(f"traffic is {traffic!r}; give shares of arms, {{'new': Share(at_most=0.2)}}")
    for arm in traffic:
        if arm not in arms:
            raise InvalidConfigurationError(f"traffic names {arm!r}, which is no arm; arms: {', '.join(arms)}")
    check_shares(traffic, arms)
    return dict(traffic)


def check_guard(
    guard: Guard | None,
    arms: Sequence[str],
    traffic: Mapping[str, Share],
    preference: Preference | Scaled,
    objectives: Mapping[str, Objective],
) -> tuple[float, float]:
    """The range of the utility that a guard judges; raises InvalidConfigurationError for one that does not fit."""
    if guard is None:
        return 0.0, 1.0
    if not isinstance(guard, Guard):
        raise InvalidConfigurationError(f"guard is {guard!r}; give Guard(baseline=...), or None for none")
    for arm in guard.mixture:
        if arm not in arms:
            raise InvalidConfigurationError(f"the baseline names {arm!r}, which is no arm; arms: {', '.join(arms)}")
    check_baseline(guard, traffic)
    if guard.utility_range is not None:
        return guard.utility_range
    low = high = math.nan
    if isinstance(preference, Preference):
        edges = [
            sorted(weight * objectives[name].sign * edge for edge in (objectives[name].low, objectives[name].high))
            for name, weight in preference.items()
            if weight > 0.0
        ]
        low, high = sum(edge[0] for edge in edges), sum(edge[1] for edge in edges)
    if not math.isfinite(high - low) or low == high:
        raise InvalidConfigurationError(
            f"{preference!r} gives the utility no range for the guard; give it one, Guard(utility_range=(0.0, 1.0))"
        )
    return low, high


def check_baseline(guard: Guard | None, traffic: Mapping[str, Share]) -> None:
    """Refuse caps that are below what a guard's baseline gives; raises InvalidConfigurationError."""
    for arm, share in () if guard is None else guard.mixture.items():
        if arm in traffic and share > traffic[arm].at_most:
            raise InvalidConfigurationError(
                f"the baseline gives {arm!r} {share:.4g} of the requests, and traffic at most "
                f"{traffic[arm].at_most:.4g}; raise at_most, or give the baseline other arms"
            )


def check_limits(limits: Limits | None, *, error: type[InvalidInputError] = InvalidRequestError) -> Limits | None:
    """The limits of a router or a request; raises ``error`` for what is none."""
    if limits is not None and not isinstance(limits, Limits):
        raise error(f"limits is {limits!r}; give Limits(...), for example Limits(max_cost_usd=0.002)")
    return limits


def check_eligible(
    arms: Sequence[Arm],
    only: Collection[str] | None = None,
    exclude: Collection[str] = (),
    limits: Limits | None = None,
    *,
    error: type[InvalidInputError] = InvalidRequestError,
) -> list[str] | None:
    """Names of the arms that may be chosen, None for all; raises ``error`` for unknown names or if none is left."""
    require = () if limits is None else limits.require
    if only is None and not exclude and not require:
        return None
    names = [arm.name for arm in arms]
    for given, what in ((only, "arms"), (exclude, "exclude")):
        if isinstance(given, str):
            raise error(f"{what} is the string {given!r}; give a collection of names, [{given!r}]")
        if given is not None and not isinstance(given, Collection):
            raise error(f"{what} is {given!r} ({type(given).__name__}); give a list of names")
        for name in given or ():
            if name not in names:
                raise error(f"{what} names {name!r}, which is no arm; arms: {', '.join(names)}")
    left = [
        arm.name
        for arm in arms
        if (only is None or arm.name in only) and arm.name not in exclude and set(require) <= set(arm.tags)
    ]
    if not left:
        tagged = f", require={list(require)}" if require else ""
        raise error(
            f"no arm is left: arms={None if only is None else sorted(only)}, exclude={sorted(exclude)}{tagged} of "
            f"{', '.join(names)}; leave at least one"
        )
    return left


def check_outcomes(
    objectives: Mapping[str, Objective],
    values: Mapping[str, float | None],
    failed: bool | None,
    failure: Failure | str | None = None,
    retry_after_seconds: float | None = None,
) -> dict[str, float]:
    """The outcomes that are known, in their ranges; raises InvalidFeedbackError for any other."""
    checked = _check_failure(failure, retry_after_seconds)
    if failed is not None:
        if not isinstance(failed, bool | np.bool_):
            raise InvalidFeedbackError(f"failed is {failed!r} ({type(failed).__name__}); give True, False or None")
        if not failed and checked.get("availability") == 0.0:
            raise InvalidFeedbackError(f"failed is False and failure is {failure!r}; leave out one of them")
        checked["availability"] = 0.0 if failed else 1.0
    for name, value in values.items():
        if name not in objectives:
            raise InvalidFeedbackError(
                f"{name!r} is no objective of this router; known: {', '.join(sorted(objectives))}. "
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
        raise InvalidFeedbackError(f"unknown failure {failure!r:.80}; known failures: {', '.join(Failure)}")
    seconds = number(retry_after_seconds or 0.0, name="retry_after_seconds", low=0.0, error=InvalidFeedbackError)
    known = {f"{FAILURE}{Failure(failure)}": seconds}
    if Failure(failure).blames_arm:
        known["availability"] = 0.0
    return known


def check_log(
    log: object, *, features: Featurizer, arms: Collection[str], objectives: Mapping[str, Objective]
) -> list[tuple[Request, dict[str, dict[str, float]]]]:
    """The rows of a log with the outcomes that are known; raises for a row that ``route`` or ``feedback`` would refuse.

    Raises
    ------
    InvalidRequestError
        For what is no log, and a request that ``features`` cannot turn into a context.
    InvalidFeedbackError
        For outcomes that are none, or are of an unknown arm, and for a log without any.
    """
    if isinstance(log, str | Mapping) or not isinstance(log, Iterable):
        raise InvalidRequestError(
            f"log is a {type(log).__name__}; give rows of a request and its outcomes by arm: "
            "[('Why?', {'small': {'quality': 1.0}})], or table.rows() of an OutcomeTable"
        )
    rows = []
    for i, row in enumerate(log):
        try:
            if not isinstance(row, tuple | list) or len(row) != 2 or not isinstance(row[1], Mapping):
                raise InvalidRequestError(f"{row!r:.80} is not a pair of a request and its outcomes by arm")
            outcomes = {}
            for arm, values in row[1].items():
                if arm not in arms:
                    raise InvalidFeedbackError(f"{arm!r} is no arm of this router; arms: {', '.join(arms)}")
                if not isinstance(values, Mapping):
                    raise InvalidFeedbackError(f"outcomes of {arm!r} are {values!r:.80}; give objective -> value")
                known = check_outcomes(objectives, values, None)
                if known:
                    outcomes[arm] = known
            rows.append((check_request(row[0], features), outcomes))
        except InvalidInputError as error:
            raise type(error)(f"row {i} of the log: {error}") from error
    if not any(outcomes for _, outcomes in rows):
        raise InvalidFeedbackError("the log has no outcome; give at least one row with one")
    return rows
