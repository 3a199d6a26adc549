"""The thread that writes: decisions behind the caller's back, feedback before it is acknowledged."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import ChainMap, OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from sqlalchemy import Connection, Engine

from banditroute.errors import StoreError
from banditroute.store import log
from banditroute.store.base import Event, Fold, Learn
from banditroute.store.database import blames_data, explained
from banditroute.store.outcomes import CLOSED
from banditroute.types import Decision, Feedback

FOLD_AT = 256
"""Pending outcomes that are worth a fold."""

_FOLD_LIMIT = 4096  # outcomes of one transaction, which holds the database for so long
_QUEUE = 10_000  # decisions that wait while the database cannot be written
_RECENT = 10_000  # decisions whose feedback needs no reading back
_RETRY_SECONDS = 1.0
_FORKED = (
    "the store was opened before this process was forked and records nothing in it; open a router in each "
    "worker process, after the fork"
)

_logger = logging.getLogger("banditroute.store")
_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


_Decided: TypeAlias = tuple[Decision, str | None]


class _Asked(NamedTuple):
    feedback: Feedback
    learn: Learn
    ticket: Future[None]


class Writer:
    """Writes what is given to it in groups, one transaction each, from a thread with a connection of its own.

    A group is what came in ``linger_seconds``; feedback does not wait so long, it calls for its group at
    once, and what comes while that one is written is the next. While the database cannot be written,
    decisions stay queued and are tried again every second; beyond the queue's bound the oldest are dropped.

    Parameters
    ----------
    engine
        The database.
    router, epoch_id
        Whose state is given; the epoch of the decisions that are given, and the one that learns.
    fold
        As in :class:`~banditroute.store.base.Store`.
    unfolded
        How many outcomes wait to be folded as it begins.
    linger_seconds
        How long decisions may wait for others to be written with.
    """

    def __init__(
        self, engine: Engine, *, router: str, epoch_id: int, fold: Fold, unfolded: int, linger_seconds: float
    ) -> None:
        self.trouble: str | None = None
        self.dropped = 0
        self._engine = engine
        self._router = router
        self._epoch_id = epoch_id
        self._fold = fold
        self._unfolded = unfolded
        self._fold_fails = False
        self._linger_seconds = linger_seconds
        self._connection: Connection | None = None  # this and what follows is the thread's own
        self._recent: OrderedDict[str, log.Made] = OrderedDict()
        self._lock = threading.Lock()  # guards what follows; never held while a disk works
        self._closed: str | None = None
        self._overflows = False
        self._queue: OrderedDict[str, _Decided] = OrderedDict()
        self._states: dict[str, bytes] = {}
        self._asked: list[_Asked] = []
        self._flushes: list[Future[None]] = []
        self._stir = threading.Event()  # there is something to do
        self._urgent = threading.Event()  # and somebody waits for it
        self._thread = threading.Thread(target=self._run, name="banditroute-store", daemon=True)
        self._thread.start()
        _writers.add(self)

    def add_decision(self, decision: Decision, prompt: str | None) -> None:
        """Queue a decision."""
        with self._lock:
            if self._closed is not None:
                return
            self._queue[decision.id] = (decision, prompt)
            if len(self._queue) > _QUEUE:
                self._drop_oldest()
        if not self._stir.is_set():  # once for each group: waking a thread costs more than all the rest
            self._stir.set()

    def put_state(self, name: str, blob: bytes) -> None:
        """Queue a piece of state in place of the last of its name."""
        with self._lock:
            if self._closed is None:
                self._states[name] = blob
        if not self._stir.is_set():
            self._stir.set()

    def add_feedback(self, feedback: Feedback, learn: Learn) -> Future[None]:
        """Queue feedback; the future is done when it is durable and learned."""
        ticket: Future[None] = Future()
        # It cannot be cancelled: whoever stops waiting for it has reported it all the same.
        ticket.set_running_or_notify_cancel()
        with self._lock:
            if self._closed is not None:
                ticket.set_exception(StoreError(self._closed))
                return ticket
            self._asked.append(_Asked(feedback, learn, ticket))
        self._call()
        return ticket

    def flush(self) -> None:
        """Return when all that was queued is written; raises StoreError if it cannot be."""
        done: Future[None] = Future()
        with self._lock:
            if self._closed is not None:
                return
            self._flushes.append(done)
        self._call()
        done.result()

    def stop(self) -> None:
        """Write and fold what is left, and end; raises StoreError if decisions had to be given up."""
        with self._lock:
            self._closed = self._closed or CLOSED
        self._call()
        if self._thread is threading.current_thread():  # collected as garbage while it worked: it ends by itself
            return
        self._thread.join()
        if self._queue or self._states:
            raise StoreError(
                f"{len(self._queue)} decisions and {len(self._states)} pieces of state could not be recorded: "
                f"{self.trouble}"
            )

    def abandon_after_fork(self) -> None:
        """Refuse all in a child process: the thread did not come along, the connection must not be used."""
        self._lock = threading.Lock()
        self._closed = self.trouble = _FORKED
        self._queue.clear()
        self._states.clear()

    def _call(self) -> None:
        self._urgent.set()
        self._stir.set()

    def _drop_oldest(self) -> None:
        self._queue.popitem(last=False)
        self.dropped += 1
        if self.trouble is None:
            self.trouble = f"more than {_QUEUE:,} decisions wait to be written"
        if not self._overflows:
            self._overflows = True
            _logger.error("decisions are dropped, the oldest first: %s", self.trouble)

    def _run(self) -> None:
        closed = None
        while closed is None:
            self._stir.wait()
            self._urgent.wait(self._linger_seconds if self.trouble is None else _RETRY_SECONDS)
            self._stir.clear()
            self._urgent.clear()
            closed = self._closed  # read first: nothing is queued after it, so the last group is complete
            self._write_group()
            if self._unfolded >= (FOLD_AT if closed is None else 1) and self.trouble is None:
                self._fold_pending()
        self._disconnect()

    def _write_group(self) -> None:
        with self._lock:
            asked, self._asked = self._asked, []
            flushes, self._flushes = self._flushes, []
            decisions = list(self._queue.values())
        failure: Exception | None = None
        try:
            self._commit(decisions, asked)
        except Exception as error:
            failure = error if isinstance(error, StoreError) else StoreError(f"the store failed: {error!r}")
            self._disconnect()
            if self.trouble is None:
                _logger.error("the store cannot be written; decisions are kept and tried again: %s", failure)
            self.trouble = str(failure)
            self._stir.set()
        else:
            self.trouble = None
            self._overflows = False
        for ticket in (*(one.ticket for one in asked), *flushes):
            if ticket.done():
                continue
            if failure is None:
                ticket.set_result(None)
            else:
                ticket.set_exception(failure)

    def _commit(self, decisions: Sequence[_Decided], asked: Sequence[_Asked]) -> None:
        """Write a group as one transaction, then learn from it.

        Where a value is at fault that no database can hold, the group is halved until that one is found and
        refused: it must not take the others with it.
        """
        try:
            results = self._write(decisions, asked)
        except Exception as error:
            if not blames_data(error):
                raise
            if decisions and asked:
                halves = [(decisions, asked[:0]), (decisions[:0], asked)]
            elif len(decisions) + len(asked) > 1:
                middle = (len(decisions) + len(asked)) // 2
                halves = [(decisions[:middle], asked[:middle]), (decisions[middle:], asked[middle:])]
            else:
                self._refuse(decisions, asked, error)
                return
            for half in halves:
                self._commit(*half)
            return
        self._learn(asked, results)

    def _write(self, decisions: Sequence[_Decided], asked: Sequence[_Asked]) -> list[Event | Exception | None]:
        fresh = {
            made.id: log.Made(self._epoch_id, made.arm, made.x, made.decided_at, made.ordinal) for made, _ in decisions
        }
        parts = [one.feedback for one in asked]
        with self._lock:
            states = dict(self._states)
        with explained(self._engine.url):
            connection = self._connect()
            with connection.begin():
                if self.trouble is not None:  # it ends when a write succeeds, be there something to write or not
                    log.try_writing(connection, self._epoch_id)
                log.add_decisions(connection, self._epoch_id, decisions)
                log.put_states(connection, self._router, states)
                results = log.add_feedback(connection, self._epoch_id, parts, ChainMap(fresh, self._recent))
        self._recent.update(fresh)
        while len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        with self._lock:
            for id in fresh:
                self._queue.pop(id, None)
            for name, blob in states.items():
                if self._states.get(name) is blob:  # and not a newer one by now
                    del self._states[name]
        return results

    def _learn(self, asked: Sequence[_Asked], results: Sequence[Event | Exception | None]) -> None:
        for one, result in zip(asked, results, strict=True):
            if isinstance(result, Event):
                self._unfolded += len(result.values)
                try:
                    one.learn(result)
                except Exception as error:  # the caller's: it must see it, and the thread must survive it
                    result = error
            if isinstance(result, Exception):
                one.ticket.set_exception(result)
            else:
                one.ticket.set_result(None)

    def _refuse(self, decisions: Sequence[_Decided], asked: Sequence[_Asked], error: Exception) -> None:
        for decision, _ in decisions:
            with self._lock:
                self._queue.pop(decision.id, None)
                self.dropped += 1
            _logger.error("decision %s has a value that cannot be stored and is dropped: %r", decision.id, error)
        for one in asked:
            one.ticket.set_exception(
                StoreError(f"{one.feedback} has a value that cannot be stored ({error}); nothing was recorded")
            )

    def _fold_pending(self) -> None:
        """Fold what is pending; a failure is logged, and tried again when as much has come anew."""
        self._unfolded = 0
        try:
            folded = _FOLD_LIMIT
            while folded == _FOLD_LIMIT:
                with explained(self._engine.url):
                    connection = self._connect()
                    with connection.begin():
                        folded = log.fold_pending(connection, self._epoch_id, self._fold, limit=_FOLD_LIMIT)
        except Exception:
            self._disconnect()
            if not self._fold_fails:
                _logger.exception("feedback is recorded and learned, but cannot be folded; tried again later")
            self._fold_fails = True
        else:
            self._fold_fails = False

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # what it failed with is told already
                connection.close()


def _abandon_after_fork() -> None:
    for writer in list(_writers):
        writer.abandon_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_after_fork)
