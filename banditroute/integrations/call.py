"""One call of an arm, whole or as a stream: its clock, its text and tokens, and the report of what it took."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from banditroute.errors import BanditRouteError
from banditroute.integrations.answer import Answer
from banditroute.integrations.dialects import Dialect
from banditroute.rewards.model_price import ModelPrice, Usage
from banditroute.router import Router
from banditroute.types import Decision

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
    try:
        router.feedback(decision.id, **outcomes)
    except BanditRouteError as error:
        _log.error(_UNREPORTED, decision.id, error)


async def areport(router: Router, decision: Decision, **outcomes: Any) -> None:
    """:func:`report` for the event loop."""
    try:
        await router.afeedback(decision.id, **outcomes)
    except BanditRouteError as error:
        _log.error(_UNREPORTED, decision.id, error)


class _Collected:
    """What the chunks of a stream come to."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._texts: list[str] = []
        self._tokens: dict[str, float] = {}

    def add(self, chunk: Any) -> None:
        text, tokens = self._call.target.dialect.chunk(chunk)
        self._tokens.update(tokens)
        if text:
            self._texts.append(text)
            if self._call.first_token_seconds is None:
                self._call.first_token_seconds = time.perf_counter() - self._call.begun

    def answer(self) -> Answer:
        usage = Usage(**self._tokens) if {"input_tokens", "output_tokens"} <= self._tokens.keys() else None
        return self._call.answer(response=None, text="".join(self._texts), usage=usage)


class AnswerStream(Iterator[Any]):
    """The chunks of an answer as the client gives them; reports what the call took when it is at its end.

    One that is closed before its end reports that the arm answered, and no more; one that breaks off, that it failed.

    Attributes
    ----------
    decision
        For the arm that answers.
    answer
        The whole, once it is read; None before.
    """

    def __init__(self, *, router: Router, call: Call, response: Any) -> None:
        self._router = router
        self._response = response
        self._chunks = iter(response)
        self._collected = _Collected(call)
        self._first: list[Any] = []
        self._open = True
        self.decision = call.decision
        self.answer: Answer | None = None

    @property
    def decision_id(self) -> str:
        """Names the decision in ``router.feedback()``."""
        return self.decision.id

    def begin(self) -> AnswerStream:
        """Wait for the first chunk: until it is there, another arm can still take over."""
        for chunk in self._chunks:
            self._first.append(chunk)
            self._collected.add(chunk)
            break
        return self

    def __next__(self) -> Any:
        if self._first:
            return self._first.pop()
        try:
            chunk = next(self._chunks)
        except StopIteration:
            if self._open:
                self._open, self.answer = False, self._collected.answer()
                report(self._router, self.decision, **took(self.answer))
            raise
        except Exception as error:
            if self._open and is_the_arms(error):
                self._open = False
                report(self._router, self.decision, failed=True)
            raise
        self._collected.add(chunk)
        return chunk

    def close(self) -> None:
        """Read no further, and let go of the connection."""
        self._response.close()
        if self._open:
            self._open = False
            report(self._router, self.decision, failed=False)


class AsyncAnswerStream(AsyncIterator[Any]):
    """:class:`AnswerStream` for the event loop."""

    def __init__(self, *, router: Router, call: Call, response: Any) -> None:
        self._router = router
        self._response = response
        self._chunks = aiter(response)
        self._collected = _Collected(call)
        self._first: list[Any] = []
        self._open = True
        self.decision = call.decision
        self.answer: Answer | None = None

    @property
    def decision_id(self) -> str:
        """Names the decision in ``router.feedback()``."""
        return self.decision.id

    async def begin(self) -> AsyncAnswerStream:
        """Wait for the first chunk: until it is there, another arm can still take over."""
        async for chunk in self._chunks:
            self._first.append(chunk)
            self._collected.add(chunk)
            break
        return self

    async def __anext__(self) -> Any:
        if self._first:
            return self._first.pop()
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            if self._open:
                self._open, self.answer = False, self._collected.answer()
                await areport(self._router, self.decision, **took(self.answer))
            raise
        except Exception as error:
            if self._open and is_the_arms(error):
                self._open = False
                await areport(self._router, self.decision, failed=True)
            raise
        self._collected.add(chunk)
        return chunk

    async def aclose(self) -> None:
        """Read no further, and let go of the connection."""
        await self._response.close()
        if self._open:
            self._open = False
            await areport(self._router, self.decision, failed=False)
