"""SQLStore when the database is locked, full, read-only, damaged, or not its own."""

from __future__ import annotations

import dataclasses
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlalchemy import Engine
from sqlalchemy import event as events

from banditroute.errors import IncompatibleStoreError, StoreError, UnknownDecisionError
from banditroute.store import SQLStore
from banditroute.store.sql import write_queue
from banditroute.store.sql.schema import REVISION
from banditroute.testing.samples import decision, event, feedback, fold, listen, remembered, summed

Until: TypeAlias = Callable[[Callable[[], bool]], None]


def open_store(url: str | Path) -> SQLStore:
    store = SQLStore(url if isinstance(url, str) else f"sqlite:///{url}?timeout=0.05")
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    return store


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_decision_does_not_wait_for_a_locked_database(path: Path) -> None:
    store = open_store(f"sqlite:///{path}?timeout=30")
    with locked(path):
        begin = time.monotonic()
        for number in range(1000):
            store.add_decision(decision(number))
        assert time.monotonic() - begin < 5.0
        time.sleep(0.1)  # the writer waits for the lock by now
        begin = time.monotonic()
        store.add_decision(decision(1000))
        assert time.monotonic() - begin < 5.0
    store.flush()
    store.close()
    assert store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold).decisions == 1001
    store.close()


def test_feedback_fails_and_decisions_wait_while_the_database_is_locked(
    path: Path, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    store = open_store(path)
    listener = listen(store)
    with caplog.at_level(logging.ERROR), locked(path):
        store.add_decision(decision(1))
        for _ in range(2):
            with pytest.raises(StoreError, match="locked; another process"):
                store.add_feedback(feedback(1, quality=1.0)).result(30)
        with pytest.raises(StoreError, match="another process"):
            store.flush()
        assert store.trouble is not None
        assert "another process" in store.trouble
    assert len(caplog.records) == 1
    until(lambda: store.trouble is None)  # it tries again by itself
    assert listener.events == []
    store.add_feedback(feedback(1, quality=1.0)).result(30)
    assert len(listener.events) == 1
    assert store.dropped == 0
    store.close()


def test_the_oldest_decisions_are_dropped_beyond_the_bound(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(write_queue, "MAX_QUEUED_DECISIONS", 10)
    store = open_store(f"sqlite:///{path}?timeout=30")
    with caplog.at_level(logging.ERROR), locked(path):
        for number in range(15):
            store.add_decision(decision(number))
        assert store.dropped == 5
        assert store.trouble is not None
    assert len(caplog.records) == 1
    until(lambda: store.trouble is None)
    # A dropped one may be written all the same: the writer may have held it already.
    store.add_feedback(feedback(14, quality=1.0)).result(30)
    store.close()
    assert store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold).decisions >= 10
    store.close()


def test_a_dropped_decision_is_unknown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_queue, "MAX_QUEUED_DECISIONS", 1)
    store = open_store(path)
    with locked(path):
        store.add_decision(decision(1))
        with pytest.raises(StoreError):
            store.flush()
        store.add_decision(decision(2))
    with pytest.raises(UnknownDecisionError):
        store.add_feedback(feedback(1, quality=1.0)).result(30)
    store.add_feedback(feedback(2, quality=1.0)).result(30)
    store.close()


def test_closing_tells_of_decisions_that_could_not_be_written(path: Path) -> None:
    store = open_store(path)
    store.add_decision(decision(1))
    store.flush()
    with locked(path):
        store.add_decision(decision(2))
        with pytest.raises(StoreError, match="1 decisions and 0 pieces of state could not"):
            store.close()
    store.close()
    assert store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold).decisions == 1
    store.close()


