"""Parse and check one request, and the terms on which it is decided, before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias, TypedDict, TypeGuard

import numpy as np
from numpy.typing import ArrayLike

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.conversation import is_message
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.core.validation import bounded, label, listed, number, plain_number, several, shown, whole
from banditroute.core.values import open_twin
from banditroute.errors import BanditRouteError, InvalidInputError, InvalidRequestError
from banditroute.features._messages import asked, messages_of
from banditroute.features.base import Featurizer
from banditroute.features.given import GivenFeatures
from banditroute.limits.constraints import Limits, request_limits
from banditroute.objectives.objective import Objective
from banditroute.objectives.scaling import Scaled
from banditroute.objectives.utility import PreferenceLike, check_preference
from banditroute.sessions.identity import ends_with_tool_result, session_key

Conversation: TypeAlias = Sequence[Mapping[str, object]]
"""Messages with a role and a content, as chat interfaces take them."""

_OpenRequest = open_twin(Request)

RequestLike: TypeAlias = str | Conversation | ArrayLike
"""A prompt, messages, or ready features ``(d - 1,)``."""


class ManyOptions(TypedDict, total=False):
    """The options of ``Router.route_many``; ``Router.route`` explains them."""

    preference: PreferenceLike | None
    arms: Collection[str] | None
    exclude: Collection[str]
    limits: Limits | None
    replace_limits: Limits | None
    requires: Collection[str]
    deadline_seconds: float | None
    session: str | None
    tags: Collection[str]
    max_output_tokens: int | None
    template: str | None
    metadata: Mapping[str, float | str | None] | None


class RouteOptions(ManyOptions, total=False):
    """The options of ``Router.route``, for its other forms."""

    input_tokens: int | None


class NothingToAskError(BanditRouteError):
    """No arm may be asked in a further call: it would break a limit or a budget. It never reaches a caller."""


class Terms(NamedTuple):
    """The checked terms on which a request is decided.

    Attributes
    ----------
    preference
        The weights of the objectives.
    eligible
        Names of the arms that may be chosen; None for all.
    limits
        What an arm must keep; None for no limits.
    """

    preference: Preference | Scaled
    eligible: Sequence[str] | None
    limits: Limits | None


class Ask(NamedTuple):
    """One checked request with all that the engine needs to decide it.

    Attributes
    ----------
    request
        The request; its session, tags and token count.
    x
        The context ``(d,)``, last entry 1.0; None where the features could not be computed.
    preference
        The exchange rates of the objectives for this request.
    eligible
        Names of the arms that may be chosen; None for all.
    limits
        What an arm must keep; None for no limits.
    now
        Unix time in seconds.
    rules
        Conditions of the rules that hold for the request, as one text; None if none holds.
    """

    request: Request
    x: Vector | None
    preference: Preference
    eligible: Sequence[str] | None
    limits: Limits | None
    now: float
    rules: str | None = None

    def reason(self, of_choice: str) -> str:
        """Return the reason of a choice, with the rules that narrowed it."""
        if self.rules is None:
            return of_choice
        return f"rules: {self.rules}" if of_choice == "policy" else f"{of_choice}; rules: {self.rules}"


class RequestParser:
    """Checks requests and their terms against the configuration of a router.

    Parameters
    ----------
    features
        The featurizer that must be able to read the requests.
    objectives
        The objectives that a preference may name.
    preference, limits
        Those of the router, for requests without their own.
    follows_sessions
        Says whether conversations are to be recognised as turns of a session.
    """

    def __init__(
        self,
        *,
        features: Featurizer,
        objectives: Mapping[str, Objective],
        preference: Preference | Scaled,
        limits: Limits | None,
        follows_sessions: Callable[[], bool] = lambda: False,
    ) -> None:
        self._features = features
        self._follows_sessions = follows_sessions
        self._objectives = objectives
        self._preference = preference
        self._limits = limits

    def request(
        self,
        request: object,
        session: str | None,
        tags: Collection[str],
        input_tokens: int | None,
        max_output_tokens: int | None,
        template: str | None,
        metadata: Mapping[str, float | str | None] | None,
    ) -> Request:
        """Return a checked request; see ``parse_request``."""
        parsed = parse_request(
            request, self._features, session, tags, input_tokens, max_output_tokens, template, metadata
        )
        return _in_session(parsed, request) if parsed.messages and self._follows_sessions() else parsed

    def checked(self, request: object, arms: Sequence[Arm], options: RouteOptions) -> tuple[Request, Terms]:
        """Return a checked request and its terms, from the options of ``Router.route``."""
        get: Any = options.get
        parsed = self.request(
            request,
            get("session"),
            get("tags", ()),
            get("input_tokens"),
            get("max_output_tokens"),
            get("template"),
            get("metadata"),
        )
        return parsed, self._terms_of(arms, options, RouteOptions)

    def checked_many(self, requests: object, arms: Sequence[Arm], options: ManyOptions) -> tuple[list[Request], Terms]:
        """Return many checked requests with the same labels, and their terms, from the options of ``route_many``."""
        get: Any = options.get
        parsed = [
            self.request(
                each,
                get("session"),
                get("tags", ()),
                None,
                get("max_output_tokens"),
                get("template"),
                get("metadata"),
            )
            for each in several(
                requests, name="requests", example="['Why?'], or use route()", error=InvalidRequestError
            )
        ]
        return parsed, self._terms_of(arms, options, ManyOptions)

    def _terms_of(self, arms: Sequence[Arm], options: ManyOptions, known: type[ManyOptions]) -> Terms:
        """Return the checked terms of a request from options; raise TypeError for an unknown one, as a call does."""
        if not options.keys() <= known.__annotations__.keys():
            unknown = listed(options.keys() - known.__annotations__.keys())
            raise TypeError(f"unexpected keyword argument {unknown}; known: {', '.join(known.__annotations__)}")
        get: Any = options.get
        return self.terms(
            arms,
            get("preference"),
            get("arms"),
            get("exclude", ()),
            get("limits"),
            get("replace_limits"),
            get("requires", ()),
            get("deadline_seconds"),
        )

    def terms(
        self,
        arms: Sequence[Arm],
        preference: PreferenceLike | None,
        only: Collection[str] | None,
        exclude: Collection[str],
        limits: Limits | None,
        replace_limits: Limits | None,
        requires: Collection[str],
        deadline_seconds: float | None,
    ) -> Terms:
        """Return the checked terms of a request: the router's preference unless it has one, and tightened limits."""
        weights = self._preference if preference is None else check_preference(preference, self._objectives)
        kept = self._limits
        if limits is not None or replace_limits is not None or requires or deadline_seconds is not None:
            kept = request_limits(
                kept,
                limits=limits,
                replace_limits=replace_limits,
                requires=requires,
                deadline_seconds=deadline_seconds,
            )
        return Terms(weights, eligible_arms(arms, only, exclude, kept), kept)


