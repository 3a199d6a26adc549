"""How the two kinds of clients are called and read: OpenAI's chat completions, Anthropic's messages.

Nothing is imported: a client is known by what it has, a response by its fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from banditroute.errors import InvalidConfigurationError
from banditroute.pricing.model_price import Usage

Messages = Sequence[Mapping[str, Any]]

_ANTHROPIC_MAX_TOKENS = 4096  # the API insists on a number


class Dialect(Protocol):
    """One kind of client."""

    def create(self, client: Any, model: str, messages: Messages, *, stream: bool, options: Mapping[str, Any]) -> Any:
        """Call the client: its response, or its stream of chunks; awaitable where the client is asynchronous."""

    def text(self, response: Any) -> str:
        """What a response says, without the tools that it calls."""

    def usage(self, response: Any) -> Usage | None:
        """The tokens of a response, where the server says."""

    def chunk(self, chunk: Any) -> tuple[str, Mapping[str, float]]:
        """What one chunk of a stream says, and what it tells of the :class:`Usage`."""


class OpenAI:
    """OpenAI's client, or one like it: ``client.chat.completions.create``."""

    def create(self, client: Any, model: str, messages: Messages, *, stream: bool, options: Mapping[str, Any]) -> Any:
        """A chat completion; a stream is asked to end with its usage."""
        if stream:
            options = {"stream_options": {"include_usage": True}, **options, "stream": True}
        return client.chat.completions.create(model=model, messages=list(messages), **options)

    def text(self, response: Any) -> str:
        """The first choice's content."""
        return (response.choices[0].message.content or "") if response.choices else ""

    def usage(self, response: Any) -> Usage | None:
        """``usage``; servers that are only like OpenAI's may leave it out."""
        tokens = _openai_tokens(getattr(response, "usage", None))
        return Usage(**tokens) if tokens else None

    def chunk(self, chunk: Any) -> tuple[str, Mapping[str, float]]:
        """The first choice's delta; the last chunk has no choice, but the usage."""
        text = (chunk.choices[0].delta.content or "") if chunk.choices else ""
        return text, _openai_tokens(getattr(chunk, "usage", None))


class Anthropic:
    """Anthropic's client: ``client.messages.create``."""

    def create(self, client: Any, model: str, messages: Messages, *, stream: bool, options: Mapping[str, Any]) -> Any:
        """A message; system messages become the ``system`` parameter."""
        system = "\n\n".join(str(message["content"]) for message in messages if message["role"] == "system")
        options = {"max_tokens": _ANTHROPIC_MAX_TOKENS, **({"system": system} if system else {}), **options}
        if stream:
            options["stream"] = True
        turns = [message for message in messages if message["role"] != "system"]
        return client.messages.create(model=model, messages=turns, **options)

    def text(self, response: Any) -> str:
        """The text blocks, joined."""
        return "".join(block.text for block in response.content if block.type == "text")

    def usage(self, response: Any) -> Usage | None:
        """``usage``, whose input tokens leave the cache out."""
        tokens = _anthropic_tokens(getattr(response, "usage", None))
        return Usage(**tokens) if len(tokens) > 1 else None

    def chunk(self, chunk: Any) -> tuple[str, Mapping[str, float]]:
        """A text delta, or an event that tells of the usage: input at the start, output at the end."""
        if chunk.type == "content_block_delta" and chunk.delta.type == "text_delta":
            return chunk.delta.text, {}
        if chunk.type == "message_start":
            return "", _anthropic_tokens(chunk.message.usage)
        if chunk.type == "message_delta":
            return "", {"output_tokens": chunk.usage.output_tokens}
        return "", {}


def dialect_of(client: object, *, arm: str) -> Dialect:
    """How to speak to the ``client`` of an arm.

    Raises
    ------
    InvalidConfigurationError
        For a client of neither kind.
    """
    if hasattr(getattr(client, "chat", None), "completions"):
        return OpenAI()
    if hasattr(getattr(client, "messages", None), "create"):
        return Anthropic()
    raise InvalidConfigurationError(
        f"the client of arm {arm!r} is a {type(client).__name__}; give one with chat.completions.create, as of openai, "
        "or with messages.create, as of anthropic"
    )


def is_asynchronous(client: object) -> bool:
    """Whether the client's calls are awaited: in both packages its class, or one that it derives from, is Async..."""
    return any(base.__name__.startswith("Async") for base in type(client).__mro__)


def _openai_tokens(usage: Any) -> dict[str, float]:
    if usage is None:
        return {}
    prompt, completion = (getattr(usage, f"{part}_tokens_details", None) for part in ("prompt", "completion"))
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "cached_input_tokens": getattr(prompt, "cached_tokens", None) or 0,
        "reasoning_tokens": getattr(completion, "reasoning_tokens", None) or 0,
    }


def _anthropic_tokens(usage: Any) -> dict[str, float]:
    if usage is None:
        return {}
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return {
        "input_tokens": usage.input_tokens + read + written,
        "output_tokens": usage.output_tokens,
        "cached_input_tokens": read,
        "cache_write_tokens": written,
    }
