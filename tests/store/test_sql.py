"""SQLStore: the contract on SQLite, and what is particular to it."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from banditroute.core.arm import Arm
from banditroute.errors import InvalidConfigurationError
from banditroute.store import OutcomeEvent, Recorded, SQLStore, Store
from banditroute.testing import StoreContract
from banditroute.testing.samples import Listener, decision, event, feedback, fold, listen, remembered, summed
from benchmarks.server import Server

Until: TypeAlias = Callable[[Callable[[], bool]], None]


class TestSQLStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path / 'store.db'}"

    def make_store(self) -> SQLStore:
        return SQLStore(self.url)

    def reopen(self, store: Store) -> Store:
        store.close()
        return SQLStore(self.url)


class TestSQLStoreOpenedAgain(TestSQLStore):
    """The same object, opened again by another router."""

    def reopen(self, store: Store) -> Store:
        store.close()
        return store


class TestSQLStoreOnPostgreSQL(TestSQLStore):
    """The same suite on a server."""

    @pytest.fixture(autouse=True)
    def _place(self, postgresql: Server) -> None:
        self.url = postgresql.database()


@pytest.fixture
def store(path: Path) -> Iterator[SQLStore]:
    store = SQLStore(f"sqlite:///{path}")
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    yield store
    store.close()


def query(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def test_decisions_are_written_without_being_asked_for(store: SQLStore, path: Path, until: Until) -> None:
    store.add_decision(decision(1))
    until(lambda: query(path, "SELECT arm FROM banditroute_decision") == [("a",)])


def test_feedback_does_not_linger(path: Path) -> None:
    store = SQLStore(f"sqlite:///{path}", linger_seconds=60.0)
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    store.add_decision(decision(1))
    store.add_feedback(feedback(1, quality=1.0)).result(30)
    store.close()


def test_feedback_is_on_disk_before_it_is_learned(store: SQLStore, path: Path) -> None:
    on_disk = []

    class Looks(Listener):
        def on_recorded(self, recorded: Recorded) -> None:
            on_disk.extend(query(path, "SELECT objective, value FROM banditroute_feedback"))

    store.subscribe(Looks())
    store.add_decision(decision(1))
    store.add_feedback(feedback(1, quality=0.5)).result(30)
    assert on_disk == [("quality", 0.5)]


def test_a_decision_is_stored_as_it_was_made(store: SQLStore, path: Path) -> None:
    made = decision(1, session="s", tags=("t", "ü"))
    store.add_decision(made, prompt="a prompt\x00 with \ud800")
    store.flush()
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM banditroute_decision").fetchone())
    assert np.frombuffer(row.pop("x"), "<f8").tolist() == [1.0, 1.0, 1.0]
    assert np.frombuffer(row.pop("probabilities"), "<f8").tolist() == [0.75, 0.25]
    assert [json.loads(row.pop(name)) for name in ("preference", "arms", "tags")] == [
        {"quality": 1.0},
        ["a", "not a"],
        ["t", "ü"],
    ]
    assert row == {
        "id": made.id,
        "epoch_id": 1,
        "decided_at": made.decided_at,
        "arm": "a",
        "propensity": 0.75,
        "reason": "policy",
        "policy": "a test",
        "session": "s",
        "input_tokens": None,
        "prompt": "a prompt\ufffd with ?",
        "ordinal": 1,
        "reserved": None,
    }


def test_no_prompt_is_stored_unless_it_is_given(store: SQLStore, path: Path) -> None:
    store.add_decision(decision(1))
    store.add_decision(decision(2), prompt="swordfish")
    store.flush()
    assert query(path, "SELECT prompt FROM banditroute_decision ORDER BY id") == [(None,), ("swordfish",)]


def test_the_log_is_ahead_of_the_file_and_synchronous(store: SQLStore, path: Path) -> None:
    from banditroute.store.sql import database

    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    with database.database_at(database.parse(f"sqlite:///{path}")).engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000


def test_feedback_is_folded_as_it_comes(store: SQLStore, path: Path, until: Until) -> None:
    for number in range(300):
        store.add_decision(decision(number))
        store.add_feedback(feedback(number, quality=1.0))
    store.flush()
    until(lambda: query(path, "SELECT count(*) >= 256 FROM banditroute_feedback WHERE folded_version = 1") == [(1,)])
    assert query(path, "SELECT id, version FROM banditroute_epoch") == [(1, 1)]
    store.close()
    assert query(path, "SELECT count(*) FROM banditroute_feedback WHERE folded_version IS NULL") == [(0,)]
    memory = store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    assert memory.pending == []
    assert remembered(memory) == summed(event(number, quality=1.0) for number in range(300))


def test_pending_reports_come_back_in_the_order_of_their_arrival(store: SQLStore, path: Path) -> None:
    order = [5, 3, 8, 1]
    for number in order:
        store.add_decision(decision(number))
    for number in order:
        store.add_feedback(feedback(number, quality=float(number), cost_usd=1.0)).result(30)
    other = SQLStore(f"sqlite:///{path}")
    memory = other.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    assert [dict(one.values) for one in memory.pending] == [
        {"quality": float(number), "cost_usd": 1.0} for number in order
    ]
    other.close()


def test_two_stores_on_one_file_fold_each_outcome_once(store: SQLStore, path: Path) -> None:
    other = SQLStore(f"sqlite:///{path}")
    other.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    listener = listen(store)
    other.subscribe(listener)
    tickets = []
    for number in range(700):
        one, two = (store, other) if number % 2 else (other, store)
        one.add_decision(decision(number, arm="ab"[number % 2]))
        one.flush() if number % 50 == 0 else None
        tickets.append(one.add_feedback(feedback(number, quality=1.0)))
        if number % 50 == 0:  # feedback may reach another process than the decision did
            tickets.append(two.add_feedback(feedback(number, cost_usd=1.0)))
    for ticket in tickets:
        ticket.result(30)
    store.close()
    other.close()
    memory = store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    assert len(listener.events) == 714
    assert remembered(memory) == summed(listener.events)


def test_a_failing_fold_loses_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(blob: bytes | None, events: Sequence[OutcomeEvent]) -> bytes:
        raise ZeroDivisionError("folding")

    store = SQLStore(f"sqlite:///{path}")
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fail)
    listener = listen(store)
    with caplog.at_level(logging.ERROR):
        for number in range(600):
            store.add_decision(decision(number))
            ticket = store.add_feedback(feedback(number, quality=1.0))
            if number % 100 == 0:
                ticket.result(30)
        store.flush()
        assert store.trouble is None
        store.close()
    assert len(caplog.records) == 1
    memory = store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    assert len(memory.pending) == 600
    store.close()
    memory = store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    assert memory.pending == []
    assert remembered(memory) == summed(listener.events)
    store.close()


def test_the_index_of_what_is_pending_is_used(store: SQLStore, path: Path) -> None:
    from banditroute.store.sql import database, folding, log

    engine = database.database_at(database.parse(f"sqlite:///{path}")).engine
    with engine.connect() as connection:
        pending = log.outcomes_with_decisions().where(folding.is_pending(1))
        statement = pending.compile(engine, compile_kwargs={"literal_binds": True})
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
    steps = [row[-1] for row in plan]
    assert "ix_banditroute_feedback_pending" in steps[0]
    assert not any("TEMP B-TREE" in step for step in steps), steps


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("routes.db", "sqlite:///routes.db"),
        (Path("/data/routes.db"), "sqlite:////data/routes.db"),
        ("sqlite://", "MemoryStore"),
        ("sqlite:///:memory:", "MemoryStore"),
        ("sqlite:///file:x?mode=memory&uri=true", "MemoryStore"),
        ("mysql://localhost/routes", "SQLite and PostgreSQL are"),
        ("://", "not a database URL"),
        (None, "give a database URL"),
    ],
)
def test_the_url_is_one_of_a_file(url: object, words: str) -> None:
    with pytest.raises(InvalidConfigurationError, match=words):
        SQLStore(url)  # type: ignore[arg-type]


@pytest.mark.parametrize("linger_seconds", [-1, float("nan"), True, "1", 61])
def test_lingering_is_bounded(linger_seconds: object) -> None:
    with pytest.raises(InvalidConfigurationError, match="linger_seconds"):
        SQLStore("sqlite:///x.db", linger_seconds=linger_seconds)  # type: ignore[arg-type]


def test_arms_are_recorded_with_their_prices_and_the_last_opening_says_which_are_active(path: Path) -> None:
    first = [Arm(name="kept", input_usd_per_million_tokens=1.0, output_usd_per_million_tokens=2.0), Arm(name="gone")]
    for arms in (first, [Arm(name="kept", input_usd_per_million_tokens=0.5, output_usd_per_million_tokens=2.0)]):
        store = SQLStore(f"sqlite:///{path}")
        store.open(router="r", arms=arms, features_version="1", dimension=3, fold=fold)
        store.close()
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name, active, input_usd_per_million_tokens FROM banditroute_arm ORDER BY name"
        )
        assert rows.fetchall() == [("gone", 0, None), ("kept", 1, 0.5)]