def parse_request(
    request: object,
    features: Featurizer,
    session: str | None = None,
    tags: Collection[str] = (),
    input_tokens: int | None = None,
    max_output_tokens: int | None = None,
    template: str | None = None,
    metadata: Mapping[str, float | str | None] | None = None,
) -> Request:
    """Return a request that ``features`` can turn into a context.

    Raises
    ------
    InvalidRequestError
        If the request or one of its labels cannot be used.
    """
    if session is not None:
        label(session, name="session", error=InvalidRequestError)
    if tags != ():
        if isinstance(tags, str):
            raise InvalidRequestError(
                f"tags is the string {shown(tags)}; give a collection of strings, ({shown(tags)},)"
            )
        if not isinstance(tags, Collection):
            raise InvalidRequestError(f"tags is {shown(tags)} ({type(tags).__name__}); give a collection of strings")
        tags = tuple(label(tag, name="tag", error=InvalidRequestError) for tag in tags)
    if input_tokens is not None:
        input_tokens = int(number(input_tokens, name="input_tokens", low=0.0, error=InvalidRequestError))
    if max_output_tokens is not None:
        whole(max_output_tokens, name="max_output_tokens", error=InvalidRequestError)
    if template is not None:
        label(template, name="template", error=InvalidRequestError)
    known = {} if metadata is None else _known_metadata(metadata)
    text, vector, messages = _content(request, features)
    checked = _OpenRequest(
        text=text,
        features=vector,
        session=session,
        tags=tuple(tags),
        input_tokens=input_tokens,
        max_output_tokens=max_output_tokens,
        template=template,
        metadata=known,
        messages=messages,
        continues=False,
        again=False,
    )
    checked.__class__ = Request
    return checked


def _content(request: object, features: Featurizer) -> tuple[str | None, Vector | None, tuple[tuple[str, str], ...]]:
    """Return the text of a request, or its ready features, and its messages."""
    if isinstance(request, np.ndarray):
        return None, _ready_features(request, features.dimension), ()
    try:
        messages = messages_of(request) if is_conversation(request) else ()
    except RecursionError:
        raise InvalidRequestError("the messages are nested too deeply; give role and content as plain values") from None
    if not messages and not isinstance(request, str):
        return None, _ready_features(request, features.dimension), ()
    if isinstance(features, GivenFeatures):
        raise InvalidRequestError(
            f"this router expects {features.dimension} ready features, a text was given; "
            "make it with Router(features=TextFeatures()) to route texts"
        )
    return asked(messages) if messages else str(request), None, messages


def is_conversation(request: object) -> TypeGuard[Conversation]:
    """Return whether a request is a list of messages."""
    return (
        isinstance(request, Sequence)
        and not isinstance(request, str | bytes)
        and len(request) > 0
        and is_message(request[0])
    )


