"""A result that one thread owes to others, who wait for it without a lock that an interrupt could leave taken.

``concurrent.futures.Future`` and ``threading.Event`` guard themselves with a lock that Python code takes. A signal
handler that raises in a waiting thread, such as that of ``KeyboardInterrupt``, can leave this lock taken for ever. The
thread that then brings the result would wait without end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    import asyncio

_T = TypeVar("_T")


class Promise(Generic[_T]):
    """A result or an error that comes later, from another thread. The first that is set counts.

    Every waiter has a lock of its own, which the other thread only releases. So a waiter that is interrupted harms
    nobody else, and a signal handler may use a promise that its thread is just using.

    Attributes
    ----------
    waiters
        Functions that wake those who wait.

    Examples
    --------
    >>> promise = Promise()
    >>> promise.wait(timeout=0.0)
    False
    >>> promise.set_result("done")
    >>> promise.result()
    'done'
    """

    __slots__ = ("_outcomes", "waiters")

    def __init__(self) -> None:
        # Other threads may append to these lists and take from them at any moment: each such step is atomic.
        self._outcomes: list[tuple[_T | None, BaseException | None]] = []
        self.waiters: list[Callable[[], object]] = []

    def done(self) -> bool:
        """Return whether there is a result or an error."""
        return bool(self._outcomes)

    def set_result(self, result: _T) -> None:
        """Hand the result to all who wait for it."""
        self._set(result, None)

    def set_exception(self, error: BaseException) -> None:
        """Have all who wait for the result raise ``error``."""
        self._set(None, error)

    def wait(self, timeout: float | None = None) -> bool:
        """Return whether there is a result or an error; wait for it, for ``timeout`` seconds at most."""
        if self._outcomes:
            return True
        woken = threading.Lock()
        woken.acquire()
        self._call_when_done(woken.release)
        limit = -1.0 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)
        if not woken.acquire(timeout=limit):
            self._forget(woken.release)
        return self.done()

    async def wait_async(self, timeout: float) -> bool:
        """Do as ``wait`` does, without blocking the event loop."""
        import asyncio  # late: it takes a sixth of banditroute's import time

        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        wake = partial(_wake, loop, woken)
        self._call_when_done(wake)
        try:
            await asyncio.wait((woken,), timeout=max(timeout, 0.0))
        finally:
            self._forget(wake)
        return self.done()

    def result(self, timeout: float | None = None) -> _T:
        """Return the result, or raise the error; wait for it.

        Raises
        ------
        TimeoutError
            If there is neither after ``timeout`` seconds.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"there is no result after {timeout:g} s")
        result, error = self._outcomes[0]
        if error is not None:
            try:
                raise error
            finally:
                del self, error  # the error holds this frame, which must not hold the error
        return cast(_T, result)

    def _set(self, result: _T | None, error: BaseException | None) -> None:
        self._outcomes.append((result, error))
        self._call_back()

    def _call_when_done(self, callback: Callable[[], object]) -> None:
        self.waiters.append(callback)
        if self._outcomes:  # it came meanwhile
            self._call_back()

    def _forget(self, callback: Callable[[], object]) -> None:
        with suppress(ValueError):  # it was called meanwhile
            self.waiters.remove(callback)

    def _call_back(self) -> None:
        with suppress(IndexError):
            while True:
                self.waiters.pop()()


def _wake(loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None]) -> None:
    with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
        loop.call_soon_threadsafe(_finish, woken)


def _finish(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
