"""Clients behind a router: each call is routed, asked, reported, and passed on to the next arm if it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, overload

from banditroute.core.conversation import is_message, plain_messages
from banditroute.core.decision import Decision
from banditroute.errors import InvalidRequestError
from banditroute.integrations.answer import Answer
from banditroute.integrations.exchange import Exchange
from banditroute.integrations.io import END, AsyncIo, BlockingIo, Io, run
from banditroute.integrations.reports import Reports
from banditroute.integrations.stream import Stream
from banditroute.integrations.targets import Ask, Kind, Targets
from banditroute.pricing.model_price import ModelPrice
from banditroute.router import Router
from banditroute.router.requests import RouteOptions

MessagesLike: TypeAlias = Any
"""A text, one message, or a conversation; each message a mapping, a ``(role, text)`` pair or a client's own object."""

ArmOptions: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Arm -> options for its client alone."""

_closing: set[asyncio.Task[None]] = set()  # tasks that close the connections of abandoned streams


class AnswerStream(Iterator[Any]):
    """The chunks of an answer as the client gives them; made by ``RoutedClient.create(..., stream=True)``.

    Its end is reported: the whole answer when it is read to the end; a failure when it breaks off; otherwise, after
    ``close``, ``break`` or the end of a ``with`` block, that the arm answered and what it cost so far.

    Attributes
    ----------
    answer
        The whole answer, once it is read; None before.
    """

    def __init__(self, *, stream: Stream) -> None:
        self._stream = stream

    @property
    def decision(self) -> Decision:
        """The decision for the arm that answers."""
        return self._stream.call.decision

    @property
    def decision_id(self) -> str:
        """The id of the decision, for ``router.feedback()``."""
        return self.decision.id

    @property
    def answer(self) -> Answer | None:
        """The whole answer, once it is read; None before."""
        return self._stream.answer

    @property
    def response(self) -> Any:
        """The client's own stream."""
        return self._stream.response

    def __next__(self) -> Any:
        chunk = run(self._stream.next())
        if chunk is END:
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Read no further, and let go of the connection."""
        run(self._stream.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if (stream := getattr(self, "_stream", None)) is not None:
            stream.abandon(getattr(stream.response, "close", lambda: None))


class AsyncAnswerStream(AsyncIterator[Any]):
    """The chunks of an answer on the event loop; otherwise as :class:`AnswerStream`.

    Attributes
    ----------
    answer
        The whole answer, once it is read; None before.
    """

    def __init__(self, *, stream: Stream) -> None:
        self._stream = stream

    @property
    def decision(self) -> Decision:
        """The decision for the arm that answers."""
        return self._stream.call.decision

    @property
    def decision_id(self) -> str:
        """The id of the decision, for ``router.feedback()``."""
        return self.decision.id

    @property
    def answer(self) -> Answer | None:
        """The whole answer, once it is read; None before."""
        return self._stream.answer

    @property
    def response(self) -> Any:
        """The client's own stream."""
        return self._stream.response

    async def __anext__(self) -> Any:
        chunk = await self._stream.next()
        if chunk is END:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Read no further, and let go of the connection."""
        await self._stream.close()

    close = aclose  # as the clients' own streams call it

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if (stream := getattr(self, "_stream", None)) is not None:
            stream.abandon(lambda: None)
            with suppress(RuntimeError):  # without a running loop nothing can be closed
                task = asyncio.get_running_loop().create_task(_close(stream.response))
                _closing.add(task)
                task.add_done_callback(_closing.discard)


async def _close(response: Any) -> None:
    with suppress(Exception):
        await AsyncIo.close(None, response)  # type: ignore[arg-type]


class _Clients:
    """The part that the clients of both kinds share."""

    _targets: Targets
    _reports: Reports

    def _set_up(
        self, router: Router, clients: Mapping[str, Any], prices: Mapping[str, ModelPrice] | None, io: Io
    ) -> None:
        self.router = router
        self._targets = Targets(
            router=router, clients=clients, prices=prices or {}, asynchronous=isinstance(io, AsyncIo)
        )
        self._reports = Reports(router=router, io=io)
        self._exchange = Exchange(targets=self._targets, io=io, reports=self._reports)

    @property
    def left_out(self) -> Mapping[str, int]:
        """Outcome -> number of answers that were reported without it, because the server or the prices did not say."""
        return dict(self._reports.left_out)

    def add_client(self, arm: str, client: Any, *, price: ModelPrice | None = None) -> None:
        """Give an arm that was added to the router its client, or an arm another client.

        Parameters
        ----------
        arm
            An arm of the router.
        client
            Its client, or a pair of its client and the name of its model.
        price
            Its price, if the arm has none, or one with more rates.

        Raises
        ------
        InvalidConfigurationError
            If the router has no such arm, or the client does not fit.
        """
        self._targets.add(arm, client, price)


class RoutedClient(_Clients):
    """Clients of ``openai`` and ``anthropic``, or clients like them, behind a router.

    Each call is routed, and asked of the chosen arm's client. Latency, tokens, cost and failures are reported to the
    router; quality is yours to report, under ``answer.decision_id``. If a call fails in a way that another arm may not,
    the next arm of the decision's ranking is asked, with a decision of its own.

    Parameters
    ----------
    router
        The router that chooses.
    clients
        Arm -> its client, or a pair of its client and the name of its model, if that is not the arm's name:
        ``{"small": (OpenAI(), "gpt-4o-mini"), "large": (Anthropic(), "claude-opus-4")}``.
    prices
        Arm -> its price, where it has more rates than the arm itself: cached and reasoning tokens apart.

    Raises
    ------
    InvalidConfigurationError
        If an arm has no client or a client no arm, if a client has none of the known calls, or if its calls are
        awaited.

    Examples
    --------
    >>> from types import SimpleNamespace as Some
    >>> def create(*, model, messages):
    ...     return Some(choices=[Some(message=Some(content=f"I am {model}."))])
    >>> client = Some(chat=Some(completions=Some(create=create)))
    >>> chat = RoutedClient(Router(arms=["small"], seed=0), {"small": client})
    >>> chat.create("Who are you?").text
    'I am small.'
    """

    def __init__(
        self, router: Router, clients: Mapping[str, Any], *, prices: Mapping[str, ModelPrice] | None = None
    ) -> None:
        self._set_up(router, clients, prices, BlockingIo(router))

    @overload
    def create(
        self,
        messages: MessagesLike,
        *,
        stream: Literal[False] = False,
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> Answer: ...

    @overload
    def create(
        self,
        messages: MessagesLike,
        *,
        stream: Literal[True],
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> AnswerStream: ...

    def create(
        self,
        messages: MessagesLike,
        *,
        stream: bool = False,
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> Answer | AnswerStream:
        """Route a conversation, and return the answer of the chosen arm's client.

        Parameters
        ----------
        messages
            A text, one message, or a conversation. Messages may be mappings, ``(role, text)`` pairs, or objects of the
            clients and of LangChain. Each client is given them in its own form.
        stream
            Whether to return the answer in chunks.
        route
            Options of ``router.route()``, such as ``{"session": "ticket 7"}``. Input tokens are estimated unless given.
        options
            Arm -> options for its client alone: ``{"large": {"max_tokens": 4096}}``.
        shared_options
            Options for every client: ``temperature=0``. A client that does not know one is asked without it.

        Returns
        -------
        Answer or AnswerStream
            The answer; with ``stream=True`` an iterator over the client's own chunks.

        Raises
        ------
        Exception
            The client's own error, if the last arm fails or if every arm would refuse the request.
        InvalidResponseError
            If the last arm gave an answer that cannot be used.
        """
        ask = _conversation("create", messages, options, shared_options, stream=stream)
        if stream:
            return AnswerStream(stream=run(self._exchange.stream(ask, route or {})))
        return run(self._exchange.answer(ask, route or {}))

    def parse(
        self,
        messages: MessagesLike,
        *,
        response_format: Any,
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> Answer:
        """Return an answer whose ``parsed`` is an object of ``response_format``, by the clients' own ``parse``.

        An answer that does not fit the format is a failure, and the next arm is asked; otherwise as :meth:`create`.
        """
        ask = _conversation("parse", messages, options, {**shared_options, "response_format": response_format})
        return run(self._exchange.answer(ask, route or {}))

    @overload
    def respond(
        self,
        input: Any,
        *,
        stream: Literal[False] = False,
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> Answer: ...

    @overload
    def respond(
        self,
        input: Any,
        *,
        stream: Literal[True],
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> AnswerStream: ...

    def respond(
        self,
        input: Any,
        *,
        stream: bool = False,
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> Answer | AnswerStream:
        """Return an answer by OpenAI's Responses interface, from the arms whose clients have it.

        ``input`` is a text or a list of items, as ``client.responses.create`` takes it; otherwise as :meth:`create`.
        """
        ask = _responses(input, options, shared_options, stream=stream)
        if stream:
            return AnswerStream(stream=run(self._exchange.stream(ask, route or {})))
        return run(self._exchange.answer(ask, route or {}))

    def embed(
        self,
        input: str | Sequence[str],
        *,
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> Answer:
        """Return an answer whose ``response`` holds the embeddings of texts, from the arms whose clients make them."""
        ask = _texts(input, options, shared_options)
        return run(self._exchange.answer(ask, route or {}))


class AsyncRoutedClient(_Clients):
    """Asynchronous clients behind a router; otherwise as :class:`RoutedClient`.

    Parameters
    ----------
    router, clients, prices
        As in :class:`RoutedClient`; the clients' calls are awaited.

    Raises
    ------
    InvalidConfigurationError
        As in :class:`RoutedClient`; and if a client's calls block.

    Examples
    --------
    >>> from types import SimpleNamespace as Some
    >>> async def create(*, model, messages):
    ...     return Some(choices=[Some(message=Some(content=f"I am {model}."))])
    >>> client = Some(chat=Some(completions=Some(create=create)))
    >>> chat = AsyncRoutedClient(Router(arms=["small"], seed=0), {"small": client})
    >>> asyncio.run(chat.create("Who are you?")).text
    'I am small.'
    """

    def __init__(
        self, router: Router, clients: Mapping[str, Any], *, prices: Mapping[str, ModelPrice] | None = None
    ) -> None:
        self._set_up(router, clients, prices, AsyncIo(router))

    @overload
    async def create(
        self,
        messages: MessagesLike,
        *,
        stream: Literal[False] = False,
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> Answer: ...

    @overload
    async def create(
        self,
        messages: MessagesLike,
        *,
        stream: Literal[True],
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> AsyncAnswerStream: ...

    async def create(
        self,
        messages: MessagesLike,
        *,
        stream: bool = False,
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> Answer | AsyncAnswerStream:
        """Route a conversation, and return the answer of the chosen arm's client; see :meth:`RoutedClient.create`.

        A call that is cancelled is reported as ``failure="cancelled"``.
        """
        ask = _conversation("create", messages, options, shared_options, stream=stream)
        if stream:
            return AsyncAnswerStream(stream=await self._exchange.stream(ask, route or {}))
        return await self._exchange.answer(ask, route or {})

    async def parse(
        self,
        messages: MessagesLike,
        *,
        response_format: Any,
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> Answer:
        """Return an answer whose ``parsed`` is an object of ``response_format``; see :meth:`RoutedClient.parse`."""
        ask = _conversation("parse", messages, options, {**shared_options, "response_format": response_format})
        return await self._exchange.answer(ask, route or {})

    @overload
    async def respond(
        self,
        input: Any,
        *,
        stream: Literal[False] = False,
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> Answer: ...

    @overload
    async def respond(
        self,
        input: Any,
        *,
        stream: Literal[True],
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> AsyncAnswerStream: ...

    async def respond(
        self,
        input: Any,
        *,
        stream: bool = False,
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> Answer | AsyncAnswerStream:
        """Return an answer by OpenAI's Responses interface; see :meth:`RoutedClient.respond`."""
        ask = _responses(input, options, shared_options, stream=stream)
        if stream:
            return AsyncAnswerStream(stream=await self._exchange.stream(ask, route or {}))
        return await self._exchange.answer(ask, route or {})

    async def embed(
        self,
        input: str | Sequence[str],
        *,
        route: RouteOptions | None = None,
        options: ArmOptions | None = None,
        **shared_options: Any,
    ) -> Answer:
        """Return an answer whose ``response`` holds the embeddings of one or more texts."""
        return await self._exchange.answer(_texts(input, options, shared_options), route or {})


