"""Threads in which texts are routed, apart from all that may wait for a disk."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from banditroute.core.forking import hold_while_forking

_T = TypeVar("_T")
_THREADS = 8


class RoutingThreads:
    """A few threads of one router, started when they are needed. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._executor: ThreadPoolExecutor | None = None
        hold_while_forking(self, "_lock")

    async def run(self, call: Callable[[], _T]) -> _T:
        """Return ``call()``, called in one of the threads with the caller's context variables."""
        import asyncio  # late: it takes a sixth of banditroute's import time

        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="banditroute-route")
            executor = self._executor
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(executor, partial(context.run, call))

    def close(self) -> None:
        """Let the threads end when they are done."""
        with self._lock:
            if self._executor is not None:
                self._executor.shutdown(wait=False)
                self._executor = None

    def begin_in_child(self) -> None:
        """Start threads of its own in a forked child."""
        self._executor = None
