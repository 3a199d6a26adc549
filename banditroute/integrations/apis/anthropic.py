"""Anthropic's messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from banditroute.core.failure import Failure
from banditroute.integrations.apis.base import Counts, Messages, Piece, Reading, is_own_object, no_answer
from banditroute.integrations.apis.messages import anthropic_messages, anthropic_options
from banditroute.integrations.fields import count, field, text

_MAX_TOKENS = 4096  # where the caller gives none: the interface insists on a number


class AnthropicMessages:
    """Messages: ``client.messages.create``, or ``parse``."""

    def __init__(self, method: str = "create") -> None:
        self._method = method

    def function(self, client: Any) -> Callable[..., Any] | None:
        """Return ``client.messages.create``, or ``parse``."""
        found = field(client, "messages", self._method)
        return found if callable(found) else None

    def arguments(self, messages: Messages, options: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
        """Return messages and options in Anthropic's form; system messages become the parameter ``system``."""
        system, turns = anthropic_messages(messages)
        given = {name: value for name, value in anthropic_options(options).items() if value is not None}
        asked = {"max_tokens": _MAX_TOKENS, **({"system": system} if system else {}), **given}
        if self._method == "parse" and "response_format" in asked:
            asked["output_format"] = asked.pop("response_format")
        return {"messages": turns, **asked, **({"stream": True} if stream else {})}

    def read(self, response: Any) -> Reading:
        """Return the text of the text blocks, and the tokens of ``usage``."""
        content = field(response, "content")
        if is_own_object(response, "content"):
            return Reading(counts=anthropic_counts(field(response, "_raw_response", "usage")), parsed=response)
        if not isinstance(content, list | tuple):
            return no_answer(response, "content")
        counts = anthropic_counts(field(response, "usage"))
        said = text([block for block in content if field(block, "type") == "text"])
        if field(response, "stop_reason") == "refusal" and not content:
            return Reading(counts=counts, failure=Failure.CONTENT_FILTER, why="the answer was refused and is empty")
        return Reading(text=said, counts=counts, parsed=field(response, "parsed_output"))

    def read_chunk(self, chunk: Any) -> Piece:
        """Return the text of a text delta, or the tokens that an event reports, wherever it stands."""
        kind = field(chunk, "type")
        usage = field(chunk, "message", "usage") if kind == "message_start" else field(chunk, "usage")
        said = text(field(chunk, "delta", "text")) if kind == "content_block_delta" else ""
        if field(chunk, "delta", "stop_reason") == "refusal":
            why = "the answer was refused and is empty"
            return Piece(counts=anthropic_counts(usage), failure=Failure.CONTENT_FILTER, why=why)
        begins = kind in ("content_block_start", "content_block_delta", "message_delta", "message_stop")
        return Piece(text=said, counts=anthropic_counts(usage), begins=begins)


def anthropic_counts(usage: Any) -> Counts:
    """Return the tokens of Anthropic's ``usage``, whose ``input_tokens`` leave out those of the cache.

    Examples
    --------
    >>> anthropic_counts({"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5}).input_tokens
    100
    """
    given = count(field(usage, "input_tokens"))
    read, written = (count(field(usage, f"cache_{what}_input_tokens")) for what in ("read", "creation"))
    return Counts(
        input_tokens=None if given is None else given + (read or 0) + (written or 0),
        output_tokens=count(field(usage, "output_tokens")),
        cached_input_tokens=read,
        cache_write_tokens=written,
    )
