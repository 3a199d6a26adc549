"""OpenAI's interfaces, and those of servers like it: chat completions, responses, embeddings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from banditroute.core.failure import Failure
from banditroute.integrations.apis.base import (
    Counts,
    Messages,
    Piece,
    Reading,
    failure_in,
    is_own_object,
    no_answer,
    openai_counts,
)
from banditroute.integrations.apis.messages import openai_messages, openai_options
from banditroute.integrations.fields import count, field, sequence, text

_FAILED_FINISHES = {"content_filter": Failure.CONTENT_FILTER, "error": Failure.SERVER_ERROR}
_OTHER_PARTS = ("refusal", "tool_calls", "function_call", "reasoning_content", "reasoning", "audio")


class OpenAIChat:
    """Chat completions: ``client.chat.completions.create``, or ``parse``."""

    def __init__(self, method: str = "create") -> None:
        self._method = method

    def function(self, client: Any) -> Callable[..., Any] | None:
        """Return ``client.chat.completions.create``, or ``parse``."""
        found = field(client, "chat", "completions", self._method)
        return _callable(found or field(client, "beta", "chat", "completions", self._method))  # of older packages

    def arguments(self, messages: Messages, options: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
        """Return messages and options in OpenAI's form; a stream is asked to end with its usage."""
        given = openai_options(options)
        system = given.pop("system", None)
        prompts = [{"role": "system", "content": system}, *messages] if system else messages
        asked: dict[str, Any] = {"messages": openai_messages(prompts)}
        if stream:
            asked["stream_options"] = {"include_usage": True}
        return {**asked, **given, **({"stream": True} if stream else {})}

    def read(self, response: Any) -> Reading:
        """Return the text of the first choice, and the tokens of ``usage``."""
        choices = sequence(field(response, "choices"))
        if is_own_object(response, "choices"):
            return Reading(counts=openai_counts(field(response, "_raw_response", "usage")), parsed=response)
        if not choices:
            return no_answer(response, "choices")
        message, finish = field(choices[0], "message"), field(choices[0], "finish_reason")
        said = text(field(message, "content"))
        counts = openai_counts(field(response, "usage"))
        failure = _FAILED_FINISHES.get(finish) if isinstance(finish, str) and not said else None
        if message is None or failure is not None:
            failure = failure or Failure.INVALID_RESPONSE
            return Reading(counts=counts, failure=failure, why=f"the answer is empty (finish_reason {finish!r:.40})")
        parsed = field(message, "parsed") if self._method == "parse" else None
        return Reading(text=said, counts=counts, parsed=parsed)

    def read_chunk(self, chunk: Any) -> Piece:
        """Return the text of the first choice's delta, and the tokens of ``usage``, wherever it stands."""
        counts = openai_counts(field(chunk, "usage") or field(chunk, "x_groq", "usage"))
        for choice in sequence(field(chunk, "choices")):
            counts = counts.updated(openai_counts(field(choice, "usage")))
            delta, finish = field(choice, "delta") or field(choice, "message"), field(choice, "finish_reason")
            first = not field(choice, "index")  # of several answers, the first is the answer
            said = text(field(delta, "content")) if first else ""
            failure = _FAILED_FINISHES.get(finish) if first and isinstance(finish, str) and not said else None
            if failure is not None:
                return Piece(counts=counts, failure=failure, why=f"the answer is empty (finish_reason {finish!r:.40})")
            begins = bool(said or finish or any(field(delta, name) for name in _OTHER_PARTS))
            if begins or first:
                return Piece(text=said, counts=counts, begins=begins)
        return Piece(counts=counts)


class OpenAIResponses:
    """Responses: ``client.responses.create``, or ``parse``."""

    def __init__(self, method: str = "create") -> None:
        self._method = method

    def function(self, client: Any) -> Callable[..., Any] | None:
        """Return ``client.responses.create``, or ``parse``."""
        return _callable(field(client, "responses", self._method))

    def arguments(self, messages: Messages, options: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
        """Return the options with the input, which is passed on as it is."""
        return {"input": messages, **options, **({"stream": True} if stream else {})}

    def read(self, response: Any) -> Reading:
        """Return ``output_text``, and the tokens of ``usage``."""
        status, output = field(response, "status"), field(response, "output")
        if field(response, "error") or not isinstance(output, list | tuple):
            return no_answer(response, "output")
        counts = openai_counts(field(response, "usage"))
        said = "".join(text(field(item, "content")) for item in output if field(item, "type") == "message")
        failure = _failure_of_response(response)
        if failure is not None and not (said and failure is Failure.CONTENT_FILTER):
            return Reading(counts=counts, failure=failure, why=f"the answer has the status {status!r:.40}")
        return Reading(text=said, counts=counts, parsed=field(response, "output_parsed"))

    def read_chunk(self, chunk: Any) -> Piece:
        """Return the text of a text delta, the tokens of the last event, or how the call failed."""
        kind, response = field(chunk, "type"), field(chunk, "response")
        counts = openai_counts(field(response, "usage"))
        if not isinstance(kind, str):
            return Piece(counts=counts)
        error = chunk if kind == "error" else field(response, "error")
        if error:
            failure, why = failure_in(error)
            return Piece(counts=counts, failure=failure, why=why)
        if (failed := _failure_of_response(response)) is not None:
            return Piece(counts=counts, failure=failed, why=f"the answer ended with {kind!r:.40}")
        said = text(field(chunk, "delta")) if kind == "response.output_text.delta" else ""
        return Piece(text=said, counts=counts, begins=kind.endswith((".delta", ".done", ".completed", ".incomplete")))


def _failure_of_response(response: Any) -> Failure | None:
    """Return how a response failed by its status; None if it did not."""
    if field(response, "status") in ("failed", "cancelled"):
        return Failure.SERVER_ERROR
    return Failure.CONTENT_FILTER if field(response, "incomplete_details", "reason") == "content_filter" else None


class OpenAIEmbeddings:
    """Embeddings: ``client.embeddings.create``."""

    def function(self, client: Any) -> Callable[..., Any] | None:
        """Return ``client.embeddings.create``."""
        return _callable(field(client, "embeddings", "create"))

    def arguments(self, messages: Messages, options: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
        """Return the options with the texts."""
        return {"input": messages, **options}

    def read(self, response: Any) -> Reading:
        """Return the tokens of ``usage``; vectors have no text, and no output tokens."""
        if not sequence(field(response, "data")):
            return no_answer(response, "data")
        usage = field(response, "usage")
        counts = Counts(output_tokens=0).updated(openai_counts(usage))
        if counts.input_tokens is None:  # all tokens of embeddings are input
            counts = counts._replace(input_tokens=count(field(usage, "total_tokens")))
        return Reading(counts=counts)

    def read_chunk(self, chunk: Any) -> Piece:
        """Return an empty piece: embeddings are not streamed."""
        return Piece()


def _callable(thing: Any) -> Callable[..., Any] | None:
    return thing if callable(thing) else None