def test_a_full_disk_fails_feedback_until_there_is_room(path: Path) -> None:
    def fill(connection: sqlite3.Connection, record: object) -> None:
        connection.execute("PRAGMA max_page_count=1")  # as many as there are

    store = open_store(path)
    store.add_decision(decision(1))
    store.flush()
    store.close()
    events.listen(Engine, "connect", fill)
    try:
        store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
        store.add_decision(decision(2), prompt="long" * 10_000)
        with pytest.raises(StoreError, match="free some space"):
            store.add_feedback(feedback(2, quality=1.0)).result(30)
        assert store.trouble is not None
    finally:
        events.remove(Engine, "connect", fill)
    store.add_feedback(feedback(2, quality=1.0)).result(30)
    assert store.trouble is None
    store.close()


def test_a_value_that_cannot_be_stored_takes_no_other_with_it(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = open_store(path)
    listener = listen(store)
    for number in range(5):
        made = decision(number)
        store.add_decision(dataclasses.replace(made, input_tokens=2**70) if number == 3 else made)
    nothing = dataclasses.replace(feedback(2, quality=1.0), values={"quality": None})
    tickets = [
        store.add_feedback(part)
        for part in (feedback(1, quality=1.0), nothing, feedback(3, quality=1.0), feedback(4, quality=1.0))
    ]
    tickets[0].result(30)
    tickets[3].result(30)
    with pytest.raises(StoreError, match="cannot be stored"):
        tickets[1].result(30)
    with pytest.raises(UnknownDecisionError):
        tickets[2].result(30)
    assert store.trouble is None
    assert store.dropped == 1
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    store.close()
    memory = store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    assert memory.decisions == 4
    assert remembered(memory) == summed(listener.events) == summed([event(1, quality=1.0), event(4, quality=1.0)])
    store.close()


def test_a_read_only_database_is_refused(path: Path) -> None:
    open_store(path).close()
    with pytest.raises(StoreError, match=r"readonly.*writable"):
        open_store(f"sqlite:///file:{path}?mode=ro&uri=true")


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="directory exists"):
        open_store(tmp_path / "missing" / "store.db")


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    text = b"name,arm\n" * 1000
    path.write_bytes(text)
    with pytest.raises(IncompatibleStoreError, match="no SQLite database"):
        open_store(path)
    assert path.read_bytes() == text


def test_database_of_another_application_is_refused_and_left_alone(path: Path) -> None:
    change(path, "CREATE TABLE users (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(IncompatibleStoreError, match=r"another application.*users.*a file of its own"):
        open_store(path)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(path: Path) -> None:
    open_store(path).close()
    change(path, "UPDATE banditroute_alembic_version SET version_num = '0999'")
    with pytest.raises(IncompatibleStoreError, match=f"'0999'.*{REVISION!r}.*pip install --upgrade"):
        open_store(path)


def test_damaged_pages_are_refused(path: Path) -> None:
    store = open_store(path)
    for number in range(200):
        store.add_decision(decision(number))
    store.close()
    content = bytearray(path.read_bytes())
    content[100 : len(content)] = b"\xa5" * (len(content) - 100)  # all but the header
    path.write_bytes(content)
    with pytest.raises(IncompatibleStoreError, match="damaged"):
        open_store(path)


def test_damaged_statistics_are_refused(path: Path) -> None:
    store = open_store(path)
    for number in range(4):
        store.add_decision(decision(number, arm="ab"[number % 2]))
        store.add_feedback(feedback(number, quality=1.0)).result(30)
    store.add_decision(decision(9, x=None))
    store.add_feedback(feedback(9, quality=1.0)).result(30)
    store.close()
    change(path, "UPDATE banditroute_statistics SET blob = CAST('x' AS BLOB) WHERE arm = 'b'")
    with pytest.raises(IncompatibleStoreError, match="arm 'b' are damaged"):
        open_store(path)


def test_a_store_that_could_not_be_opened_is_closed(path: Path) -> None:
    path.write_bytes(b"no database" * 100)
    store = SQLStore(f"sqlite:///{path}")
    with pytest.raises(StoreError):
        store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    assert store.trouble is not None
    path.unlink()
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    store.close()
