"""One call of an arm, whole or as a stream: its clock, its text and tokens, and the report of what it took."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from banditroute.core.decision import Decision
from banditroute.errors import BanditRouteError
from banditroute.integrations.answer import Answer
from banditroute.integrations.providers import Dialect
from banditroute.pricing.model_price import ModelPrice, Usage
from banditroute.router import Router

_CALLERS_MISTAKES = {400, 413, 422}  # another arm would refuse the request as well
_PACKAGES = {"openai", "anthropic", "httpx"}
_UNREPORTED = "what decision %s took could not be recorded: %s"
_log = logging.getLogger("banditroute")


class Target(NamedTuple):
    """Whom an arm is, and how it is asked."""

    client: Any
    model: str
    dialect: Dialect
    price: ModelPrice | None


@dataclass(kw_only=True)
class Call:
    """One call of an arm: its clock, and what is to be reported of it."""

    decision: Decision
    target: Target
    failures: tuple[tuple[str, Exception], ...]
    begun: float
    first_token_seconds: float | None = None

    def answer(self, *, response: Any, text: str, usage: Usage | None) -> Answer:
        """The answer, now that it is whole."""
        price = self.target.price
        return Answer(
            decision=self.decision,
            response=response,
            text=text,
            usage=usage,
            cost_usd=None if usage is None or price is None else price.cost_usd(usage),
            latency_seconds=time.perf_counter() - self.begun,
            first_token_seconds=self.first_token_seconds,
            failures=self.failures,
        )


def is_the_arms(error: Exception) -> bool:
    """Whether the arm is to blame, and another may answer; not for a request that is refused as it is."""
    theirs = any(base.__module__.split(".")[0] in _PACKAGES for base in type(error).__mro__)
    status = getattr(error, "status_code", None)
    return (theirs or isinstance(error, TimeoutError | ConnectionError)) and status not in _CALLERS_MISTAKES


def took(answer: Answer) -> dict[str, float | None]:
    """What a call took, as feedback."""
    return {
        "latency_seconds": answer.latency_seconds,
        "output_tokens": None if answer.usage is None else answer.usage.output_tokens,
        "cost_usd": answer.cost_usd,
    }


def report(router: Router, decision: Decision, **outcomes: Any) -> None:
    """Give feedback; where it cannot be recorded, tell the log: the answer is there, and must not be lost for it."""
    if not outcomes:
        return
    try:
        router.feedback(decision.id, **outcomes)
    except BanditRouteError as error:
        _log.error(_UNREPORTED, decision.id, error)


async def areport(router: Router, decision: Decision, **outcomes: Any) -> None:
    """:func:`report` for the event loop."""
    if not outcomes:
        return
    try:
        await router.afeedback(decision.id, **outcomes)
    except BanditRouteError as error:
        _log.error(_UNREPORTED, decision.id, error)


class _Stream:
    """What both kinds of streams have in common: the chunks so far, and what is to be reported of the call, once."""

    def __init__(self, *, router: Router, call: Call, response: Any) -> None:
        self._router = router
        self._call = call
        self._response = response
        self._first: list[Any] = []
        self._texts: list[str] = []
        self._tokens: dict[str, float] = {}
        self._told = False
        self.decision = call.decision
        self.answer: Answer | None = None

    @property
    def decision_id(self) -> str:
        """Names the decision in ``router.feedback()``."""
        return self.decision.id

    def _add(self, chunk: Any) -> Any:
        text, tokens = self._call.target.dialect.chunk(chunk)
        self._tokens.update(tokens)
        if text:
            self._texts.append(text)
            if self._call.first_token_seconds is None:
                self._call.first_token_seconds = time.perf_counter() - self._call.begun
        return chunk

    def _ended(self) -> dict[str, Any]:
        """What to report at the end of the stream."""
        if not self._told:
            usage = Usage(**self._tokens) if {"input_tokens", "output_tokens"} <= self._tokens.keys() else None
            self.answer = self._call.answer(response=None, text="".join(self._texts), usage=usage)
            return self._tell(**took(self.answer))
        return {}

    def _broke_off(self, error: Exception) -> dict[str, Any]:
        return self._tell(failed=True) if is_the_arms(error) else {}

    def _tell(self, **outcomes: Any) -> dict[str, Any]:
        """The outcomes, the first time; then nothing."""
        told, self._told = self._told, True
        return {} if told else outcomes


class AnswerStream(_Stream, Iterator[Any]):
    """The chunks of an answer as the client gives them; reports what the call took when it is at its end.

    One that is closed before its end reports that the arm answered, and no more; one that breaks off, that it failed.

    Attributes
    ----------
    decision
        For the arm that answers.
    answer
        The whole, once it is read; None before.
    """

    def begin(self) -> AnswerStream:
        """Wait for the first chunk: until it is there, another arm can still take over."""
        self._chunks = iter(self._response)
        for chunk in self._chunks:
            self._first.append(self._add(chunk))
            break
        return self

    def __next__(self) -> Any:
        if self._first:
            return self._first.pop()
        try:
            return self._add(next(self._chunks))
        except StopIteration:
            report(self._router, self.decision, **self._ended())
            raise
        except Exception as error:
            report(self._router, self.decision, **self._broke_off(error))
            raise

    def close(self) -> None:
        """Read no further, and let go of the connection."""
        self._response.close()
        report(self._router, self.decision, **self._tell(failed=False))


class AsyncAnswerStream(_Stream, AsyncIterator[Any]):
    """:class:`AnswerStream` for the event loop."""

    async def begin(self) -> AsyncAnswerStream:
        """Wait for the first chunk: until it is there, another arm can still take over."""
        self._chunks = aiter(self._response)
        async for chunk in self._chunks:
            self._first.append(self._add(chunk))
            break
        return self

    async def __anext__(self) -> Any:
        if self._first:
            return self._first.pop()
        try:
            return self._add(await anext(self._chunks))
        except StopAsyncIteration:
            await areport(self._router, self.decision, **self._ended())
            raise
        except Exception as error:
            await areport(self._router, self.decision, **self._broke_off(error))
            raise

    async def aclose(self) -> None:
        """Read no further, and let go of the connection."""
        await self._response.close()
        await areport(self._router, self.decision, **self._tell(failed=False))
