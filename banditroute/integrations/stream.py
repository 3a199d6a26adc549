"""The logic of a stream: its chunks pass through, and its end, however it comes, is reported once."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from banditroute.core.failure import Failure
from banditroute.errors import InvalidResponseError
from banditroute.integrations.answer import Answer
from banditroute.integrations.apis.base import Api, Piece
from banditroute.integrations.call import Call, answered_outcomes, failed_outcomes
from banditroute.integrations.io import END, Io
from banditroute.integrations.reports import Reports

_log = logging.getLogger("banditroute")


class Stream:
    """The chunks of an answer as the client gives them.

    Attributes
    ----------
    call
        The call that they answer.
    response
        The client's stream.
    answer
        The whole answer, once it is read; None before.
    """

    def __init__(self, *, call: Call, api: Api, response: Any, io: Io, reports: Reports) -> None:
        self.call = call
        self.response = response
        self.answer: Answer | None = None
        self._api = api
        self._io = io
        self._reports = reports
        self._chunks = io.chunks(response)
        self._ahead: deque[Any] = deque()
        self._over = False
        self._failure: Failure | None = None

    async def begin(self) -> None:
        """Read until the answer itself begins: until then, another arm can take over."""
        while (chunk := await self._io.next(self._chunks)) is not END:
            self._ahead.append(chunk)
            piece = self._read(chunk)
            if self._failure is not None:
                raise InvalidResponseError(f"arm {self.call.target.arm!r}: {piece.why}", failure=str(self._failure))
            if piece.begins:
                return
        raise InvalidResponseError(f"arm {self.call.target.arm!r}: the stream ended before an answer began")

    async def next(self) -> Any:
        """Return the next chunk, or ``END``."""
        if self._ahead:
            return self._ahead.popleft()
        if self._over:
            return END
        try:
            chunk = await self._io.next(self._chunks)
        except BaseException as error:
            await self._broke_off(error)
            raise
        if chunk is END:
            await self._ended()
        else:
            self._read(chunk)
        return chunk

    async def close(self) -> None:
        """Read no further: let go of the connection, and report that the arm answered, and what it cost so far."""
        self._ahead.clear()
        if self._over:
            return
        self._over = True
        try:
            await self._io.close(self.response)
        finally:
            await self._reports.report(self.call, self._left_outcomes())

    def abandon(self, close: Callable[[], object]) -> None:
        """Do as ``close`` does, for a reader that is gone."""
        if not self._over:
            self._over = True
            self._reports.report_abandoned(self.call, self._left_outcomes(), close)

    def _read(self, chunk: Any) -> Piece:
        try:
            piece = self._api.read_chunk(chunk)
        except Exception:
            _log.exception("a chunk of arm %r cannot be read; it is passed on", self.call.target.arm)
            piece = Piece(begins=True)
        call = self.call
        call.counts = call.counts.updated(piece.counts)
        if piece.text:
            call.texts.append(piece.text)
        if piece.failure is not None and not (piece.failure is Failure.CONTENT_FILTER and call.text):
            self._failure = piece.failure
        if piece.begins and call.first_token_seconds is None:
            call.first_token_seconds = call.seconds
        return piece

    async def _ended(self) -> None:
        self._over = True
        self.answer = self.call.answer(response=None)
        outcomes = answered_outcomes(self.call, self.answer)
        if self._failure is not None:  # a chunk said that the answer failed half-way
            outcomes = {"failure": self._failure, "cost_usd": outcomes["cost_usd"] or self.call.spent_usd}
        self._reports.left_out.update(name for name, value in outcomes.items() if value is None)
        await self._reports.report(self.call, outcomes)

    async def _broke_off(self, error: BaseException) -> None:
        self._over = True
        if isinstance(error, Exception):
            outcomes = failed_outcomes(self.call, error) or {"failure": Failure.OTHER}
            outcomes["cost_usd"] = self.call.spent_usd
        else:  # the reader is cancelled
            outcomes = {**self._left_outcomes(), "failure": Failure.CANCELLED}
        try:
            with suppress(Exception):
                await self._io.close(self.response)
        finally:
            await self._reports.report(self.call, outcomes)

    def _left_outcomes(self) -> dict[str, Any]:
        """Return what to report of a stream that is left by its reader: the arm answered."""
        return {"failed": False, "cost_usd": self.call.spent_usd}
