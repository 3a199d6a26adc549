"""The extension point for chat interfaces: how one is called, and how its answers and chunks are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from banditroute.core.failure import Failure
from banditroute.integrations.failures import failure_of_status, failure_of_words
from banditroute.integrations.fields import count, field
from banditroute.pricing.model_price import Usage

Messages = Sequence[Mapping[str, Any]]
_JSON = (str, bytes, dict, list, int, float)  # what a server may send; no object of a wrapper


class Counts(NamedTuple):
    """The tokens of a call as far as the server counted them; None: not known."""

    input_tokens: float | None = None
    output_tokens: float | None = None
    cached_input_tokens: float | None = None
    cache_write_tokens: float | None = None
    reasoning_tokens: float | None = None
    cost_usd: float | None = None

    def updated(self, later: Counts) -> Counts:
        """Return the larger of each count: those of a stream grow, and a later event may know less than an earlier."""
        return Counts(
            *(max((n for n in pair if n is not None), default=None) for pair in zip(self, later, strict=True))
        )

    @property
    def contradict(self) -> bool:
        """True if a part is larger than the whole, so that the price of the call is not known."""
        cached = (self.cached_input_tokens or 0) + (self.cache_write_tokens or 0)
        return cached > (self.input_tokens or 0) or (self.reasoning_tokens or 0) > (self.output_tokens or 0)

    def usage(self) -> Usage | None:
        """Return the tokens of the whole call, without parts that contradict it; None if input or output is not known.

        Examples
        --------
        >>> Counts(input_tokens=10, output_tokens=5, cached_input_tokens=64).usage()
        Usage(input_tokens=10, output_tokens=5, cached_input_tokens=0, cache_write_tokens=0, reasoning_tokens=0)
        """
        if self.input_tokens is None or self.output_tokens is None:
            return None
        if self.contradict:
            return Usage(input_tokens=self.input_tokens, output_tokens=self.output_tokens)
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_input_tokens=self.cached_input_tokens or 0,
            cache_write_tokens=self.cache_write_tokens or 0,
            reasoning_tokens=self.reasoning_tokens or 0,
        )


NOTHING_COUNTED = Counts()


class Reading(NamedTuple):
    """The content of a whole answer.

    Attributes
    ----------
    text
        The text, without the tools that it calls.
    counts
        Its tokens.
    parsed
        The object that ``parse`` made of it.
    failure, why
        How the call failed although an answer came, and the words for it; None: it is an answer.
    """

    text: str = ""
    counts: Counts = Counts()
    parsed: Any = None
    failure: Failure | None = None
    why: str = ""


class Piece(NamedTuple):
    """The content of one chunk of a stream.

    Attributes
    ----------
    text
        The text that it adds.
    counts
        The tokens that it reports.
    begins
        Whether it holds a part of the answer itself: text, a refusal, a tool call, reasoning.
    failure, why
        How the call failed, if the chunk says so, and the words for it. A filter counts only where no text came before.
    """

    text: str = ""
    counts: Counts = Counts()
    begins: bool = False
    failure: Failure | None = None
    why: str = ""


class Api(Protocol):
    """One interface of a kind of client, such as OpenAI's chat completions."""

    def function(self, client: Any) -> Callable[..., Any] | None:
        """Return the client's function that asks the model; None if this client has none."""

    def arguments(self, messages: Messages, options: Mapping[str, Any], *, stream: bool) -> dict[str, Any]:
        """Return the arguments of that function, besides the model, for messages and options of any kind."""

    def read(self, response: Any) -> Reading:
        """Return the content of a whole answer."""

    def read_chunk(self, chunk: Any) -> Piece:
        """Return the content of one chunk of a stream."""


def no_answer(response: Any, missing: str) -> Reading:
    """Return the reading of a response that is no answer: an error with status 200, a web page, nothing."""
    error = field(response, "error")
    if error:
        failure, why = failure_in(error)
        return Reading(counts=openai_counts(field(response, "usage")), failure=failure, why=why)
    if isinstance(response, str):
        return Reading(failure=Failure.INVALID_RESPONSE, why=f"the answer is the text {response!r:.80}")
    return Reading(failure=Failure.INVALID_RESPONSE, why=f"the answer has no {missing}")


def failure_in(error: Any) -> tuple[Failure, str]:
    """Return how a call failed, from an error object with status 200, and the words for it."""
    message, code = field(error, "message") or error, field(error, "code")
    words = f"{code} {field(error, 'type')} {message}"
    status = int(code) if str(code).isdecimal() and 400 <= int(code) <= 599 else None
    failure = failure_of_words(words) if status is None else failure_of_status(status, words)
    otherwise = Failure.SERVER_ERROR if status is None else Failure.INVALID_RESPONSE
    return failure or otherwise, f"the answer is an error: {message!s:.80}"


def is_own_object(response: Any, name: str) -> bool:
    """Return whether a response is an object of a wrapper, as of ``instructor``, without the field ``name``."""
    return not (response is None or isinstance(response, _JSON) or hasattr(response, name))


def openai_counts(usage: Any) -> Counts:
    """Return the tokens of OpenAI's ``usage``, of chat completions, responses or embeddings, or of a server like it.

    Some servers count reasoning next to the output in place of within it: the total, or reasoning that is larger than
    the output, shows it.

    Examples
    --------
    >>> details = {"reasoning_tokens": 94}
    >>> usage = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135, "completion_tokens_details": details}
    >>> openai_counts(usage).output_tokens
    103
    """
    given, made = count(field(usage, "prompt_tokens")), count(field(usage, "completion_tokens"))
    details = "prompt_tokens_details", "completion_tokens_details"
    if given is None and made is None:
        given, made = count(field(usage, "input_tokens")), count(field(usage, "output_tokens"))
        details = "input_tokens_details", "output_tokens_details"
    total = count(field(usage, "total_tokens"))
    reasoning = count(field(usage, details[1], "reasoning_tokens"))
    if (
        made is not None
        and reasoning
        and (reasoning > made or (given is not None and total == given + made + reasoning))
    ):
        made += reasoning
    cost = field(usage, "cost")
    cached = count(field(usage, details[0], "cached_tokens"))
    return Counts(
        input_tokens=given,
        output_tokens=made,
        cached_input_tokens=count(field(usage, "prompt_cache_hit_tokens")) if cached is None else cached,  # DeepSeek's
        cache_write_tokens=count(field(usage, details[0], "cache_write_tokens")),
        reasoning_tokens=reasoning,
        cost_usd=count(cost),
    )
