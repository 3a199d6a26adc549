"""Hand decisions, feedback and events to observers, on a thread of their own."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Sequence
from queue import SimpleQueue
from typing import TypeAlias

from banditroute.core.decision import Decision
from banditroute.core.events import Event, FeedbackRecorded, Observer
from banditroute.core.forking import hold_while_forking
from banditroute.core.promise import Promise

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
        self._begin()
        hold_while_forking(self)

    def emit(self, item: _Item) -> None:
        """Queue an item for the observers; return at once."""
        if not self.active:
            return
        if self._items.qsize() >= _QUEUE_ITEMS:
            self.dropped += 1
            return
        self._items.put(item)
        if self._thread is None:
            self._start()

    def close(self) -> None:
        """Let the observers see what is queued, for two seconds at most."""
        self.active = False
        _end(self._items, self._stop)
        if self._thread not in (None, threading.current_thread()):  # an observer may close its router
            self._thread.join(_CLOSE_SECONDS)

    def begin_in_child(self) -> None:
        """Begin with a queue and a thread of its own in a forked child; what is queued is seen in the parent."""
        self._begin()

    def _begin(self) -> None:
        self._items: SimpleQueue[_Item | None] = SimpleQueue()  # a signal handler may put into it at any moment
        self._stop: Promise[None] = Promise()
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()
        weakref.finalize(self, _end, self._items, self._stop)  # so that the thread ends with its router

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_observe,
                    args=(self._items, self._stop, self._observers),
                    name="banditroute-observers",
                    daemon=True,
                )
                self._thread.start()


def _end(items: SimpleQueue[_Item | None], stop: Promise[None]) -> None:
    stop.set_result(None)
    items.put(None)


def _observe(items: SimpleQueue[_Item | None], stop: Promise[None], observers: Sequence[Observer]) -> None:
    """Hand every item to every observer, in order, until the router is closed."""
    failed: set[tuple[int, type[BaseException]]] = set()
    while (item := items.get()) is not None:
        stop.wait(_BATCH_SECONDS)
        gathered = [item, *(items.get() for _ in range(items.qsize()))]
        for item in gathered:
            if item is None:
                return
            for number, observer in enumerate(observers):
                try:
                    _hand(item, observer)
                except BaseException as error:  # SystemExit too: it would end this thread alone, and unseen
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
