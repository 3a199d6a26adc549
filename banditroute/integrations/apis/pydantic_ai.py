"""Models of pydantic-ai: how one is asked, and how its responses and events are read. pydantic-ai is not imported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from banditroute.core.failure import Failure
from banditroute.integrations.apis.base import Counts, Messages, Piece, Reading, no_answer
from banditroute.integrations.fields import count, field


class PydanticAIModel:
    """Models of pydantic-ai: ``model.request`` and ``model.request_stream``.

    Chunks of a stream are pairs of an event and the tokens counted so far; the event of the last pair is None.
    """

    def function(self, client: Any) -> Callable[..., Any] | None:
        """Return a function that asks the model."""
        return partial(_ask, client) if callable(field(client, "request")) else None

    def arguments(self, messages: Messages, options: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
        """Return the messages and options as they are: each model knows how to send them."""
        return {"messages": messages, **options, "stream": stream}

    def read(self, response: Any) -> Reading:
        """Return the text of a response, and the tokens of its ``usage``."""
        parts = field(response, "parts")
        if not isinstance(parts, list):
            return no_answer(response, "parts")
        said = "".join(part.content for part in parts if part.part_kind == "text")
        counts = pydantic_ai_counts(response.usage)
        if not parts and response.finish_reason == "content_filter":
            return Reading(counts=counts, failure=Failure.CONTENT_FILTER, why="the answer was filtered")
        return Reading(text=said, counts=counts)

    def read_chunk(self, chunk: tuple[Any, Counts]) -> Piece:
        """Return the text of an event, and the tokens counted so far."""
        event, counts = chunk
        kind = field(event, "event_kind")
        if kind == "part_start" and field(event, "part", "part_kind") == "text":
            return Piece(text=event.part.content, counts=counts, begins=True)
        if kind == "part_delta" and field(event, "delta", "part_delta_kind") == "text":
            return Piece(text=event.delta.content_delta, counts=counts, begins=True)
        return Piece(counts=counts, begins=kind in ("part_start", "part_delta"))


class EventStream:
    """The events of a response, with the tokens counted so far; open until it is closed."""

    def __init__(self, opened: AbstractAsyncContextManager[Any], response: Any) -> None:
        self.response = response
        self._opened = opened

    async def __aiter__(self) -> AsyncIterator[tuple[Any, Counts]]:
        async for event in self.response:
            yield event, pydantic_ai_counts(self.response.usage)
        yield None, pydantic_ai_counts(self.response.usage)  # some models count after the last event

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._opened.__aexit__(None, None, None)


def pydantic_ai_counts(usage: Any) -> Counts:
    """Return the tokens of a ``RequestUsage``, whose input and output include the cached and reasoning tokens."""
    return Counts(
        input_tokens=count(field(usage, "input_tokens")),
        output_tokens=count(field(usage, "output_tokens")),
        cached_input_tokens=count(field(usage, "cache_read_tokens")),
        cache_write_tokens=count(field(usage, "cache_write_tokens")),
        reasoning_tokens=count(field(usage, "details", "reasoning_tokens")),
    )


async def _ask(
    client: Any, *, model: str, messages: Any, settings: Any, parameters: Any, run_context: Any, stream: bool
) -> Any:
    prepared = client.prepare_messages(messages, parameters)
    if not stream:
        return await client.request(prepared, settings, parameters)
    opened = client.request_stream(prepared, settings, parameters, run_context)
    return EventStream(opened, await opened.__aenter__())
