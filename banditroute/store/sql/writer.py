"""The thread that writes: decisions behind the caller's back, feedback before it is acknowledged."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from banditroute.core.arm import Arm
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.core.shared_total import SharedTotal
from banditroute.core.state import MergeStates
from banditroute.errors import StoreError
from banditroute.store.base import Acknowledgement, Recorded, StoredDecision, StoredState, Subscriber
from banditroute.store.outcomes import CLOSED, PAGING
from banditroute.store.sql import log
from banditroute.store.sql.database import Database
from banditroute.store.sql.folding import Put
from banditroute.store.sql.session import Session

FOLD_AT = 256
"""Pending outcomes that are worth a fold when nothing is to be written just then."""

FOLD_AT_ONCE = 2048
"""And those that are folded though feedback waits meanwhile."""

FOLD_SECONDS = 5.0
"""For so long fewer of them may be pending."""

LOOK_SECONDS = 0.25
"""How often a process looks for what others have learned."""

_QUEUE = 10_000  # decisions that wait while the database cannot be written
_RETRY_SECONDS = 1.0
_FORK_SECONDS = 5.0  # that a fork may wait for the disk
_FORKED = (
    "the store was opened before this process was forked and records nothing in it; open a router in each "
    "worker process, after the fork"
)

_logger = logging.getLogger("banditroute.store")
_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


class _Report(NamedTuple):
    feedback: Feedback
    ticket: Future[Acknowledgement]


class Writer:
    """Writes what is given to it in groups, one transaction each, from a thread with a connection of its own.

    A group is what came in ``linger_seconds``; feedback does not wait so long, it calls for its group at
    once, and what comes while that one is written is the next. While the database cannot be written,
    decisions stay queued and are tried again every second; beyond the queue's bound the oldest are dropped.

    Parameters
    ----------
    database
        The database.
    ledger
        The transactions on it, begun; from now on the thread's own.
    linger_seconds
        How long decisions may wait for others to be written with.
    wait
        Whether ``add_decision`` returns when the decision is on disk.
    """

    def __init__(self, database: Database, ledger: Session, *, linger_seconds: float, wait: bool) -> None:
        self.trouble: str | None = None
        self.dropped = 0
        self._database = database
        self._ledger = ledger
        self._linger_seconds = linger_seconds
        self._wait = wait
        self._subscriber: Subscriber | None = None
        self._fold_by = time.monotonic() + FOLD_SECONDS  # this and what follows is the thread's own
        self._fold_again = 0.0
        self._looks_in_vain = False
        self._lock = threading.Lock()  # guards what follows; never held while a disk works
        self._closed: str | None = None
        self._overflows = False
        self._queue: OrderedDict[str, tuple[Decision, str | None]] = OrderedDict()
        self._states: dict[str, Put] = {}
        self._totals: dict[str, SharedTotal] = {}
        self._arms: Sequence[Arm] | None = None  # to be written
        self._reports: list[_Report] = []
        self._flushes: list[Future[None]] = []
        self._stir = threading.Event()  # there is something to do
        self._urgent = threading.Event()  # and somebody waits for it
        self._thread = threading.Thread(target=self._run, name="banditroute-store", daemon=True)
        self._thread.start()
        _writers.add(self)

    def add_decision(self, decision: Decision, prompt: str | None) -> None:
        """Queue a decision; with ``wait``, return when it is on disk or ``trouble`` says why not."""
        with self._lock:
            if self._closed is not None:
                return
            self._queue[decision.id] = (decision, prompt)
            if len(self._queue) > _QUEUE:
                self._drop_oldest()
        if self._wait and threading.current_thread() is not self._thread:
            with suppress(StoreError):
                self.flush()
            return
        if not self._stir.is_set():  # once for each group: waking a thread costs more than all the rest
            self._stir.set()

    def save_state(self, name: str, blob: bytes, merge: MergeStates | None) -> None:
        """Queue a piece of state in place of the last of its name, or merged into it."""
        with self._lock:
            if self._closed is None:
                self._states[name] = Put(blob, merge).after(self._states.get(name))
        if not self._stir.is_set():
            self._stir.set()

    def add_total(self, budget: str, total: SharedTotal) -> None:
        """Queue what is counted for a budget, with what is queued of it."""
        with self._lock:
            if self._closed is None:
                self._totals[budget] = self._totals.get(budget, SharedTotal()) + total
        if not self._stir.is_set():
            self._stir.set()

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Queue the router's arms in place of the last."""
        with self._lock:
            if self._closed is None:
                self._arms = arms
        self._stir.set()

    def find(self, decision_id: str) -> StoredDecision:
        """Return what is stored of a decision, whether it is written already or not."""
        with self._lock:
            queued = self._queue.get(decision_id)
        if queued is not None:
            return StoredDecision.of(queued[0], epoch_id=self._ledger.epoch_id)
        return self._database.read(lambda connection: log.find(connection, decision_id))

    def find_session(self, session: str) -> list[str]:
        """Return the ids of the decisions of a session, whether they are written already or not."""
        with self._lock:
            queued = {id for id, (made, _) in self._queue.items() if made.session == session}
        return sorted(queued.union(self._database.read(lambda c: log.find_session(c, self._ledger.epoch_id, session))))

    def add_feedback(self, feedback: Feedback) -> Future[Acknowledgement]:
        """Queue feedback; the future is done when it is durable and learned."""
        ticket: Future[Acknowledgement] = Future()
        # It cannot be cancelled: whoever stops waiting for it has reported it all the same.
        ticket.set_running_or_notify_cancel()
        with self._lock:
            if self._closed is not None:
                ticket.set_exception(StoreError(self._closed))
                return ticket
            self._reports.append(_Report(feedback, ticket))
        if PAGING not in feedback.values:
            self._call()
        elif not self._stir.is_set():  # nobody waits for it
            self._stir.set()
        return ticket

    def flush(self) -> None:
        """Return when all that was queued is written; raises StoreError if it cannot be."""
        self._flush().result()

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

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call ``subscriber`` from now on."""
        self._subscriber = subscriber

    def flush_before_fork(self) -> None:
        """Write what is queued, so that a child that ends in another way loses nothing of it."""
        with suppress(Exception):  # it is tried again in the parent
            self._flush().result(_FORK_SECONDS)

    def abandon_after_fork(self) -> None:
        """Refuse all in a child process: the thread did not come along, the connection must not be used."""
        self._lock = threading.Lock()
        self._closed = self.trouble = _FORKED
        self._queue.clear()
        self._states.clear()
        self._totals.clear()
        self._ledger.abandon_after_fork()

    def _flush(self) -> Future[None]:
        done: Future[None] = Future()
        with self._lock:
            if self._closed is None:
                self._flushes.append(done)
            else:
                done.set_result(None)
        self._call()
        return done

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
        look_at = 0.0
        while closed is None:
            stirred = self._stir.wait(max(0.0, look_at - time.monotonic()))
            if stirred:
                self._urgent.wait(self._linger_seconds if self.trouble is None else _RETRY_SECONDS)
            self._stir.clear()
            self._urgent.clear()
            closed = self._closed  # read first: nothing is queued after it, so the last group is complete
            self._write_group()
            if self.trouble is None:
                self._fold_pending(FOLD_AT_ONCE if stirred else FOLD_AT, last=closed is not None)
                if closed is None and time.monotonic() >= look_at:
                    look_at = self._look(self._subscriber)
        self._ledger.close()

    def _write_group(self) -> None:
        with self._lock:
            reports, self._reports = self._reports, []
            flushes, self._flushes = self._flushes, []
            decisions = list(self._queue.values())
            arms = self._arms
            if not (reports or flushes or decisions or self._states or self._totals or arms or self.trouble):
                return
        failure: Exception | None = None
        try:
            if arms is not None:
                self._ledger.set_arms(arms)
                with self._lock:
                    if self._arms is arms:  # and not newer ones by now
                        self._arms = None
            self._commit(decisions, reports)
        except Exception as error:
            failure = error if isinstance(error, StoreError) else StoreError(f"the store failed: {error!r}")
            self._ledger.close()
            if self.trouble is None:
                _logger.error("the store cannot be written; decisions are kept and tried again: %s", failure)
            self.trouble = str(failure)
            self._stir.set()
        else:
            self.trouble = None
            self._overflows = False
        for flush in flushes:
            if failure is None:
                flush.set_result(None)
            else:
                flush.set_exception(failure)
        for report in reports:
            if failure is not None and not report.ticket.done():
                report.ticket.set_exception(failure)

    def _commit(self, decisions: Sequence[tuple[Decision, str | None]], reports: Sequence[_Report]) -> None:
        """Write a group as one transaction, with the state and tallies that are queued, then learn from it.

        Where a value is at fault that no database can hold, the group is halved until that one is found and
        refused: it must not take the others with it.
        """
        with self._lock:
            states, self._states = self._states, {}
            totals, self._totals = self._totals, {}
        try:
            parts = [report.feedback for report in reports]
            results, sums = self._ledger.add(decisions, states, totals, parts, try_it=self.trouble is not None)
        except Exception as error:
            with self._lock:
                for name, put in states.items():
                    newer = self._states.get(name)
                    self._states[name] = put if newer is None else newer.after(put)
                for budget, total in totals.items():
                    self._totals[budget] = total + self._totals.get(budget, SharedTotal())
            if not self._database.blames_data(error):
                raise
            if decisions and reports:
                halves = [(decisions, reports[:0]), (decisions[:0], reports)]
            elif len(decisions) + len(reports) > 1:
                middle = (len(decisions) + len(reports)) // 2
                halves = [(decisions[:middle], reports[:middle]), (decisions[middle:], reports[middle:])]
            else:
                self._refuse(decisions, reports, error)
                halves = []
            for half in halves:
                self._commit(*half)
            return
        with self._lock:
            for made, _ in decisions:
                self._queue.pop(made.id, None)
        if self._subscriber is not None:
            for budget, added in totals.items():
                self._subscriber.on_total(budget, sums[budget], added)
        self._acknowledge(reports, results)

    def _acknowledge(
        self, reports: Sequence[_Report], results: Sequence[Recorded | Acknowledgement | Exception]
    ) -> None:
        """Hand what is recorded to the subscriber, then tell those who wait for it."""
        for report, result in zip(reports, results, strict=True):
            if isinstance(result, Recorded):
                try:
                    if self._subscriber is not None:
                        self._subscriber.on_recorded(result)
                    result = "accepted"
                except Exception as error:  # the caller's: it must see it, and the thread must survive it
                    result = error
            if isinstance(result, Exception):
                report.ticket.set_exception(result)
            else:
                report.ticket.set_result(result)

    def _refuse(
        self, decisions: Sequence[tuple[Decision, str | None]], reports: Sequence[_Report], error: Exception
    ) -> None:
        for decision, _ in decisions:
            with self._lock:
                self._queue.pop(decision.id, None)
                self.dropped += 1
            _logger.error("decision %s has a value that cannot be stored and is dropped: %r", decision.id, error)
        for report in reports:
            report.ticket.set_exception(
                StoreError(f"{report.feedback} has a value that cannot be stored ({error}); nothing was recorded")
            )

    def _fold_pending(self, worth: int, *, last: bool) -> None:
        """Fold if it is time to; a failure is logged once, and tried again later."""
        outcomes, now = self._ledger.outcomes, time.monotonic()
        if not outcomes:
            self._fold_by = now + FOLD_SECONDS
        due = outcomes >= worth or (outcomes and (last or now >= self._fold_by))
        if not due or (now < self._fold_again and not last):
            return
        try:
            self._ledger.fold(wait=last, anew=last or self._subscriber is None)
        except Exception:
            self._ledger.close()
            if self._fold_again == 0.0:
                _logger.exception("feedback is recorded and learned, but cannot be folded; tried again later")
            self._fold_again = now + _RETRY_SECONDS
        else:
            self._fold_again = 0.0
        self._fold_by = now + FOLD_SECONDS

    def _with_queued(self, memory: StoredState) -> StoredState:
        """What is remembered, and the state that is yet to be recorded."""
        with self._lock:
            queued = {
                name: put.after(Put(memory.states[name], None) if name in memory.states else None).blob
                for name, put in self._states.items()
            }
        return replace(memory, states={**memory.states, **queued})

    def _look(self, subscriber: Subscriber | None) -> float:
        """See what other processes did; return when to look again."""
        begin = time.thread_time()
        try:
            if subscriber is not None:
                self._ledger.notice(lambda state: subscriber.on_changed(self._with_queued(state)))
        except Exception:
            self._ledger.close()
            if not self._looks_in_vain:
                _logger.exception("what other processes learn cannot be seen; tried again")
            self._looks_in_vain = True
        else:
            self._looks_in_vain = False
        # To learn all anew must not become all that this process does.
        return time.monotonic() + max(LOOK_SECONDS, 9.0 * (time.thread_time() - begin))


def _flush_before_fork() -> None:
    for writer in list(_writers):
        writer.flush_before_fork()


def _abandon_after_fork() -> None:
    for writer in list(_writers):
        writer.abandon_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_flush_before_fork, after_in_child=_abandon_after_fork)
