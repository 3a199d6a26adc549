"""One call for all threads that wait: while a batch is being computed, the next one gathers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event, Lock

from banditroute.core.arrays import Vector


class Together:
    """Calls ``function`` with the items of as many threads as wait, one call at a time.

    A thread that finds no call running makes one at once, for what it brings: alone it waits for nobody. Threads that come
    meanwhile waits, and when the call returns the first of them makes the next one for all of them. Where a call fails,
    its items are tried one by one, so that a bad one fails alone.

    Parameters
    ----------
    function
        Items, each once, -> one row for each ``(n, d)``.
    most
        How many items a call may have.
    """

    def __init__(self, function: Callable[[list[str]], Vector], *, most: int) -> None:
        self._function = function
        self._most = most
        self._lock = Lock()
        self._waiting: list[_Item] = []
        self._running = False

    def __call__(self, items: Iterable[str]) -> list[Vector]:
        """The rows of ``items``; raises what ``function`` raised for the first of them that failed."""
        mine = [_Item(item) for item in items]
        with self._lock:
            self._waiting += mine
            if not self._running:
                self._promote()
        try:
            for item in mine:
                item.woken.wait()
                if item.leads:
                    self._lead()
        finally:
            with self._lock:  # an interrupted thread must not be waited for
                self._waiting = [item for item in self._waiting if item not in mine]
                if any(item.leads for item in mine):
                    self._promote()
        return [item.result() for item in mine]

    def _promote(self) -> None:
        """Let the first that waits make the next call."""
        self._running = bool(self._waiting)
        for first in self._waiting[:1]:
            first.leads = True
            first.woken.set()

    def _lead(self) -> None:
        """Call for the first that wait, and hand over."""
        with self._lock:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            self._compute(batch)
        finally:
            with self._lock:
                batch[0].leads = False
                self._promote()
            for item in batch:
                item.woken.set()

    def _compute(self, batch: list[_Item]) -> None:
        texts = list(dict.fromkeys(item.text for item in batch))
        try:
            rows = dict(zip(texts, self._function(texts), strict=True))
        except Exception as error:
            if len(batch) > 1:
                for item in batch:
                    self._compute([item])
            else:
                batch[0].error = error
        else:
            for item in batch:
                item.row = rows[item.text]


class _Item:
    """One text that a thread waits for."""

    __slots__ = ("error", "leads", "row", "text", "woken")

    def __init__(self, text: str) -> None:
        self.text = text
        self.woken = Event()
        self.leads = False
        self.row: Vector | None = None
        self.error: Exception | None = None

    def result(self) -> Vector:
        if self.row is not None:
            return self.row
        raise self.error or RuntimeError("the call that was to embed this text was interrupted; try again")
