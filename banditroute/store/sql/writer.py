"""The thread that writes: decisions behind the caller's back, feedback before it is acknowledged."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue

from banditroute.core.arm import Arm
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.core.promise import Promise
from banditroute.core.shared_total import SharedTotal
from banditroute.core.state import MergeStates
from banditroute.errors import StoreError
from banditroute.store.base import (
    Acknowledgement,
    Backlog,
    Recorded,
    SessionSubscriber,
    StateSubscriber,
    StoredDecision,
    StoredState,
    Subscriber,
)
from banditroute.store.outcomes import CLOSED, PAGING
from banditroute.store.sql import log, ticket, write_queue
from banditroute.store.sql.database import Database
from banditroute.store.sql.folding import Put
from banditroute.store.sql.rows import DamagedRowError
from banditroute.store.sql.session import EpochReplacedError, Session
from banditroute.store.sql.ticket import Ticket, unknown_outcome, wait_for
from banditroute.store.sql.write_queue import Report, WriteQueue, finish, taken

FOLD_AT = 256
"""Pending outcomes that are worth a fold when nothing is to be written just then."""

FOLD_AT_ONCE = 2048
"""Pending outcomes that are folded although feedback waits meanwhile."""

FOLD_SECONDS = 5.0
"""How long fewer of them may be pending."""

LOOK_SECONDS = 0.25
"""How often a process looks for what others have learned."""

_EXIT_SECONDS = 10.0  # how long the end of the process waits for the database
_COLLECTED_SECONDS = 1.0  # how long a thread that collects a store as garbage waits for the database
_RETRY_SECONDS = 1.0
_PROBE_SECONDS = 0.05  # between two attempts while the database cannot be written
_FORK_SECONDS = 2.0  # how long a fork may wait for the disk

_logger = logging.getLogger("banditroute.store")
_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


class _Pause:
    """A pause of the thread while its process is forked."""

    def __init__(self) -> None:
        self.reached: Promise[None] = Promise()
        self.over: Promise[None] = Promise()


class _WriterThread(threading.Thread):
    """A thread that says by itself that it has ended.

    ``is_alive`` of the standard library takes a running thread for ended after an exception of a signal handler within
    ``is_alive``. Two threads would then write on one connection, which ends the process.
    """

    ended = False

    def run(self) -> None:
        """Do what the thread is for, and note its end."""
        try:
            super().run()
        finally:
            self.ended = True


class Writer:
    """Writes what is given to it in groups, one transaction each, from a thread with a connection of its own.

    A group is what came in ``linger_seconds``; feedback does not wait so long, it calls for its group at
    once, and what comes while that one is written is the next. While the database cannot be written,
    decisions stay queued and are tried again every second; beyond the queue's bound the oldest are dropped.

    Parameters
    ----------
    database
        The database.
    session
        The transactions on it, begun; from now on the thread's own.
    linger_seconds
        How long decisions may wait for others to be written with.
    wait
        True if ``add_decision`` returns when the decision is on disk.
    """

    def __init__(self, database: Database, session: Session, *, linger_seconds: float, wait: bool) -> None:
        self._queue = WriteQueue()
        self._trouble: str | None = None
        self._database = database
        self._session = session
        self._linger_seconds = linger_seconds
        self._wait = wait
        self._subscriber: weakref.ref[Subscriber] | None = None
        self._closed: str | None = None
        self._begin()
        self._thread: _WriterThread | None = self._start()  # a forked child begins one when it needs it
        _writers.add(self)

    def _begin(self) -> None:
        """Make the queue, and what the thread knows."""
        self._queue = WriteQueue(dropped=self._queue.dropped)
        self._wake: SimpleQueue[bool] = SimpleQueue()  # True: somebody waits
        self._awake = False
        self._overflows = False
        self._ended = False
        self._busy_since: float | None = None
        self._pause: _Pause | None = None
        self._fold_by = time.monotonic() + FOLD_SECONDS
        self._fold_again = 0.0
        self._looks_in_vain = False
        self._look_at = 0.0

    def _start(self) -> _WriterThread:
        thread = _WriterThread(target=self._run, name="banditroute-store", daemon=True)
        thread.start()
        return thread

    @property
    def ended(self) -> bool:
        """True once everything in the queue is written or given up."""
        return self._ended

    @property
    def trouble(self) -> str | None:
        """The reason why the database cannot be written just now, in words; None while all is well."""
        busy = self._busy_since
        if self._trouble is None and busy is not None and time.monotonic() - busy > ticket.ANSWER_SECONDS:
            return f"{self._database.name} has not answered for {time.monotonic() - busy:.0f} s"
        return self._trouble

    @trouble.setter
    def trouble(self, words: str | None) -> None:
        self._trouble = words

    @property
    def dropped(self) -> int:
        """Number of decisions that were dropped."""
        return self._queue.dropped

    @property
    def backlog(self) -> Backlog:
        """The decisions that are queued or dropped."""
        queued = list(self._queue.decisions.values())
        decided_at = queued[0][0].decided_at if queued else None
        return Backlog(len(queued), decided_at, self._queue.dropped, self._session.waiting)

    def add_decision(self, decision: Decision, prompt: str | None) -> None:
        """Queue a decision; with ``wait``, return when it is on disk or ``trouble`` says why not."""
        if self._closed is not None:
            return
        if prompt is not None and not self._queue.holds_prompts:
            prompt = None
            self._overflow("prompts are not recorded")
        if self._queue.add_decision(decision, prompt):
            if self._trouble is None:
                self._trouble = f"more than {write_queue.MAX_QUEUED_DECISIONS:,} decisions wait to be written"
            self._overflow("decisions are dropped, the oldest first")
        if self._wait and threading.current_thread() is not self._thread:
            with suppress(StoreError):
                self.flush()
            return
        self._stir()

    def save_state(self, name: str, blob: bytes, merge: MergeStates | None) -> None:
        """Queue a piece of state in place of the last of its name, or merged into it."""
        if self._closed is None:
            self._queue.add_state(name, Put(blob, merge))
            self._stir()

    def add_total(self, budget: str, total: SharedTotal) -> None:
        """Queue what is counted for a budget, with what is queued of it."""
        if self._closed is None:
            self._queue.add_total(budget, total)
            self._stir()

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Queue the router's arms in place of the last."""
        if self._closed is None:
            self._queue.arms = arms
            self._stir()

    def find(self, decision_id: str) -> StoredDecision:
        """Return what is stored of a decision, whether it is written already or not."""
        queued = self._queue.decisions.get(decision_id)
        if queued is not None:
            return StoredDecision.of(queued[0], epoch_id=self._session.epoch_id)
        return self._database.read(lambda connection: log.find(connection, decision_id))

    def find_session(self, session: str) -> list[str]:
        """Return the ids of the decisions of a session, whether they are written already or not."""
        queued = {id for id, (made, _) in list(self._queue.decisions.items()) if made.session == session}
        return sorted(queued.union(self._database.read(lambda c: log.find_session(c, self._session.epoch_id, session))))

    def add_feedback(self, feedback: Feedback) -> Ticket:
        """Queue feedback; the ticket is done when it is durable and learned."""
        report = Report(feedback, Ticket())
        refusal = StoreError(self._closed) if self._closed else self._queue.refusal(feedback, self.trouble)
        if refusal is not None:
            report.ticket.set_exception(refusal)
            return report.ticket
        self._queue.reports.append(report)
        self._stir(urgent=PAGING not in feedback.values)
        if self._ended:  # it came too late for the last group
            self._refuse_waiting(StoreError(self._closed or CLOSED))
        return report.ticket

    def flush(self) -> None:
        """Return when all that was queued is written; raise StoreError if it cannot be."""
        wait_for(self._flush())

    def stop(self, timeout: float = _EXIT_SECONDS) -> None:
        """Write and fold what is left, and end.

        Raises
        ------
        StoreError
            If decisions had to be given up, or the database does not answer in time.
        """
        self._end_soon()
        thread = self._thread
        if thread is None or thread is threading.current_thread():  # the latter is collected as garbage: it ends itself
            return
        thread.join(timeout)
        if not thread.ended:
            self._refuse_waiting(unknown_outcome(timeout))
            raise unknown_outcome(timeout)
        self._refuse_waiting(StoreError(CLOSED))
        self._queue.gather()
        if self._queue.decisions or self._queue.states:
            raise StoreError(
                f"{len(self._queue.decisions)} decisions and {len(self._queue.states)} pieces of state could not be "
                f"recorded: {self.trouble}"
            )

    def let_go(self) -> None:
        """Let the thread write and fold what is left, and end, as the store was collected as garbage.

        That may happen in any thread, and in the middle of anything. So it waits a moment at most, and never in the
        thread of a writer, which may hold what the other one waits for.
        """
        self._end_soon()
        thread, writers = self._thread, [writer._thread for writer in list(_writers)]
        if thread is not None and threading.current_thread() not in writers:
            thread.join(_COLLECTED_SECONDS)

    def _end_soon(self) -> None:
        self._closed = self._closed or CLOSED
        if self._thread is not None:  # else this is a forked child that has used nothing
            self._stir(urgent=True)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call ``subscriber`` from now on. It is not kept alive: a router that is dropped can be collected."""
        self._subscriber = weakref.ref(subscriber)

    def pause_before_fork(self) -> None:
        """Write what is queued, and close the connection: SQLite's locks do not survive in a child that copies it."""
        thread = self._thread
        if self._ended or thread is None or thread is threading.current_thread() or thread.ended:
            return
        pause = self._pause = _Pause()
        self._stir(urgent=True)
        pause.reached.wait(_FORK_SECONDS)

    def resume_after_fork(self) -> None:
        """Go on in the parent."""
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.over.set_result(None)

    def begin_after_fork(self) -> None:
        """Go on in a child process, with queues, a thread and a connection of its own."""
        self._session.abandon_after_fork()
        self._trouble = None
        self._thread = None
        self._begin()

    def _flush(self) -> Promise[None]:
        done: Promise[None] = Promise()
        self._queue.flushes.append(done)
        self._stir(urgent=True)
        if self._ended:
            self._queue.finish_flushes(None)
        return done

    def _stir(self, *, urgent: bool = False) -> None:
        """Wake the thread; once for each group, as that costs more than all the rest."""
        if urgent or not self._awake:
            self._awake = True
            self._wake.put(urgent)
        if self._thread is None:
            self._thread = self._start()
        elif self._thread.ended and self._closed is None:
            _logger.error("the thread that writes has ended; another takes its place")
            self._thread = self._start()

    def _overflow(self, what: str) -> None:
        if not self._overflows:
            self._overflows = True
            _logger.error("%s: %s", what, self.trouble or "the database is too slow")

    def _run(self) -> None:
        closed = None
        while closed is None:
            stirred = self.sleep_until_stirred(max(0.0, self._look_at - time.monotonic()))
            closed = self._closed  # read first: what is queued after it is refused
            try:
                self._busy_since = time.monotonic()
                self._write_group()
                if self._trouble is None:
                    self._fold_pending(FOLD_AT_ONCE if stirred else FOLD_AT, last=closed is not None)
                    if closed is None and time.monotonic() >= self._look_at:
                        self._look_at = self._look()
            except BaseException as error:  # a subscriber's, or the interpreter's: the thread must survive it
                self._session.close()
                _logger.error("a group could not be written: %r", error, exc_info=error)
                self._refuse_waiting(StoreError(f"the store failed: {error!r}; report it again"))
            finally:
                self._busy_since = None
            pause = self._pause
            if pause is not None:
                self._session.close()
                pause.reached.set_result(None)
                pause.over.wait(_FORK_SECONDS)
        self._session.end()
        self._ended = True
        self._refuse_waiting(StoreError(CLOSED))

    def sleep_until_stirred(self, seconds: float) -> bool:
        """Wait for something to do, then for more to write with it; return whether there is something."""
        try:
            urgent = self._wake.get(timeout=seconds)
        except Empty:
            return False
        if self._trouble is not None:
            time.sleep(_PROBE_SECONDS)
        by = time.monotonic() + (self._linger_seconds if self._trouble is None else _RETRY_SECONDS)
        with suppress(Empty):
            while not urgent:
                urgent = self._wake.get(timeout=max(0.0, by - time.monotonic()))
        self._awake = False
        with suppress(Empty):
            while True:
                self._wake.get_nowait()
        return True

    def _write_group(self) -> None:
        queue = self._queue
        reports, flushes = list(taken(queue.reports)), list(taken(queue.flushes))
        decisions, arms = list(queue.decisions.values()), queue.arms
        queue.gather()
        if not (reports or flushes or decisions or queue.states or queue.totals or arms or self._trouble):
            return
        failure: Exception | None = None
        try:
            if self._session.rejoin():
                self._look_at = 0.0
            if self._trouble is not None:
                self._session.probe()  # first, and alone: what waits is not sent in vain
            if arms is not None:
                self._session.set_arms(arms)
                if queue.arms is arms:  # and not newer ones by now
                    queue.arms = None
            self._commit(decisions, reports)
        except BaseException as error:
            failure = error if isinstance(error, StoreError) else StoreError(f"the store failed: {error!r}")
            self._session.close()
            if self._trouble is None:
                _logger.error("the store cannot be written; decisions are kept and tried again: %s", failure)
            self._trouble = str(failure)
            self._stir()
        else:
            self._trouble = None
            self._overflows = False
            queue.count_prompts()
        for report in reports:
            if failure is not None and not report.ticket.done():
                report.ticket.set_exception(failure)
        finish(flushes, failure)

    def _listener(self) -> Subscriber | None:
        return None if self._subscriber is None else self._subscriber()

    def _commit(self, decisions: Sequence[tuple[Decision, str | None]], reports: Sequence[Report]) -> None:
        """Write a group as one transaction, with the state and totals that are queued, then learn from it.

        Where a value is at fault that no database can hold, the group is halved until that one is found and
        refused: it must not take the others with it.
        """
        states, totals = self._queue.take_states()
        try:
            parts = [report.feedback for report in reports]
            results, sums = self._session.add(decisions, states, totals, parts)
        except BaseException as error:
            self._queue.put_back(states, totals)
            if not isinstance(error, Exception) or not self._is_of_one(error):
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
        for made, _ in decisions:
            self._queue.remove_written(made.id)
        subscriber = self._listener()
        if subscriber is not None:
            for (budget, period), added in totals.items():
                subscriber.on_total(budget, sums[budget, period], added)
        self._acknowledge(reports, results, subscriber)

    def _is_of_one(self, error: Exception) -> bool:
        """Return whether a group failed for one of its parts, and not for the state of the database."""
        return isinstance(error, DamagedRowError) or self._database.blames_data(error)

    def _acknowledge(
        self,
        reports: Sequence[Report],
        results: Sequence[Recorded | Acknowledgement | Exception],
        subscriber: Subscriber | None,
    ) -> None:
        """Hand what is recorded to the subscriber, then tell those who wait for it."""
        self._session.check_place()
        for report, result in zip(reports, results, strict=True):
            answer: Recorded | Acknowledgement | BaseException = result
            if isinstance(answer, Recorded):
                try:
                    if subscriber is not None:
                        subscriber.on_recorded(answer)
                    answer = "accepted"
                except BaseException as error:  # the caller's: it must see it, and the thread must survive it
                    answer = error
            if isinstance(answer, BaseException):
                report.ticket.set_exception(answer)
            else:
                report.ticket.set_result(answer)

    def _refuse(
        self, decisions: Sequence[tuple[Decision, str | None]], reports: Sequence[Report], error: BaseException
    ) -> None:
        for decision, _ in decisions:
            self._queue.remove_unwritable(decision.id)
            _logger.error("decision %s has a value that cannot be stored and is dropped: %r", decision.id, error)
        for report in reports:
            report.ticket.set_exception(
                error
                if isinstance(error, DamagedRowError)
                else StoreError(f"{report.feedback} has a value that cannot be stored ({error}); nothing was recorded")
            )

    def _refuse_waiting(self, error: Exception) -> None:
        """Tell all who wait that nothing more will come."""
        self._queue.refuse_reports(error)
        self._queue.finish_flushes(None if self._closed is not None else error)

    def _fold_pending(self, worth: int, *, last: bool) -> None:
        """Fold if it is time to; a failure is logged once, and tried again later."""
        outcomes, now = self._session.outcomes, time.monotonic()
        if not outcomes:
            self._fold_by = now + FOLD_SECONDS
        due = outcomes >= worth or (outcomes and (last or now >= self._fold_by))
        if not due or (now < self._fold_again and not last):
            return
        try:
            self._session.fold(wait=last, always=last or self._subscriber is None)
        except Exception:
            self._session.close()
            if self._fold_again == 0.0:
                _logger.exception("feedback is recorded and learned, but cannot be folded; tried again later")
            self._fold_again = now + _RETRY_SECONDS
        else:
            self._fold_again = 0.0
        self._fold_by = now + FOLD_SECONDS

    def _with_queued(self, state: StoredState) -> StoredState:
        """Return what is remembered, with the pieces of state that are yet to be recorded."""
        self._queue.gather()
        queued = {
            name: put.after(Put(state.states[name], None) if name in state.states else None).blob
            for name, put in self._queue.states.items()
        }
        return replace(state, states={**state.states, **queued})

    def _look(self) -> float:
        """See what other processes did; return when to look again."""
        begin = time.thread_time()
        subscriber = self._listener()
        try:
            if subscriber is not None:
                self._session.notice(lambda state: subscriber.on_changed(self._with_queued(state)))
                if isinstance(subscriber, SessionSubscriber) and subscriber.follows_sessions:
                    subscriber.on_turns(self._session.new_turns())
                if isinstance(subscriber, StateSubscriber) and (names := subscriber.followed_states):
                    subscriber.on_states(self._session.read_states(names))
        except EpochReplacedError as error:
            _logger.error("%s", error)
            self._trouble = str(error)
            self._stir(urgent=True)  # the next group begins again
        except Exception:
            self._session.close()
            if not self._looks_in_vain:
                _logger.exception("what other processes learn cannot be seen; tried again")
            self._looks_in_vain = True
        else:
            self._looks_in_vain = False
        # To learn all again must not become all that this process does.
        return time.monotonic() + max(LOOK_SECONDS, 9.0 * (time.thread_time() - begin))


@atexit.register
def _at_exit() -> None:
    """Write what is left when the interpreter ends."""
    for writer in list(_writers):
        if not writer.ended:
            writer.stop()


def _before_fork() -> None:
    for writer in list(_writers):
        writer.pause_before_fork()


def _after_fork_in_parent() -> None:
    for writer in list(_writers):
        writer.resume_after_fork()


def _after_fork_in_child() -> None:
    for writer in list(_writers):
        writer.begin_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
