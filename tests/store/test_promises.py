"""The promises of a store on disk under attack: nothing acknowledged is lost, and nothing waits without end."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from banditroute.core.shared_total import SharedTotal
from banditroute.errors import StoreError, UnknownDecisionError
from banditroute.router import Router
from banditroute.store import Recorded, SQLStore
from banditroute.store.sql import ticket, write_queue, writer
from banditroute.store.sql.database import Database, database_at, parse
from banditroute.testing.samples import Listener, decision, feedback, fold, listen, remembered
from tests.support import Interrupted, interrupting_at, wait_until

Until: TypeAlias = Callable[[Callable[[], bool]], None]


def opened(url: str, **options: object) -> SQLStore:
    store = SQLStore(url, **options)  # type: ignore[arg-type]
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    return store


def writing_threads() -> set[threading.Thread]:
    """Return the threads of all stores that write."""
    return {thread for thread in threading.enumerate() if thread.name == "banditroute-store"}


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements in one transaction; return the rows of the last."""
    database = database_at(parse(url))
    with database.engine.connect() as connection, database.writing(connection):
        for statement in statements:
            result = connection.execute(text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Keep everybody else from writing, without an error."""
    database = database_at(parse(url))
    with database.engine.connect() as connection, database.writing(connection):
        if not url.startswith("sqlite"):
            connection.execute(text("LOCK TABLE banditroute_epoch, banditroute_decision IN EXCLUSIVE MODE"))
        yield


EMPTY = [
    f"DELETE FROM banditroute_{table}"
    for table in ("feedback", "orphan", "decision", "statistics", "snapshot", "epoch", "arm", "state", "tally")
]


class TestAcknowledged:
    def test_feedback_for_a_dropped_decision_is_refused_at_once(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(write_queue, "MAX_QUEUED_DECISIONS", 10)
        store = opened(url)
        with locked(url):
            for number in range(30):
                store.add_decision(decision(number))
            assert store.dropped > 0
            with pytest.raises(UnknownDecisionError, match="was dropped"):
                store.add_feedback(feedback(0, quality=1.0)).result(1)
        store.flush()
        assert store.add_feedback(feedback(29, quality=1.0)).result(30) == "accepted"
        store.close()

    def test_an_emptied_database_is_noticed_and_begun_again(self, url: str, until: Until) -> None:
        store = opened(url)
        listener = listen(store)
        for number in range(5):
            store.add_decision(decision(number))
            store.add_feedback(feedback(number, quality=1.0)).result(30)
        execute(url, *EMPTY)
        accepted = []
        for number in range(5, 40):
            store.add_decision(decision(number))
            try:
                store.add_feedback(feedback(number, quality=1.0)).result(30)
                accepted.append(number)
            except StoreError as error:
                assert "emptied, restored or exchanged" in str(error)  # noqa: PT017
        assert len(accepted) > 30
        until(lambda: store.trouble is None and bool(listener.changes))
        store.close()
        held = {row[0] for row in execute(url, "SELECT decision_id FROM banditroute_feedback")}
        assert held == {f"{number:032x}" for number in accepted}

    def test_the_epoch_of_another_router_is_never_written_to(self, url: str) -> None:
        store = opened(url)
        store.add_decision(decision(1))
        store.flush()
        execute(url, *EMPTY)
        execute(url, "DELETE FROM banditroute_epoch")
        other = SQLStore(url)
        other.open(router="other", arms=(), features_version="9", dimension=9, fold=fold)
        execute(url, "UPDATE banditroute_epoch SET id = 1")  # the number that the first router wrote to
        for number in range(2, 9):
            store.add_decision(decision(number))
            try:
                store.add_feedback(feedback(number, quality=1.0)).result(30)
            except StoreError:
                continue
        store.close()
        other.close()
        assert execute(url, "SELECT count(*) FROM banditroute_decision WHERE epoch_id = 1") == [(0,)]
        assert execute(url, "SELECT count(*) FROM banditroute_decision WHERE epoch_id > 1")[0][0] > 5  # type: ignore[operator]

    def test_a_replaced_database_is_refused_where_that_is_asked_for(self, url: str) -> None:
        store = opened(url, when_replaced="refuse")
        store.add_decision(decision(1))
        store.flush()
        execute(url, *EMPTY)
        for _ in range(3):
            with pytest.raises(StoreError, match="open it again where that is meant"):
                store.add_feedback(feedback(1, quality=1.0)).result(30)
        store.add_decision(decision(2))
        with pytest.raises(StoreError, match="could not be recorded"):
            store.close()
        assert execute(url, "SELECT count(*) FROM banditroute_decision") == [(0,)]

    @pytest.mark.parametrize("attack", ["remove", "move", "replace", "remove log"])
    def test_a_file_that_is_removed_moved_or_replaced_is_noticed(self, path: Path, attack: str) -> None:
        url = f"sqlite:///{path}"
        store = opened(url)
        store.add_decision(decision(1))
        store.flush()
        backup = path.with_name("backup.db")
        if attack == "replace":
            other = opened(f"sqlite:///{backup}")
            other.close()
            shutil.move(backup, path)
        elif attack == "move":
            path.rename(path.with_name("moved.db"))
        elif attack == "remove log":
            path.with_name(f"{path.name}-wal").unlink()
        else:
            path.unlink()
        accepted = []
        for number in range(2, 40):
            store.add_decision(decision(number))
            try:
                store.add_feedback(feedback(number, quality=1.0)).result(30)
                accepted.append(number)
            except StoreError as error:
                assert "removed, moved or replaced" in str(error)  # noqa: PT017
        assert len(accepted) > 30
        store.close()
        held = {row[0] for row in execute(url, "SELECT decision_id FROM banditroute_feedback")}
        assert held == {f"{number:032x}" for number in accepted}

    def test_a_commit_whose_answer_is_lost_counts_once(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        lost = []

        @contextmanager
        def forgetful(self: Database, connection):  # type: ignore[no-untyped-def]
            with original(self, connection):
                yield
            if threading.current_thread().name == "banditroute-store" and len(lost) < 5 and not len(lost) % 2:
                lost.append(True)
                raise OperationalError("COMMIT", None, Exception("cut"), connection_invalidated=True)
            lost.append(False)

        store = opened(url)
        listener = listen(store)
        original = Database.writing
        monkeypatch.setattr(Database, "writing", forgetful)
        monkeypatch.setattr(
            type(database_at(parse(url))), "passes", lambda self, error: getattr(error, "connection_invalidated", False)
        )
        for number in range(20):
            store.add_decision(decision(number))
            store.add_total("usd per request", SharedTotal(requests=1, spent=0.5))
            store.save_state("sum", b"x", lambda a, b: a + b)
            store.add_feedback(feedback(number, quality=1.0)).result(30)
        store.flush()
        assert sum(lost) >= 2
        assert len(listener.events) == 20
        assert sum(added.requests for _, _, added in listener.totals) == 20
        store.close()
        monkeypatch.undo()
        state = SQLStore(url).open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
        assert state.totals["usd per request"][0] == SharedTotal(0, 20, 10.0)
        assert state.states["sum"] == b"x" * 20
        assert remembered(state)["a"]["quality"][0] == 20


class TestCallersDoNotWait:
    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ticket, "ANSWER_SECONDS", 0.3)

    def test_callers_hear_that_the_outcome_is_unknown(self, url: str, until: Until) -> None:
        store = opened(url)
        with locked(url):
            store.add_decision(decision(1))
            waiting = store.add_feedback(feedback(1, quality=1.0))
            with pytest.raises(StoreError, match="outcome unknown"):
                waiting.result()
            with pytest.raises(StoreError, match="outcome unknown"):
                store.flush()
            assert "has not answered" in str(store.trouble)
        assert answer_to(waiting) == "accepted"  # the lock is gone
        assert store.trouble is None
        store.close()

    def test_closing_has_a_limit(self, url: str) -> None:
        store = opened(url)
        with locked(url):
            store.add_decision(decision(1))
            waiting = store.add_feedback(feedback(1, quality=1.0))
            begin = time.monotonic()
            with pytest.raises(StoreError, match="outcome unknown"):
                store.close(timeout=0.3)
            assert time.monotonic() - begin < 20.0
        with pytest.raises(StoreError, match="closed"):
            store.add_feedback(feedback(1, quality=1.0)).result(1)
        assert answer_to(waiting) == "accepted"  # it was under way, and the database answered after all

    def test_waiting_reports_are_bounded(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(write_queue, "MAX_QUEUED_REPORTS", 10)
        store = opened(url)
        store.add_decision(decision(1))
        store.flush()
        with locked(url):
            tickets = [store.add_feedback(feedback(1, quality=1.0)) for _ in range(60)]
            refused = [each for each in tickets if each.done()]
            assert len(refused) >= 30
            with pytest.raises(StoreError, match="more than 10 reports wait"):
                refused[-1].result(1)
        for each in tickets:
            if each not in refused:
                assert answer_to(each) == "accepted"
        store.close()

    def test_waiting_prompts_are_bounded_in_bytes(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(write_queue, "MAX_QUEUED_PROMPT_BYTES", 10_000)
        store = opened(url)
        with locked(url):
            for number in range(50):
                store.add_decision(decision(number), prompt="x" * 1_000)
        monkeypatch.setattr(ticket, "ANSWER_SECONDS", 30.0)
        store.close()
        rows = execute(url, "SELECT count(*), count(prompt) FROM banditroute_decision")
        assert rows[0][0] == 50
        assert 5 <= rows[0][1] <= 12  # type: ignore[operator]

    def test_waiting_parts_of_totals_are_summed(self) -> None:
        queue = write_queue.WriteQueue()

        def count() -> None:
            for number in range(2_000):
                queue.add_total(f"budget {number % 3}", SharedTotal(period=3, requests=1, spent=0.5))

        threads = [threading.Thread(target=count) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(queue.new_totals) < 2 * write_queue.MAX_QUEUED_TOTALS
        queue.gather()
        assert len(queue.totals) == 3
        assert sum(total.requests for total in queue.totals.values()) == 6_000
        assert sum(total.spent for total in queue.totals.values()) == 3_000.0

    def test_ids_that_were_dropped_are_remembered_up_to_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(write_queue, "MAX_QUEUED_DECISIONS", 10)
        monkeypatch.setattr(write_queue, "MAX_DROPPED_IDS", 5)
        queue = write_queue.WriteQueue()
        for number in range(50):
            queue.add_decision(decision(number), None)
        assert len(queue.dropped_ids) == 5
        assert isinstance(
            queue.refusal(feedback(39, quality=1.0), None), UnknownDecisionError
        )  # the last that was dropped


def answer_to(waiting: object) -> object:
    """Return the result of a ticket, without the limit of a caller."""
    return ticket.Ticket.result(waiting, 30.0)  # type: ignore[arg-type]


class TestThread:
    def test_a_subscriber_that_ends_the_thread_does_not(self, url: str) -> None:
        class Exits(Listener):
            def on_recorded(self, recorded: Recorded) -> None:
                raise SystemExit("no")

        store = opened(url)
        exits = Exits()
        store.subscribe(exits)
        store.add_decision(decision(1))
        with pytest.raises(SystemExit):
            store.add_feedback(feedback(1, quality=1.0)).result(30)
        listener = listen(store)
        store.add_feedback(feedback(1, cost_usd=1.0)).result(30)
        assert listener.values == [{"cost_usd": 1.0}]
        store.close()

    def test_a_caller_that_is_interrupted_at_any_instruction_of_its_wait_does_not_stop_it(self, url: str) -> None:
        store, instruction, interrupted = opened(url), 0, True
        listen(store)
        while interrupted:
            instruction += 1
            store.add_decision(decision(instruction))
            waiting = store.add_feedback(feedback(instruction, quality=1.0))
            try:
                with interrupting_at(instruction):
                    waiting.result(30)
                interrupted = False
            except Interrupted:
                wait_until(waiting.done)  # type: ignore[attr-defined]
        assert instruction > 20
        store.close()

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_dead_thread_is_replaced(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        before = writing_threads()
        store = opened(url)
        original = writer.Writer.sleep_until_stirred

        def dies(self: writer.Writer, seconds: float) -> bool:
            monkeypatch.setattr(writer.Writer, "sleep_until_stirred", original)
            raise SystemExit

        monkeypatch.setattr(writer.Writer, "sleep_until_stirred", dies)
        store.add_decision(decision(1))
        for thread in writing_threads() - before:
            thread.join(30)
        assert store.add_feedback(feedback(1, quality=1.0)).result(30) == "accepted"
        store.close()

    def test_a_store_that_is_dropped_is_collected_with_its_thread(self, url: str, until: Until) -> None:
        class Holds(Listener):
            store: SQLStore

        store = opened(url)
        listener = Holds()
        listener.store = store  # as a router does
        store.subscribe(listener)
        store.add_decision(decision(1))
        gone = weakref.ref(store)
        del store, listener

        def collected() -> bool:
            gc.collect()
            return gone() is None

        until(collected)
        assert execute(url, "SELECT count(*) FROM banditroute_decision") == [(1,)]


FORK = """
import dataclasses, os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from banditroute.core.feedback import Feedback
from banditroute.store import MemoryStore, SQLStore
from banditroute.testing.samples import decision, fold, listen
url, children = sys.argv[1], int(sys.argv[2])
store = MemoryStore() if url == "memory" else SQLStore(url)
store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
listener = listen(store)

def serve(session):
    id = f"{int(time.time() * 1000):012x}{os.urandom(10).hex()}"
    store.add_decision(dataclasses.replace(decision(1), id=id, session=session))
    ticket = store.add_feedback(Feedback(decision_id=id, values={"quality": 1.0}, received_at=time.time()))
    assert ticket.result(60) == "accepted"

def work():
    while not stop:
        serve("parent")

stop = False
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
pids = []
for _ in range(children):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for _ in range(5):
                serve("child")
            store.close()
            code = 0
        finally:
            os._exit(code)
    pids.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
stop = True
for thread in threads:
    thread.join()
store.close()
print(sum(code == 0 for code in codes), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
class TestFork:
    def test_children_of_a_busy_parent_record_by_themselves(self, url: str) -> None:
        done = subprocess.run([sys.executable, "-c", FORK, url, "6"], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout.strip()) == (0, "6"), done.stderr[-3000:]
        own = "SELECT count(*) FROM banditroute_decision WHERE session = 'child'"
        assert execute(url, own) == [(30,)]

    def test_the_lock_of_a_memory_store_is_free_in_a_child(self) -> None:
        done = subprocess.run([sys.executable, "-c", FORK, "memory", "10"], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout.strip()) == (0, "10"), done.stderr[-3000:]


SIGNALS = """
import os, signal, sys, threading, time
from banditroute.core.shared_total import SharedTotal
from banditroute.store import SQLStore
from banditroute.testing.samples import decision, feedback, fold, listen
store = SQLStore(sys.argv[1])
store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
listener = listen(store)
number = 0
done = 0
def handler(*_):
    global done
    store.add_decision(decision(1_000_000 + done))
    store.add_feedback(feedback(1_000_000 + done, quality=1.0)).result(20)
    done += 1
    signal.setitimer(signal.ITIMER_REAL, 0.005)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.005)
end = time.monotonic() + 3.0
while time.monotonic() < end:
    store.add_decision(decision(number))
    store.add_total("b", SharedTotal(requests=1))
    number += 1
    if number % 100 == 0:
        store.flush()
signal.setitimer(signal.ITIMER_REAL, 0)
store.close()
print(done, len(listener.events))
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
def test_a_signal_handler_may_report(url: str) -> None:
    done = subprocess.run([sys.executable, "-c", SIGNALS, url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]
    handled, learned = map(int, done.stdout.split())
    assert handled == learned > 10


def test_routers_dropped_without_close_leave_no_thread_and_lose_nothing(tmp_path):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    before, ids = threading.active_count(), []
    for number in range(8):
        router = Router(arms=["a", "b"], features=2, store=SQLStore(url), name=f"router {number}")
        ids.append(router.route([0.1, 0.2]).id)
        del router
    gc.collect()
    wait_until(lambda: threading.active_count() <= before)
    found = {str(row[0]) for row in execute(url, "SELECT id FROM banditroute_decision")}
    assert found == set(ids)


def test_writer_that_runs_is_not_replaced_after_a_signal_handler_raised(tmp_path, monkeypatch):
    """The standard library's ``is_alive`` may say then that a running thread has ended."""
    before = writing_threads()
    store = SQLStore(f"sqlite:///{tmp_path}/signals.db")
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    listen(store)
    store.add_decision(decision(0))
    (first,) = writing_threads() - before
    monkeypatch.setattr(first, "is_alive", lambda: False)
    store.add_decision(decision(1))
    store.flush()
    assert writing_threads() - before <= {first}
    store.close()
    first.join(30)
    assert first.ended
