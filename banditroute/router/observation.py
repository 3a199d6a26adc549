"""Hand decisions, feedback and events to observers, on a thread of their own."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from banditroute.core.decision import Decision
from banditroute.core.events import Event, FeedbackRecorded, Observer

_log = logging.getLogger("banditroute")

_QUEUE_ITEMS = 10_000
_BATCH_SECONDS = 0.02  # how long items are gathered: to wake a thread for each would cost more than a decision's share
_CLOSE_SECONDS = 2.0  # how long closing waits for observers that are behind

_Item: TypeAlias = Decision | FeedbackRecorded | Event


class Observation:
    """A bounded queue to the observers of one router. Safe to use from many threads.

    Attributes
    ----------
    active
        Whether there are observers.
    dropped
        Number of items that were dropped, as the observers did not keep up.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.active: bool = bool(observers)
        self.dropped: int = 0
        self._observers = tuple(observers)
        self._items: deque[_Item] = deque()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        weakref.finalize(self, _end, self._wake, self._stop)  # so that the thread ends with its router

    def emit(self, item: _Item) -> None:
        """Queue an item for the observers; return at once."""
        if not self.active:
            return
        if len(self._items) >= _QUEUE_ITEMS:
            self.dropped += 1
            return
        self._items.append(item)
        if not self._wake.is_set():
            self._wake.set()
            if self._thread is None:
                self._start()

    def close(self) -> None:
        """Let the observers see what is queued, for two seconds at most."""
        self.active = False
        _end(self._wake, self._stop)
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_observe,
                    args=(self._items, self._wake, self._stop, self._observers),
                    name="banditroute-observers",
                    daemon=True,
                )
                self._thread.start()


def _end(wake: threading.Event, stop: threading.Event) -> None:
    stop.set()
    wake.set()


def _observe(items: deque[_Item], wake: threading.Event, stop: threading.Event, observers: Sequence[Observer]) -> None:
    """Hand every item to every observer, in order, until the router is closed."""
    failed: set[tuple[int, type[Exception]]] = set()
    while not stop.is_set() or items:
        wake.wait()
        stop.wait(_BATCH_SECONDS)
        if not stop.is_set():
            wake.clear()
        while items:
            item = items.popleft()
            for number, observer in enumerate(observers):
                try:
                    _hand(item, observer)
                except Exception as error:
                    if (number, type(error)) not in failed:  # one line per observer and kind of error
                        failed.add((number, type(error)))
                        _log.warning("observer %r failed; it is called again: %s", observer, error, exc_info=True)


def _hand(item: _Item, observer: Observer) -> None:
    if isinstance(item, Decision):
        observer.on_decision(item)
    elif isinstance(item, FeedbackRecorded):
        observer.on_feedback(item)
    else:
        observer.on_event(item)
