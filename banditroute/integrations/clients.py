"""Clients behind a router: each call is routed, asked, reported, and passed on to the next arm if it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

from banditroute.core.validation import probability
from banditroute.errors import InvalidConfigurationError
from banditroute.integrations.answer import Answer
from banditroute.integrations.answer_stream import AnswerStream, AsyncAnswerStream
from banditroute.integrations.asks import ArmOptions, MessagesLike, conversation, responses, texts_to_embed
from banditroute.integrations.exchange import Exchange
from banditroute.integrations.io import AsyncIo, BlockingIo, Io, run
from banditroute.integrations.reports import Reports
from banditroute.integrations.steps import Grader, Steps, check_graders
from banditroute.integrations.targets import Targets
from banditroute.pricing.model_price import ModelPrice
from banditroute.router import Router
from banditroute.router.requests import RouteOptions


class _Clients:
    """The part that the clients of both kinds share."""

    _targets: Targets
    _reports: Reports

    def _set_up(
        self,
        router: Router,
        clients: Mapping[str, Any],
        prices: Mapping[str, ModelPrice] | None,
        io: Io,
        *,
        steps: Steps | None,
        shadow: float = 0.0,
        serves: bool = False,
    ) -> None:
        self.router = router
        self._targets = Targets(
            router=router,
            clients=clients,
            prices=prices or {},
            asynchronous=isinstance(io, AsyncIo),
            complete=not serves,
        )
        self._reports = Reports(router=router, io=io, awaited=not serves)
        self._exchange = Exchange(targets=self._targets, io=io, reports=self._reports, steps=steps, shadow=shadow)

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
            Its client, or its client for each server of a fleet; or a pair of these and the name of its model.
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
        ``{"small": (OpenAI(), "gpt-4o-mini"), "large": (Anthropic(), "claude-opus-4")}``. An arm whose adapter a
        ``Fleet`` holds has a client for each server, by the server's name: ``{"law": {"gpu-1": ..., "gpu-2": ...}}``.
    prices
        Arm -> its price, where it has more rates than the arm itself: cached and reasoning tokens apart.
    graders
        Name of a signal -> function of an :class:`Answer` that returns how good it looks, in [0, 1], a ``Signal``, or
        None. With graders, or if the router has a guarantee, ``router.next_step()`` decides after each whole answer
        whether a further arm is asked, and audits are made.
    quality
        Function of an :class:`Answer` that returns its true quality, as far as you can know it. It is called, and its
        result reported, for each answer that is delivered, and for both answers of an audit.
    shadow
        Share of the answers, in [0, 1], after which another arm is asked as well, so that the router learns of arms
        that it did not choose. Nobody waits for that call. It has a decision of its own, with the tag ``shadow``, and
        ``quality`` grades it. Default: none.

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
        self,
        router: Router,
        clients: Mapping[str, Any],
        *,
        prices: Mapping[str, ModelPrice] | None = None,
        graders: Mapping[str, Grader] | None = None,
        quality: Grader | None = None,
        shadow: float = 0.0,
    ) -> None:
        io, share = BlockingIo(router), _checked_shadow(shadow, quality)
        self._set_up(router, clients, prices, io, steps=_steps(router, io, graders, quality), shadow=share)

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
        NotGrantedError
            If a hard budget does not cover the call of any arm; then no arm is asked.
        """
        ask = conversation("create", messages, options, shared_options, stream=stream)
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
        ask = conversation("parse", messages, options, {**shared_options, "response_format": response_format})
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
        With ``text_format``, the answer's ``parsed`` is an object of it, by ``client.responses.parse``.
        """
        ask = responses(input, options, shared_options, stream=stream)
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
        ask = texts_to_embed(input, options, shared_options)
        return run(self._exchange.answer(ask, route or {}))


class AsyncRoutedClient(_Clients):
    """Asynchronous clients behind a router; otherwise as :class:`RoutedClient`.

    Parameters
    ----------
    router, clients, prices, graders, quality, shadow
        As in :class:`RoutedClient`; the clients' calls are awaited, and graders' may be.

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
    >>> import asyncio
    >>> asyncio.run(chat.create("Who are you?")).text
    'I am small.'
    """

    def __init__(
        self,
        router: Router,
        clients: Mapping[str, Any],
        *,
        prices: Mapping[str, ModelPrice] | None = None,
        graders: Mapping[str, Grader] | None = None,
        quality: Grader | None = None,
        shadow: float = 0.0,
    ) -> None:
        io, share = AsyncIo(router), _checked_shadow(shadow, quality)
        self._set_up(router, clients, prices, io, steps=_steps(router, io, graders, quality), shadow=share)

    @classmethod
    def of_service(cls, router: Router, clients: Mapping[str, Any]) -> AsyncRoutedClient:
        """Return the client of a service.

        It asks those arms alone that have a client, as arms may have been added for all processes. No answer waits
        until its report is durable; ``router.close()`` writes what is left.

        Raises
        ------
        InvalidConfigurationError
            If a client is given for an unknown arm, or does not fit.
        """
        made = cls.__new__(cls)
        made._set_up(router, clients, None, AsyncIo(router), steps=None, serves=True)
        return made

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
        ask = conversation("create", messages, options, shared_options, stream=stream)
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
        ask = conversation("parse", messages, options, {**shared_options, "response_format": response_format})
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
        ask = responses(input, options, shared_options, stream=stream)
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
        return await self._exchange.answer(texts_to_embed(input, options, shared_options), route or {})


def _checked_shadow(shadow: float, quality: Grader | None) -> float:
    share = probability(shadow, name="shadow", error=InvalidConfigurationError)
    if share > 0.0 and quality is None:
        raise InvalidConfigurationError(
            f"shadow is {share} without quality, and nothing would be learned of the answers; give quality=, a "
            "function that grades an answer"
        )
    return share


def _steps(router: Router, io: Io, graders: Mapping[str, Grader] | None, quality: Grader | None) -> Steps | None:
    """Return what looks at answers; None if nothing does."""
    checked = check_graders(graders, quality)
    if not checked and quality is None and router.status().assurance is None:
        return None
    return Steps(io=io, graders=checked, quality=quality)
