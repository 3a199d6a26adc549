"""Loads in the background: what will be needed soon is loaded by a thread, while requests go on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from banditroute.core.adapter import AdapterSpec
from banditroute.core.forking import hold_while_forking

_log = logging.getLogger("banditroute")


class BackgroundLoads:
    """A queue of adapters, and the thread that loads them one after the other. Thread-safe.

    Parameters
    ----------
    load
        Loads an adapter; may raise.
    """

    def __init__(self, *, load: Callable[[AdapterSpec], None]) -> None:
        self._load = load
        self._queue: list[AdapterSpec] = []
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()
        hold_while_forking(self, "_lock")

    def begin_in_child(self) -> None:
        """Begin without a thread in a forked child; what is queued is loaded in the parent."""
        self._queue = []
        self._thread = None

    def add(self, adapters: Sequence[AdapterSpec]) -> None:
        """Load these too, after those that wait."""
        with self._lock:
            self._queue += [adapter for adapter in adapters if adapter not in self._queue]
            if self._queue and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="banditroute-adapters", daemon=True)
                self._thread.start()

    def clear(self) -> None:
        """Forget the adapters that wait."""
        with self._lock:
            self._queue = []

    def wait(self) -> None:
        """Return when all are loaded."""
        while (thread := self._thread) is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._thread = None
                    return
                adapter = self._queue.pop(0)
            try:
                self._load(adapter)
            except Exception as error:  # nobody waits for it; a request that needs the adapter will try again
                _log.warning("adapter %r cannot be loaded ahead: %s", adapter.name, error)
