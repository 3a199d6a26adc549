"""LangChain's chat models: how one is called, and how its messages are read. LangChain is not imported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import Any

from banditroute.core.failure import Failure
from banditroute.integrations.apis.base import Counts, Messages, Piece, Reading, no_answer
from banditroute.integrations.fields import count, field, text

_SILENT: dict[str, Any] = {"callbacks": []}  # the caller's callbacks hear of the routed call, once
_REFUSED = {"content_filter": Failure.CONTENT_FILTER, "SAFETY": Failure.CONTENT_FILTER}


class LangChainChat:
    """Chat models of LangChain: ``model.invoke`` and ``model.stream``, or ``ainvoke`` and ``astream``.

    Chunks of a stream are pairs of LangChain's chunk and the tokens counted so far.
    """

    def __init__(self, *, asynchronous: bool) -> None:
        self._ask = _ask_async if asynchronous else _ask

    def function(self, client: Any) -> Callable[..., Any] | None:
        """Return a function that asks the model, with the tools of each call bound to it."""
        return partial(self._ask, client) if callable(field(client, "invoke")) else None

    def arguments(self, messages: Messages, options: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
        """Return the messages and options as they are: each model knows how to send them."""
        return {"messages": messages, "options": options, "stream": stream}

    def read(self, response: Any) -> Reading:
        """Return the text of a message, and the tokens of its ``usage_metadata``."""
        if not hasattr(response, "content"):
            return no_answer(response, "content")
        said, counts = text(response.content), langchain_counts(field(response, "usage_metadata"))
        finish = field(response, "response_metadata", "finish_reason")
        failure = _REFUSED.get(finish) if isinstance(finish, str) and not said else None
        why = "" if failure is None else f"the answer is empty (finish_reason {finish!r:.40})"
        return Reading(text=said, counts=counts, failure=failure, why=why)

    def read_chunk(self, chunk: tuple[Any, Counts]) -> Piece:
        """Return the text of a chunk, and the tokens counted so far."""
        message, counts = chunk
        content = field(message, "content")
        begins = bool(content or field(message, "tool_call_chunks") or field(message, "additional_kwargs"))
        return Piece(text=text(content), counts=counts, begins=begins)


def langchain_counts(usage: Any) -> Counts:
    """Return the tokens of ``usage_metadata``, whose input and output include the cached and reasoning tokens.

    Examples
    --------
    >>> langchain_counts({"input_tokens": 9, "output_tokens": 3, "input_token_details": {"cache_read": 8}})[:3]
    (9, 3, 8)
    """
    return Counts(
        input_tokens=count(field(usage, "input_tokens")),
        output_tokens=count(field(usage, "output_tokens")),
        cached_input_tokens=count(field(usage, "input_token_details", "cache_read")),
        cache_write_tokens=count(field(usage, "input_token_details", "cache_creation")),
        reasoning_tokens=count(field(usage, "output_token_details", "reasoning")),
    )


def _ask(client: Any, *, model: str, messages: Any, options: Mapping[str, Any], stream: bool) -> Any:
    bound, rest = _bound(client, options)
    return _counted(bound.stream(messages, _SILENT, **rest)) if stream else bound.invoke(messages, _SILENT, **rest)


async def _ask_async(client: Any, *, model: str, messages: Any, options: Mapping[str, Any], stream: bool) -> Any:
    bound, rest = _bound(client, options)
    if stream:
        return _counted_async(bound.astream(messages, _SILENT, **rest))
    return await bound.ainvoke(messages, _SILENT, **rest)


def _bound(client: Any, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the model with the tools of this call, and the other options."""
    rest = dict(options)
    tools, tool_options = rest.pop("tools", None), rest.pop("tool_options", {})
    return (client if tools is None else client.bind_tools(tools, **tool_options)), rest


def _counted(chunks: Iterator[Any]) -> Iterator[tuple[Any, Counts]]:
    counts = Counts()
    for chunk in chunks:
        counts = _sum(counts, langchain_counts(field(chunk, "usage_metadata")))
        yield chunk, counts


async def _counted_async(chunks: AsyncIterator[Any]) -> AsyncIterator[tuple[Any, Counts]]:
    counts = Counts()
    async for chunk in chunks:
        counts = _sum(counts, langchain_counts(field(chunk, "usage_metadata")))
        yield chunk, counts


def _sum(before: Counts, new: Counts) -> Counts:
    """Return the sums of the counts: each chunk of LangChain counts what is new in it."""
    pairs = zip(before, new, strict=True)
    return Counts(*(a if b is None else b if a is None else a + b for a, b in pairs))
