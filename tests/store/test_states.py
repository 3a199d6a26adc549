"""Every store against a model that is a dict, in any sequence of what a router may do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Connection

from banditroute.errors import ConflictingFeedbackError, UnknownDecisionError
from banditroute.store import Event, Learn, MemoryStore, SQLStore, Store, inspection, retention, upkeep, writer
from banditroute.store.database import database_at, parse
from banditroute.testing.samples import decision, feedback, fold, remembered, summed
from benchmarks.server import Server

objectives = st.sampled_from(["quality", "cost_usd"])
outcomes = st.dictionaries(objectives, st.integers(0, 2).map(float), min_size=1)
versions = st.sampled_from(["1", "2"])


class StoreMachine(RuleBasedStateMachine):
    """Decisions and feedback in any order, on a store that is closed and opened at any time."""

    numbers = Bundle("numbers")

    def __init__(self) -> None:
        super().__init__()
        self.version = "1"
        self.made: dict[int, tuple[str, bool]] = {}  # decision -> its features version, whether it has a context
        self.recorded: dict[int, dict[str, float]] = {}
        self.pruned: set[int] = set()
        self.decided = 0
        self.learned: list[Event] = []
        self.expected: list[Event] = []

    def make_store(self) -> Store:
        return MemoryStore()

    @initialize()
    def open(self) -> None:
        self.store = self.make_store()
        self.open_version("1")

    def open_version(self, version: str) -> None:
        self.version = version
        memory = self.store.open(router="r", arms=(), features_version=version, dimension=3, fold=fold)
        mine = [number for number, (made_in, _) in self.made.items() if made_in == version]
        assert memory.decisions == len(mine)
        assert memory.feedback == sum(number in self.recorded for number in mine)
        assert remembered(memory) == summed(
            event for number in mine if number in self.recorded for event in self.event(number, self.recorded[number])
        )

    def event(self, number: int, values: dict[str, float]) -> list[Event]:
        made = self.decision(number)
        if made.x is None:
            return []
        return [Event(arm=made.arm, x=made.x, values=values, decided_at=made.decided_at, ordinal=made.ordinal)]

    def decision(self, number: int):  # type: ignore[no-untyped-def]
        arm = "ab"[number % 2]
        return decision(number, arm=arm) if self.made[number][1] else decision(number, arm=arm, x=None)

    @rule(target=numbers, context=st.integers(0, 4).map(bool))
    def decide(self, context: bool) -> int:
        number = self.decided
        self.decided += 1
        self.made[number] = (self.version, context)
        self.store.add_decision(self.decision(number))
        return number

    @rule(number=numbers, values=outcomes)
    def report(self, number: int, values: dict[str, float]) -> None:
        self.report_to(self.store, number, values, self.learned.append)

    def report_to(self, store: Store, number: int, values: dict[str, float], learn: Learn) -> None:
        known = self.recorded.get(number, {})
        ticket = store.add_feedback(feedback(number, **values), learn)
        if number not in self.made or number in self.pruned:
            with pytest.raises(UnknownDecisionError):
                ticket.result(30)
            return
        if any(known.get(objective, value) != value for objective, value in values.items()):
            with pytest.raises(ConflictingFeedbackError):
                ticket.result(30)
            return
        ticket.result(30)
        new = {objective: value for objective, value in values.items() if objective not in known}
        self.recorded[number] = {**known, **new}
        if new and self.made[number][0] == self.version and store is self.store:
            self.expected += self.event(number, new)

    @rule(number=numbers)
    def report_again(self, number: int) -> None:
        if number in self.recorded and number not in self.pruned:
            self.store.add_feedback(feedback(number, **self.recorded[number]), self.learned.append).result(30)

    @rule()
    def report_unknown(self) -> None:
        ticket = self.store.add_feedback(feedback(10_000, quality=1.0), self.learned.append)
        with pytest.raises(UnknownDecisionError):
            ticket.result(30)

    @rule()
    def flush(self) -> None:
        self.store.flush()

    @rule(version=versions)
    def reopen(self, version: str) -> None:
        self.store.close()
        self.open_version(version)

    @invariant()
    def learned_is_what_was_new(self) -> None:
        assert summed(self.learned) == summed(self.expected)
        assert len(self.learned) == len(self.expected)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.open_version(self.version)
            self.store.close()


class SQLStoreMachine(StoreMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()

    def make_store(self) -> SQLStore:
        return SQLStore(self.url())

    def url(self) -> str:
        return f"sqlite:///{Path(self.directory.name) / 'store.db'}"

    def write(self, transaction: Callable[[Connection], None]) -> None:
        """What ``Records`` does, with the fold of this test."""
        self.store.flush()  # a decision that is not written yet cannot be changed
        database = database_at(parse(self.url()))

        def attempt() -> None:
            with database.engine.connect() as connection, database.writing(connection):
                transaction(connection)

        database.retried(attempt, between=lambda: None)

    @contextmanager
    def another(self) -> Iterator[SQLStore]:
        """Another process, as it were."""
        self.store.flush()
        store = self.make_store()
        store.open(router="r", arms=(), features_version=self.version, dimension=3, fold=fold)
        yield store
        store.close()

    @rule()
    def fold_elsewhere(self) -> None:
        with self.another():
            pass

    @rule(number=StoreMachine.numbers, values=outcomes)
    def report_elsewhere(self, number: int, values: dict[str, float]) -> None:
        with self.another() as store:
            self.report_to(store, number, values, lambda event: None)

    @rule(number=StoreMachine.numbers, value=st.integers(0, 9).map(float))
    def correct(self, number: int, value: float) -> None:
        if number in self.recorded and number not in self.pruned:
            values = {next(iter(self.recorded[number])): value}
            self.write(lambda connection: upkeep.correct(connection, fold, f"{number:032x}", values))
            self.recorded[number].update(values)

    @rule(number=StoreMachine.numbers)
    def erase(self, number: int) -> None:
        if number not in self.pruned:
            self.write(lambda connection: upkeep.erase_decisions(connection, fold, [f"{number:032x}"]))
            self.made.pop(number, None)
            self.recorded.pop(number, None)

    @rule(answered=st.booleans())
    def prune(self, answered: bool) -> None:
        def prune(connection: Connection) -> None:
            for epoch in inspection.epoch_ids(connection, "r"):
                ids = retention.old_decisions(connection, epoch, before=1e9, answered=answered, limit=100)
                upkeep.move_to_base(connection, epoch, fold, ids)
                self.pruned.update(int(id, 16) for id in ids)

        self.write(prune)

    @rule()
    def rebuild(self) -> None:
        def rebuild(connection: Connection) -> None:
            for epoch in inspection.epoch_ids(connection, "r"):
                upkeep.rebuild(connection, epoch, fold)

        self.write(rebuild)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self.directory.cleanup()


class PostgreSQLStoreMachine(SQLStoreMachine):
    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.place = self.server.database()

    def url(self) -> str:
        return self.place


class TestMemoryStoreStates(StoreMachine.TestCase):  # type: ignore[name-defined, misc]
    settings = settings(max_examples=100, deadline=None)


# BANDITROUTE_PROGRAMS=10000 runs as many programs of 50 steps.
_PROGRAMS = settings(
    max_examples=int(os.environ.get("BANDITROUTE_PROGRAMS", "200")),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class TestSQLStoreStates(SQLStoreMachine.TestCase):  # type: ignore[name-defined, misc]
    settings = _PROGRAMS

    @pytest.fixture(autouse=True)
    def _fold_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writer, "FOLD_AT_ONCE", 3)


class TestPostgreSQLStoreStates(PostgreSQLStoreMachine.TestCase):  # type: ignore[name-defined, misc]
    settings = settings(_PROGRAMS, max_examples=_PROGRAMS.max_examples // 10)

    @pytest.fixture(autouse=True)
    def _fold_often(self, monkeypatch: pytest.MonkeyPatch, postgresql: Server) -> None:
        monkeypatch.setattr(writer, "FOLD_AT_ONCE", 3)
        monkeypatch.setattr(PostgreSQLStoreMachine, "server", postgresql, raising=False)
