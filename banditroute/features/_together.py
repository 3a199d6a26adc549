"""Batching across threads: texts that arrive during a model call are embedded together in the next call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import RLock

from banditroute.core.arrays import Vector
from banditroute.core.forking import hold_while_forking
from banditroute.core.promise import Promise


class Together:
    """A function that is called with the items of all waiting threads together, one call at a time.

    If no call is running, a thread calls at once with its own items. Threads that arrive during a call wait. When the
    call returns, the first waiting thread makes the next call for all of them. If a call fails, its items are tried one
    by one, so that a bad item fails alone.

    Parameters
    ----------
    function
        Takes distinct items and returns one row for each ``(n, d)``.
    most
        Largest number of items of a call.
    """

    def __init__(self, function: Callable[[list[str]], Vector], *, most: int) -> None:
        self._function = function
        self._most = most
        self._lock = RLock()
        self._waiting: list[_Item] = []
        self._running = False
        hold_while_forking(self, "_lock")

    def begin_in_child(self) -> None:
        """Wait for nobody in a forked child: the threads that called and waited are the parent's."""
        self._waiting = []
        self._running = False

    def __call__(self, items: Iterable[str]) -> list[Vector]:
        """Return the rows of ``items``, or raise the error of ``function`` for the first item that failed."""
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
            with self._lock:  # nobody may wait for a thread that was interrupted
                self._waiting = [item for item in self._waiting if item not in mine]
                if any(item.leads for item in mine):
                    self._promote()
        return [item.result() for item in mine]

    def _promote(self) -> None:
        """Let the first waiting thread make the next call."""
        self._running = bool(self._waiting)
        for first in self._waiting[:1]:
            first.leads = True
            first.woken.set_result(None)

    def _lead(self) -> None:
        """Call the function for the first waiting items, then let the next thread lead."""
        with self._lock:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            self._compute(batch)
        finally:
            with self._lock:
                batch[0].leads = False
                self._promote()
            for item in batch:
                item.woken.set_result(None)

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
    """One text that a thread waits for, with its row or its error."""

    __slots__ = ("error", "leads", "row", "text", "woken")

    def __init__(self, text: str) -> None:
        self.text = text
        self.woken: Promise[None] = Promise()
        self.leads = False
        self.row: Vector | None = None
        self.error: Exception | None = None

    def result(self) -> Vector:
        if self.row is not None:
            return self.row
        raise self.error or RuntimeError("the call that was to embed this text was interrupted; try again")
