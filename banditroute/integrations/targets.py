"""The clients behind a router: for each arm its client, model, price, and the options that its client does not know."""

from __future__ import annotations

import inspect
import logging
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from banditroute.core.arm import Arm
from banditroute.core.failure import Failure
from banditroute.core.validation import listed
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.integrations.apis import AnthropicMessages, Api, OpenAIChat, OpenAIEmbeddings, OpenAIResponses
from banditroute.integrations.failures import failure_of, words_of
from banditroute.pricing.model_price import ModelPrice
from banditroute.router import Router

Kind: TypeAlias = Literal["create", "parse", "respond", "respond_parsed", "embed"]
"""The calls of a routed client, by name."""

_APIS: Mapping[Kind, Sequence[Api]] = {
    "create": (OpenAIChat(), AnthropicMessages()),
    "parse": (OpenAIChat("parse"), AnthropicMessages("parse")),
    "respond": (OpenAIResponses(),),
    "respond_parsed": (OpenAIResponses("parse"),),
    "embed": (OpenAIEmbeddings(),),
}
_OTHER_NAMES = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_MAY_BE_LEFT_OUT = (  # of an option that a model refuses: it only says how the words of an answer are drawn
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "seed",
)
_TOO_MANY_TOKENS = re.compile(r"too large|at most|maximum allowed")  # the name is right, the number is not
_UNKNOWN_OPTION = re.compile(r"unexpected keyword argument '(\w+)'")
_log = logging.getLogger("banditroute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request to a routed client.

    Attributes
    ----------
    kind
        What is asked for.
    request
        The part that the router reads.
    messages
        The part that the client is given.
    options, arm_options
        Options for every client, and arm -> options for its client alone.
    stream
        Whether the answer is to come in chunks.
    """

    kind: Kind
    request: Any
    messages: Any
    options: Mapping[str, Any]
    arm_options: Mapping[str, Mapping[str, Any]]
    stream: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A client with its own retries, and without."""

    patient: Any
    impatient: Any


@dataclass(slots=True, kw_only=True)
class Target:
    """The client of one arm, or its client for each server of a fleet, and how it is asked.

    Attributes
    ----------
    endpoints
        Server -> its client. A client that serves all requests stands under None alone.
    """

    arm: str
    endpoints: Mapping[str | None, Endpoint]
    model: str
    price: ModelPrice | None
    apis: Mapping[Kind, Api]
    unknown: set[tuple[Kind, str]] = field(default_factory=set)

    def function(self, kind: Kind, *, server: str | None = None, with_retries: bool = True) -> Callable[..., Any]:
        """Return the function of the client for a server, with the client's own retries or without.

        Raises
        ------
        InvalidConfigurationError
            If the arm has one client for each server, and none for this one.
        """
        endpoint = self.endpoints.get(None) or self.endpoints.get(server)
        if endpoint is None:
            known = ", ".join(str(name) for name in self.endpoints)
            raise InvalidConfigurationError(
                f"arm {self.arm!r} has no client for server {server!r}, only for {known}; give one with add_client()"
            )
        function = self.apis[kind].function(endpoint.patient if with_retries else endpoint.impatient)
        assert function is not None, "the client had it when it was given"
        return function

    def arguments(self, ask: Ask) -> dict[str, Any]:
        """Return the arguments of the client's function, without the options that it is known not to know."""
        own = ask.arm_options.get(self.arm, {})
        shared = self.apis[ask.kind].arguments(ask.messages, ask.options, stream=ask.stream)
        refused = {name for kind, name in self.unknown if kind == ask.kind}
        known = {
            name if name not in refused else _OTHER_NAMES[name]: value
            for name, value in shared.items()
            if name not in refused or name in _OTHER_NAMES
        }
        return {"model": self.model, **known, **own}

    def knows(self, kind: Kind, option: str) -> bool:
        """Return whether the client's function takes an option of this name."""
        if kind not in self.apis or (kind, option) in self.unknown:
            return False
        try:
            function = self.function(kind, server=next(iter(self.endpoints)))
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            return False
        return any(each.name == option or each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)


class Targets:
    """The clients behind a router.

    Attributes
    ----------
    left_out
        Outcome -> number of answers that were reported without it, since the server did not say.
    """

    def __init__(
        self,
        *,
        router: Router,
        clients: Mapping[str, Any],
        prices: Mapping[str, ModelPrice],
        asynchronous: bool,
        complete: bool = True,
        apis: Mapping[Kind, Sequence[Api]] = _APIS,
    ) -> None:
        self.left_out: Counter[str] = Counter()
        self._router = router
        self._arms = router.arms
        self._asynchronous = asynchronous
        self._apis = apis
        self._prices = dict(prices)
        self._targets: dict[str, Target] = {}
        names = [arm.name for arm in router.arms]
        if complete and set(clients) != set(names):
            raise InvalidConfigurationError(
                f"clients are given for {', '.join(sorted(clients)) or 'no arm'}; give one for each arm of the router: "
                f"{', '.join(sorted(names))}"
            )
        if unknown := sorted(set(prices) - set(names)):
            raise InvalidConfigurationError(f"unknown arm {unknown[0]!r} in prices; known arms: {', '.join(names)}")
        for name, client in clients.items():
            self.add(name, client)

    def add(self, arm: str, given: Any, price: ModelPrice | None = None) -> None:
        """Take the client of an arm, in place of the one that it has."""
        arms = {each.name: each for each in self._router.arms}
        if arm not in arms:
            raise InvalidConfigurationError(
                f"unknown arm {arm!r}; known arms: {', '.join(arms)}. Add it to the router first"
            )
        client, model = given if isinstance(given, tuple) else (given, arm)
        clients = client if isinstance(client, Mapping) else {None: client}
        if not clients:
            raise InvalidConfigurationError(f"the clients of arm {arm!r} are empty; give one for each server")
        if clients is client and arms[arm].adapter is None:
            raise InvalidConfigurationError(
                f"arm {arm!r} has no adapter, so no server is chosen for it; give it one client instead of several"
            )
        apis = [self._checked_apis(arm, each) for each in clients.values()]
        self._targets[arm] = Target(
            arm=arm,
            endpoints={
                server: Endpoint(patient=each, impatient=_without_retries(each)) for server, each in clients.items()
            },
            model=model,
            price=price or self._prices.get(arm) or _price_of(arms[arm]),
            apis={kind: api for kind, api in apis[0].items() if all(each.get(kind) is api for each in apis)},
        )

    def _checked_apis(self, arm: str, client: Any) -> dict[Kind, Api]:
        """Return how a client is asked, by kind.

        Raises
        ------
        InvalidConfigurationError
            If it has none of the known calls, or blocks where it is to be awaited, or the other way round.
        """
        if "StreamedResponse" in type(client).__name__:
            raise InvalidConfigurationError(
                f"the client of arm {arm!r} is client.with_streaming_response; give the client itself, and ask with "
                "stream=True"
            )
        apis = {kind: api for kind, known in self._apis.items() if (api := _api_of(client, known)) is not None}
        if not apis:
            raise InvalidConfigurationError(
                f"the client of arm {arm!r} is a {type(client).__name__}; give one with chat.completions.create, as of "
                "openai, or with messages.create, as of anthropic"
            )
        functions = [api.function(client) for api in apis.values()]
        if not self._asynchronous and any(is_asynchronous(each) for each in functions):
            raise InvalidConfigurationError(
                f"the client of arm {arm!r} is a {type(client).__name__}, whose calls are awaited; put all clients "
                "into an AsyncRoutedClient, or give one that is synchronous"
            )
        if self._asynchronous and any(_is_known_to_block(each) for each in functions):
            raise InvalidConfigurationError(
                f"the client of arm {arm!r} is a {type(client).__name__}, whose calls block the event loop; put all "
                "clients into a RoutedClient, or give one that is asynchronous"
            )
        return apis

    def __getitem__(self, arm: str) -> Target:
        if self._router.arms is not self._arms:
            self._follow_prices()
        return self._targets[arm]

    def _follow_prices(self) -> None:
        """Take over prices of arms that were changed at run time; a price that was given with a client stays."""
        before = {arm.name: _price_of(arm) for arm in self._arms}
        self._arms = self._router.arms
        for arm in self._arms:
            target = self._targets.get(arm.name)
            if target is not None and target.price == before.get(arm.name):
                target.price = _price_of(arm)

    @property
    def arms(self) -> list[str]:
        """Names of the router's arms."""
        return [arm.name for arm in self._router.arms]

    def able(self, ask: Ask, among: Collection[str] | None) -> Collection[str] | None:
        """Return the arms that the router may choose: those whose client can do this; None for all."""
        arms = self.arms
        if unknown := sorted(set(ask.arm_options) - set(arms) - self._targets.keys(), key=str):
            raise InvalidRequestError(f"options names an unknown arm {unknown[0]!r:.80}; known arms: {listed(arms)}")
        able = [arm for arm in arms if arm in self._targets and ask.kind in self._targets[arm].apis]
        if len(able) == len(arms):
            return among
        left = [arm for arm in able if among is None or arm in among]
        if not left:
            lacking = [arm for arm in (arms if among is None else among) if arm not in able]
            raise InvalidRequestError(
                f"no client for {ask.kind}() of arm {', '.join(lacking) or 'of the router'}; give it one with "
                "add_client(), or leave the choice to arms that have one"
            )
        return left

    def next_arm(self, ask: Ask, ranking: Sequence[str], failed: Collection[str]) -> str | None:
        """Return the best ranked arm that has not failed, is still there, and can be asked; None without one."""
        there = {arm.name for arm in self._router.arms}
        able = (arm for arm in ranking if arm in there and arm in self._targets and ask.kind in self._targets[arm].apis)
        return next((arm for arm in able if arm not in failed), None)

    def drop_unknown(self, target: Target, ask: Ask, arguments: Mapping[str, Any], error: Exception) -> bool:
        """Leave out, from now on, the option that the client of ``target`` refuses; return whether there is one.

        An option that no client knows is the caller's mistake and stays.
        """
        option = _refused_option(error, arguments)
        if option is None or option in ask.arm_options.get(target.arm, {}) or option in ("model", "messages", "input"):
            return False
        if option in _OTHER_NAMES:
            return self._rename(target, ask, option)
        others = [other for other in self._targets.values() if other is not target]
        if option in ask.options and not any(other.knows(ask.kind, option) for other in others):
            return False
        target.unknown.add((ask.kind, option))
        _log.warning("arm %r does not know the option %r, which is left out for it", target.arm, option)
        return True

    def _rename(self, target: Target, ask: Ask, option: str) -> bool:
        """Give the option by its other name from now on; return False if the arm refuses both."""
        if not isinstance(target.apis[ask.kind], OpenAIChat):
            return False
        if target.unknown & {(ask.kind, option), (ask.kind, _OTHER_NAMES[option])}:
            return False
        target.unknown.add((ask.kind, option))
        _log.info("arm %r does not know the option %r; it is given %r", target.arm, option, _OTHER_NAMES[option])
        return True


def is_asynchronous(function: Callable[..., Any] | None) -> bool:
    """Return whether a client's function is known to be awaited: it is a coroutine function, or one of an Async class.

    Examples
    --------
    >>> async def create(**options): ...
    >>> is_asynchronous(create), is_asynchronous(print)
    (True, False)
    """
    if inspect.iscoroutinefunction(inspect.unwrap(function)) if function is not None else False:
        return True
    owner = getattr(function, "__self__", None)
    return any(base.__name__.startswith("Async") for base in type(owner).__mro__)


def _is_known_to_block(function: Callable[..., Any] | None) -> bool:
    """Return whether a client's function is a plain one of the SDKs; one of a wrapper may return an awaitable."""
    owner = type(getattr(function, "__self__", None))
    return owner.__module__.split(".")[0] in ("openai", "anthropic") and not is_asynchronous(function)


def _api_of(client: Any, known: Sequence[Api]) -> Api | None:
    return next((api for api in known if api.function(client) is not None), None)


def _without_retries(client: Any) -> Any:
    """Return the client without its own retries where that is safe: not for wrapped or patched clients."""
    if not getattr(client, "max_retries", 0) or not hasattr(type(client), "with_options"):
        return client
    resources = (getattr(getattr(client, "chat", None), "completions", None), getattr(client, "messages", None))
    if any("create" in getattr(resource, "__dict__", ()) for resource in resources):  # patched by a tracer
        return client
    return client.with_options(max_retries=0)


def _price_of(arm: Arm) -> ModelPrice | None:
    if not arm.priced:
        return None
    return ModelPrice(
        input_usd_per_million_tokens=arm.input_usd_per_million_tokens,
        output_usd_per_million_tokens=arm.output_usd_per_million_tokens,
        cached_input_usd_per_million_tokens=arm.cached_input_usd_per_million_tokens,
        cache_write_usd_per_million_tokens=arm.cache_write_usd_per_million_tokens,
    )


def _refused_option(error: Exception, arguments: Mapping[str, Any]) -> str | None:
    """Return the option that a client's function does not know, or that the server refuses and may be left out."""
    if isinstance(error, TypeError):
        match = _UNKNOWN_OPTION.search(str(error))
        return match[1] if match and match[1] in arguments else None
    if getattr(error, "status_code", None) not in (400, 404, 422):
        return None
    words, named = words_of(error), getattr(error, "param", None)
    if "stream_options" in arguments and "stream_options" in words:
        return "stream_options"
    if failure_of(error) is not Failure.UNSUPPORTED_PARAMETER:
        return None
    names = () if _TOO_MANY_TOKENS.search(words) else _OTHER_NAMES
    given = [option for option in (*names, *_MAY_BE_LEFT_OUT) if option in arguments]
    by_name = (option for option in given if option == named)
    return next(by_name, next((option for option in given if re.search(rf"\b{option}\b", words)), None))
