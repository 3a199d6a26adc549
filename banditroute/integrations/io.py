"""The two ways to do what a routed call does: blocking, or on an event loop.

The logic of a call is written once, as coroutines over :class:`Io`. :class:`BlockingIo` never suspends, so :func:`run`
drives such a coroutine to its end without an event loop.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from banditroute.core.decision import Decision
from banditroute.core.forking import hold_while_forking
from banditroute.core.step import Step
from banditroute.errors import InvalidConfigurationError
from banditroute.router import Lease, Router

_T = TypeVar("_T")

END: Any = object()
"""The value that ``Io.next`` returns after the last chunk."""

_MOST_ASIDE = 4  # coroutines of one client at a time


class Io(Protocol):
    """Routes, calls, reads and reports."""

    async def route(self, request: Any, options: Mapping[str, Any]) -> Decision:
        """Return the router's decision."""

    async def feedback(self, decision_id: str, outcomes: Mapping[str, Any]) -> None:
        """Report outcomes to the router."""

    async def next_step(self, decision: Decision, signals: Mapping[str, float | None]) -> Step:
        """Return the router's next step after an answer."""

    async def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Return what a client's function gives."""

    def lease(self, decision: Decision) -> Lease:
        """Return a lease of the decision's adapter."""

    async def enter(self, lease: Lease) -> Decision:
        """Enter a lease."""

    async def leave(self, lease: Lease, error: BaseException | None = None) -> None:
        """Leave a lease; after an error, its next use asks the server whether the adapter is still there."""

    def chunks(self, response: Any) -> Any:
        """Return an iterator over the chunks of a stream."""

    async def next(self, chunks: Any) -> Any:
        """Return the next chunk, or ``END``."""

    async def close(self, response: Any) -> None:
        """Close a stream."""

    def aside(self, steps: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine that nobody waits for, and that never raises; drop it while several are running."""


class BlockingIo:
    """Does it in the caller's thread."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._threads_aside: list[threading.Thread] = []
        self._lock_aside = threading.RLock()  # a signal handler may come to it again
        hold_while_forking(self, "_lock_aside")

    async def route(self, request: Any, options: Mapping[str, Any]) -> Decision:
        return self._router.route(request, **options)

    async def feedback(self, decision_id: str, outcomes: Mapping[str, Any]) -> None:
        self._router.feedback(decision_id, **outcomes)

    async def next_step(self, decision: Decision, signals: Mapping[str, float | None]) -> Step:
        return self._router.next_step(decision, signals)

    async def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        response = function(**arguments)
        if inspect.iscoroutine(response):
            response.close()
            raise InvalidConfigurationError("a client's call is a coroutine; put it into an AsyncRoutedClient")
        return response

    def lease(self, decision: Decision) -> Lease:
        return self._router.lease(decision)

    async def enter(self, lease: Lease) -> Decision:
        decision: Decision = lease.__enter__()
        return decision

    async def leave(self, lease: Lease, error: BaseException | None = None) -> None:
        lease.__exit__(None if error is None else type(error), error, None)

    def chunks(self, response: Any) -> Any:
        return iter(response)

    async def next(self, chunks: Any) -> Any:
        return next(chunks, END)

    async def close(self, response: Any) -> None:
        if callable(close := getattr(response, "close", None)):
            close()

    def aside(self, steps: Coroutine[Any, Any, None]) -> None:
        thread = threading.Thread(target=run, args=(steps,), name="banditroute-aside", daemon=True)
        with self._lock_aside:
            self._threads_aside = [each for each in self._threads_aside if each.is_alive()]  # none of them in a fork
            if len(self._threads_aside) < _MOST_ASIDE:
                try:
                    thread.start()
                    self._threads_aside.append(thread)
                    return
                except RuntimeError:  # no thread can be started: the answer that is at hand counts more
                    pass
        steps.close()


class AsyncIo:
    """Does it on the event loop, which is free meanwhile."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._tasks_aside: set[asyncio.Task[None]] = set()  # an event loop itself holds no reference

    async def route(self, request: Any, options: Mapping[str, Any]) -> Decision:
        return await self._router.aroute(request, **options)

    async def feedback(self, decision_id: str, outcomes: Mapping[str, Any]) -> None:
        await self._router.afeedback(decision_id, **outcomes)

    async def next_step(self, decision: Decision, signals: Mapping[str, float | None]) -> Step:
        return await self._router.anext_step(decision, signals)

    async def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        response = function(**arguments)
        return await response if inspect.isawaitable(response) else response

    def lease(self, decision: Decision) -> Lease:
        return self._router.lease(decision)

    async def enter(self, lease: Lease) -> Decision:
        decision: Decision = await lease.__aenter__()
        return decision

    async def leave(self, lease: Lease, error: BaseException | None = None) -> None:
        await lease.__aexit__(None if error is None else type(error), error, None)

    def chunks(self, response: Any) -> Any:
        return aiter(response)

    async def next(self, chunks: Any) -> Any:
        return await anext(chunks, END)

    async def close(self, response: Any) -> None:
        close = getattr(response, "aclose", None) or getattr(response, "close", None)
        if callable(close) and inspect.isawaitable(closing := close()):
            await closing

    def aside(self, steps: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks_aside) >= _MOST_ASIDE:
            steps.close()
            return
        task = asyncio.get_running_loop().create_task(steps)
        self._tasks_aside.add(task)
        task.add_done_callback(self._tasks_aside.discard)


def run(steps: Coroutine[Any, Any, _T]) -> _T:
    """Return the result of a coroutine over ``BlockingIo``, which never suspends."""
    try:
        steps.send(None)
    except StopIteration as finished:
        result: _T = finished.value
        return result
    raise RuntimeError("a coroutine over BlockingIo suspended; its methods must not wait")
