"""A model for pydantic-ai that routes each request to one of several models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from banditroute.core.optional_imports import optional

optional("pydantic_ai", extra="pydantic-ai")  # before it is imported by name

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext

from banditroute.core.conversation import plain_messages
from banditroute.core.decision import Decision
from banditroute.errors import InvalidConfigurationError
from banditroute.integrations.answer_stream import AsyncAnswerStream
from banditroute.integrations.apis.pydantic_ai import PydanticAIModel
from banditroute.integrations.exchange import Exchange
from banditroute.integrations.io import AsyncIo
from banditroute.integrations.reports import Reports
from banditroute.integrations.targets import Ask, Targets
from banditroute.integrations.tokens import estimated_tokens
from banditroute.pricing.model_price import ModelPrice
from banditroute.router import Router


class BanditModel(Model):
    """A model that routes each request: the router chooses an arm, and the arm's own model answers.

    Tools, output types and streaming work as with any other model of pydantic-ai. Latency, tokens, cost and failures
    are reported to the router, and the next arm is asked if a request fails. The decision is in the response's
    metadata: ``result.response.metadata["decision_id"]`` and ``["arm"]``.

    Parameters
    ----------
    router
        The router that chooses.
    models
        Arm -> its model; one for each arm.
    prices
        Arm -> price of its tokens; arms with prices of their own need none.
    route
        Options of ``router.route()`` for every request, such as ``{"tags": ["eu"]}``. One run of an agent may have its
        own: ``agent.run(prompt, model=BanditModel(router, models, route={"session": "ticket 7"}))``.

    Raises
    ------
    InvalidConfigurationError
        If an arm has no model, a model is given for an unknown arm, or something is not a model of pydantic-ai.

    Examples
    --------
    >>> from pydantic_ai import Agent
    >>> from pydantic_ai.models.test import TestModel
    >>> router = Router(arms=["small"], seed=0)
    >>> agent = Agent(BanditModel(router, {"small": TestModel(custom_output_text="Hi.")}))
    >>> import asyncio
    >>> result = asyncio.run(agent.run("Who are you?"))
    >>> result.output, result.response.metadata["arm"]
    ('Hi.', 'small')
    >>> feedback = router.feedback(result.response.metadata["decision_id"], quality=1.0)
    """

    def __init__(
        self,
        router: Router,
        models: Mapping[str, Model],
        *,
        prices: Mapping[str, ModelPrice] | None = None,
        route: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        for arm, model in models.items():
            if not isinstance(model, Model):
                raise InvalidConfigurationError(
                    f"the model of arm {arm!r} is a {type(model).__name__}; give a model of pydantic-ai, as "
                    "pydantic_ai.models.infer_model('openai:gpt-5') makes one"
                )
        self.router = router
        self.models: dict[str, Model] = dict(models)
        self.route: dict[str, Any] = dict(route or {})
        io = AsyncIo(router)
        targets = Targets(
            router=router, clients=models, prices=prices or {}, asynchronous=True, apis={"create": [PydanticAIModel()]}
        )
        self._exchange = Exchange(targets=targets, io=io, reports=Reports(router=router, io=io), steps=None)
        self._opened: list[AsyncExitStack] = []

    @property
    def model_name(self) -> str:
        """The name ``banditroute``: the model is chosen with each request."""
        return "banditroute"

    @property
    def system(self) -> str:
        """The name ``banditroute``, in place of a provider's."""
        return "banditroute"

    async def __aenter__(self) -> BanditModel:
        async with AsyncExitStack() as stack:
            for model in self.models.values():
                await stack.enter_async_context(model)
            self._opened.append(stack.pop_all())
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._opened.pop().aclose()

    def prepare_request(
        self, model_settings: ModelSettings | None, model_request_parameters: ModelRequestParameters
    ) -> tuple[ModelSettings | None, ModelRequestParameters]:
        """Return both as they are: the chosen model prepares them for itself."""
        return model_settings, model_request_parameters

    def prepare_messages(
        self, messages: list[ModelMessage], model_request_parameters: ModelRequestParameters | None = None
    ) -> list[ModelMessage]:
        """Return the messages as they are: the chosen model prepares them for itself."""
        return messages

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the response of the chosen arm's model."""
        ask, route = self._asked(messages, model_settings, model_request_parameters)
        answer = await self._exchange.answer(ask, route)
        response: ModelResponse = answer.response
        _name(response, answer.decision)
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Give the streamed response of the chosen arm's model; until it begins, another arm can take over."""
        ask, route = self._asked(messages, model_settings, model_request_parameters, run_context, stream=True)
        stream = AsyncAnswerStream(stream=await self._exchange.stream(ask, route))
        response: StreamedResponse = stream.response.response
        _name(response, stream.decision)
        response._event_iterator = _events(stream)  # its readers get the events that were read ahead, too
        try:
            yield response
        finally:
            await stream.aclose()
            await stream.response.aclose()

    def _asked(
        self,
        messages: list[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
        *,
        stream: bool = False,
    ) -> tuple[Ask, Mapping[str, Any]]:
        """Return the call, and the options of ``router.route()``."""
        request = plain_messages(messages)
        ask = Ask(
            kind="create",
            request=request,
            messages=messages,
            options={"settings": settings, "parameters": parameters, "run_context": run_context},
            arm_options={},
            stream=stream,
        )
        return ask, {"input_tokens": estimated_tokens(request, {"tools": parameters.function_tools}), **self.route}


async def _events(stream: AsyncAnswerStream) -> AsyncIterator[Any]:
    async for event, _ in stream:
        if event is not None:
            yield event


def _name(response: ModelResponse | StreamedResponse, decision: Decision) -> None:
    """Write the decision and arm into the metadata of a response, which is not sent to any model."""
    response.metadata = {**(response.metadata or {}), "decision_id": decision.id, "arm": decision.arm}
