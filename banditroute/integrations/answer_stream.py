"""The chunks of an answer, as a blocking or an asynchronous iterator whose end is reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from banditroute.core.decision import Decision
from banditroute.integrations.answer import Answer
from banditroute.integrations.io import END, AsyncIo, run
from banditroute.integrations.stream import Stream

_closing: set[asyncio.Task[None]] = set()  # tasks that close the connections of abandoned streams


class _AnswerStream:
    """The part that streams of both kinds share."""

    def __init__(self, *, stream: Stream) -> None:
        self._stream = stream

    @property
    def decision(self) -> Decision:
        """The decision for the arm that answers."""
        return self._stream.call.decision

    @property
    def decision_id(self) -> str:
        """The id of the decision, for ``router.feedback()``."""
        return self.decision.id

    @property
    def answer(self) -> Answer | None:
        """The whole answer, once it is read; None before."""
        return self._stream.answer

    @property
    def response(self) -> Any:
        """The client's own stream."""
        return self._stream.response


class AnswerStream(_AnswerStream, Iterator[Any]):
    """The chunks of an answer as the client gives them; made by ``RoutedClient.create(..., stream=True)``.

    Its end is reported: the whole answer when it is read to the end; a failure when it breaks off; otherwise, after
    ``close``, ``break`` or the end of a ``with`` block, that the arm answered and what it cost so far.

    Attributes
    ----------
    answer
        The whole answer, once it is read; None before.
    """

    def __next__(self) -> Any:
        chunk = run(self._stream.next())
        if chunk is END:
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Read no further, and let go of the connection."""
        run(self._stream.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if (stream := getattr(self, "_stream", None)) is not None:
            stream.abandon(getattr(stream.response, "close", lambda: None))


class AsyncAnswerStream(_AnswerStream, AsyncIterator[Any]):
    """The chunks of an answer on the event loop; otherwise as :class:`AnswerStream`.

    Attributes
    ----------
    answer
        The whole answer, once it is read; None before.
    """

    async def __anext__(self) -> Any:
        chunk = await self._stream.next()
        if chunk is END:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Read no further, and let go of the connection."""
        await self._stream.close()

    close = aclose  # as the clients' own streams call it

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if (stream := getattr(self, "_stream", None)) is not None:
            stream.abandon(lambda: None)
            with suppress(RuntimeError):  # without a running loop nothing can be closed
                task = asyncio.get_running_loop().create_task(_close(stream.response))
                _closing.add(task)
                task.add_done_callback(_closing.discard)


async def _close(response: Any) -> None:
    with suppress(Exception):
        await AsyncIo.close(None, response)  # type: ignore[arg-type]