def _conversation(
    kind: Kind, messages: object, arm_options: ArmOptions | None, shared: Mapping[str, Any], *, stream: bool = False
) -> Ask:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    elif is_message(messages):
        messages = [messages]
    elif not isinstance(messages, Sequence):
        raise InvalidRequestError(f"messages is {messages!r:.80}; give a text, a message or a list of messages")
    plain = plain_messages(messages)
    return _ask(kind, plain, plain, arm_options, shared, stream=stream)


def _responses(input: object, arm_options: ArmOptions | None, shared: Mapping[str, Any], *, stream: bool) -> Ask:
    if isinstance(input, str):
        return _ask("respond", input, input, arm_options, shared, stream=stream)
    if not isinstance(input, Sequence):
        raise InvalidRequestError(f"input is {input!r:.80}; give a text or a list of items")
    return _ask("respond", plain_messages(input), input, arm_options, shared, stream=stream)


def _texts(input: object, arm_options: ArmOptions | None, shared: Mapping[str, Any]) -> Ask:
    texts = [input] if isinstance(input, str) else input
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidRequestError(f"input is {input!r:.80}; give a text or a list of texts")
    return _ask("embed", "\n".join(texts), input, arm_options, shared)


def _ask(
    kind: Kind,
    request: Any,
    messages: Any,
    arm_options: ArmOptions | None,
    shared: Mapping[str, Any],
    *,
    stream: bool = False,
) -> Ask:
    if "model" in shared:
        raise InvalidRequestError(
            "model is given, and the router chooses the model; name it with the arm's client, or restrict the choice "
            "with route={'arms': [...]}"
        )
    return Ask(
        kind=kind, request=request, messages=messages, options=shared, arm_options=arm_options or {}, stream=stream
    )