def eligible_arms(
    arms: Sequence[Arm],
    only: Collection[str] | None = None,
    exclude: Collection[str] = (),
    limits: Limits | None = None,
    *,
    error: type[InvalidInputError] = InvalidRequestError,
) -> list[str] | None:
    """Return the names of the arms that may be chosen, None for all.

    Raises
    ------
    InvalidInputError
        (the subclass given as ``error``) If a name is unknown, or no arm is left.
    """
    requires = () if limits is None else limits.requires
    if only is None and not exclude and not requires and (limits is None or not limits.rules):
        return None
    names = {arm.name for arm in arms}
    for rule in () if limits is None else limits.rules:
        if names.isdisjoint(rule.arms):
            raise error(
                f"the rule {shown(rule.when)} leaves none of the arms {listed(names)}; name one of them in its arms"
            )
    for given, option in ((only, "arms"), (exclude, "exclude")):
        if isinstance(given, str):
            raise error(f"{option} is the string {shown(given)}; give a collection of names, [{shown(given)}]")
        if given is not None and not isinstance(given, Collection):
            raise error(f"{option} is {shown(given)} ({type(given).__name__}); give a list of names")
        for name in given or ():
            if not isinstance(name, str) or type(name).__hash__ is None or name not in names:
                raise error(f"{option} names an unknown arm {shown(name)}; known arms: {listed(names)}")
    wanted, unwanted, required_capabilities = names if only is None else set(only), set(exclude), set(requires)
    left = [
        arm.name
        for arm in arms
        if arm.name in wanted and arm.name not in unwanted and required_capabilities <= set(arm.capabilities)
    ]
    if not left:
        required = f", requires={list(requires)}" if requires else ""
        raise error(
            f"no arm is left: arms={None if only is None else shown(sorted(only))}, exclude={shown(sorted(exclude))}"
            f"{required} of {listed(names)}; leave at least one"
        )
    return left


def _in_session(parsed: Request, messages: Any) -> Request:
    """Return a conversation as a turn of its session: the given one, or the one that its messages tell."""
    session = parsed.session or session_key(messages)
    return replace(parsed, session=session, continues=ends_with_tool_result(messages))


def reason_left_out(arm: Arm, ask: Ask) -> str:
    """Return why a request leaves ``arm`` out: it lacks capabilities, or rules, ``arms`` or ``exclude`` say so."""
    missing = set() if ask.limits is None else set(ask.limits.requires) - set(arm.capabilities)
    if missing:
        return f"request: it lacks {listed(missing)}"
    rules = "" if ask.rules is None else f"rules {ask.rules}, "
    return f"request: {rules}arms= or exclude= leaves it out"


def obey_rules(request: Request, terms: Terms, arms: Sequence[str]) -> tuple[Sequence[str] | None, str | None]:
    """Return those of the eligible arms, of all ``arms``, that the limits' rules leave; and the conditions that hold.

    Raises
    ------
    InvalidRequestError
        If no arm is left.
    """
    assert terms.limits is not None
    holding = [rule for rule in terms.limits.rules if rule.holds(request)]
    if not holding:
        return terms.eligible, None
    eligible = arms if terms.eligible is None else terms.eligible
    left = [arm for arm in eligible if all(arm in rule.arms for rule in holding)]
    conditions = " and ".join(rule.when if len(holding) == 1 else f"({rule.when})" for rule in holding)
    if not left:
        raise InvalidRequestError(
            f"no arm is left: the rules {shown(conditions)} leave none of {listed(eligible)}; allow an arm that they "
            "name"
        )
    return left, conditions


def _known_metadata(metadata: object) -> dict[str, float | str]:
    """Return a copy of the metadata without the names whose value is None."""
    if not isinstance(metadata, Mapping):
        raise InvalidRequestError(
            f"metadata is {shown(metadata)} ({type(metadata).__name__}); give a mapping, for example {{'tier': 'gold'}}"
        )
    known: dict[str, float | str] = {}
    for name, value in metadata.items():
        label(name, name="a name in metadata", error=InvalidRequestError)
        if name in ("session", "tags", "input_tokens"):
            raise InvalidRequestError(f"metadata names {name!r}, which has a keyword of its own: {name}=...")
        if isinstance(value, str):
            known[name] = value
        elif value is not None:
            known[name] = number(value, name=f"metadata {name!r}", error=InvalidRequestError)
    return known


def _ready_features(request: object, dimension: int) -> Vector:
    """Return ready features as ``(dimension,)`` finite numbers."""
    try:
        vector = np.asarray(request)
        if vector.dtype.kind == "O" and vector.ndim == 1:  # Decimals and fractions
            vector = np.array([plain_number(each) for each in vector.tolist()])
    except Exception:  # rows of different lengths, or a type of the caller's own
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
        raise InvalidRequestError(
            "the features hold NaN, an infinity or numbers beyond 1e8; give finite numbers of mean square about 1"
        )
    return vector
