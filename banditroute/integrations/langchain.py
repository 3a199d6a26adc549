"""A chat model for LangChain and LangGraph that routes each call to one of several chat models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from banditroute.core.optional_imports import optional

optional("langchain_core", extra="langchain")  # before it is imported by name

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import ConfigDict, PrivateAttr

from banditroute.core.conversation import plain_messages
from banditroute.core.decision import Decision
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.integrations.answer_stream import AnswerStream, AsyncAnswerStream
from banditroute.integrations.apis.langchain import LangChainChat
from banditroute.integrations.exchange import Exchange
from banditroute.integrations.io import AsyncIo, BlockingIo, run
from banditroute.integrations.reports import Reports
from banditroute.integrations.targets import Ask, Targets
from banditroute.pricing.model_price import ModelPrice
from banditroute.router import Router


class ChatBandit(BaseChatModel):
    """A chat model that routes each call: the router chooses an arm, and the arm's own chat model answers.

    Tools, structured output, streaming, callbacks, agents and graphs work as with any other chat model of LangChain.
    Latency, tokens, cost and failures are reported to the router, and the next arm is asked if a call fails.
    The decision is in the message: ``message.response_metadata["decision_id"]`` and ``["arm"]``.

    Parameters
    ----------
    router
        The router that chooses.
    models
        Arm -> its chat model; one for each arm.
    prices
        Arm -> price of its tokens; arms with prices of their own need none.
    route
        Options of ``router.route()`` for every call, such as ``{"tags": ["eu"]}``. A call may give its own:
        ``chat.invoke(messages, route={"session": "ticket 7"})``.
    options
        Other parameters are options of every call, for all models: ``temperature=0``.

    Raises
    ------
    InvalidConfigurationError
        If an arm has no model, a model is given for an unknown arm, or something is not a chat model.

    Examples
    --------
    >>> from langchain_core.language_models import FakeListChatModel
    >>> chat = ChatBandit(router=Router(arms=["small"], seed=0), models={"small": FakeListChatModel(responses=["Hi."])})
    >>> answer = chat.invoke("Who are you?")
    >>> answer.text, answer.response_metadata["arm"]
    ('Hi.', 'small')
    >>> feedback = chat.router.feedback(answer.response_metadata["decision_id"], quality=1.0)
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow", arbitrary_types_allowed=True)

    router: Router
    models: Mapping[str, Any]
    prices: Mapping[str, ModelPrice] | None = None
    route: Mapping[str, Any] = {}

    _blocking: Exchange = PrivateAttr()
    _awaited: Exchange = PrivateAttr()

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for arm, model in self.models.items():
            if not isinstance(model, Runnable):
                raise InvalidConfigurationError(
                    f"the model of arm {arm!r} is a {type(model).__name__}; give a chat model of LangChain"
                )
        self._blocking, self._awaited = self._exchange(asynchronous=False), self._exchange(asynchronous=True)

    def _exchange(self, *, asynchronous: bool) -> Exchange:
        io = AsyncIo(self.router) if asynchronous else BlockingIo(self.router)
        targets = Targets(
            router=self.router,
            clients=self.models,
            prices=self.prices or {},
            asynchronous=asynchronous,
            apis={"create": [LangChainChat(asynchronous=asynchronous)]},
        )
        return Exchange(targets=targets, io=io, reports=Reports(router=self.router, io=io), steps=None)

    @property
    def _llm_type(self) -> str:
        return "banditroute"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"arms": sorted(self.models)}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        return {**params, "ls_provider": "banditroute", "ls_model_name": str(kwargs.get("model", "banditroute"))}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this chat model with tools, which are bound to the chosen arm's model in that model's own form."""
        options = kwargs if tool_choice is None else {**kwargs, "tool_choice": tool_choice}
        return self.bind(tools=tools, tool_options=options)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        ask, route = self._asked(messages, stop, kwargs)
        answer = run(self._blocking.answer(ask, route))
        return ChatResult(generations=[ChatGeneration(message=_named(answer.response, answer.decision))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        ask, route = self._asked(messages, stop, kwargs)
        answer = await self._awaited.answer(ask, route)
        return ChatResult(generations=[ChatGeneration(message=_named(answer.response, answer.decision))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        ask, route = self._asked(messages, stop, kwargs, stream=True)
        with AnswerStream(stream=run(self._blocking.stream(ask, route))) as stream:
            for number, (chunk, _) in enumerate(stream):
                yield ChatGenerationChunk(message=chunk if number else _named(chunk, stream.decision))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        ask, route = self._asked(messages, stop, kwargs, stream=True)
        async with AsyncAnswerStream(stream=await self._awaited.stream(ask, route)) as stream:
            number = 0
            async for chunk, _ in stream:
                yield ChatGenerationChunk(message=chunk if number else _named(chunk, stream.decision))
                number += 1

    def _asked(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        options: Mapping[str, Any],
        *,
        stream: bool = False,
    ) -> tuple[Ask, Mapping[str, Any]]:
        """Return the call, and the options of ``router.route()``."""
        everything = {**(self.model_extra or {}), **options}
        given = {name: value for name, value in everything.items() if name not in ("route", "stream", "streaming")}
        if "model" in given:
            raise InvalidRequestError(
                "model is given, and the router chooses the model; restrict the choice with route={'arms': [...]}"
            )
        if stop is not None:
            given["stop"] = stop
        ask = Ask(
            kind="create",
            request=plain_messages(messages),
            messages=messages,
            options=given,
            arm_options={},
            stream=stream,
        )
        return ask, {**self.route, **options.get("route", {})}


def _named(message: Any, decision: Decision) -> Any:
    """Return a copy of a message or chunk that names its decision and arm."""
    metadata = {**message.response_metadata, "decision_id": decision.id, "arm": decision.arm}
    return message.model_copy(update={"response_metadata": metadata})
