"""Every store against a model that is a dict, in any sequence of what a router may do."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import click
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, select

from banditroute.core.arm import Arm
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.errors import ConflictingFeedbackError, UnknownDecisionError
from banditroute.store import (
    Fold,
    MemoryStore,
    OutcomeEvent,
    SQLStore,
    Store,
)
from banditroute.store.outcomes import PAGING
from banditroute.store.sql import database, inspection, log, maintenance, retention, writer
from banditroute.store.sql.schema import arm
from banditroute.testing.samples import Listener, decision, fold, remembered, summed
from benchmarks.server import Server

objectives = st.sampled_from(["quality", "cost_usd"])
outcomes = st.dictionaries(objectives, st.integers(0, 2).map(float), min_size=1)
versions = st.sampled_from(["1", "2"])
jumps = st.sampled_from([-1e6, -3_600.0, -1.0, 1.0, 3_600.0, 1e6])
ANY_STORE = {
    "route",
    "report",
    "part",
    "duplicate",
    "page",
    "conflict",
    "unknown",
    "restart",
    "clock jump",
    "add",
    "remove",
    "state",
}
SHARED = {"early", "late", "fold elsewhere", "report elsewhere", "correct", "erase", "prune", "rebuild"}


def folds(connection: Connection, epoch_id: int) -> Fold:
    return fold


def plus(earlier: bytes, later: bytes) -> bytes:
    return str(int(earlier) + int(later)).encode()


class StoreMachine(RuleBasedStateMachine):
    """Decisions and feedback in any order, on a store that is closed and opened at any time."""

    numbers = Bundle("numbers")
    hits: ClassVar[Counter[str]]  # what came to pass, over all programs
    keeps_early = False  # whether feedback may come before its decision

    def __init__(self) -> None:
        super().__init__()
        self.version = "1"
        self.now = 1.7e9
        self.arms = ["a", "b"]
        self.made: dict[int, tuple[str, Decision]] = {}  # with its features version
        self.ids: dict[int, str] = {}
        self.recorded: dict[int, dict[str, float]] = {}
        self.early: dict[int, dict[str, float]] = {}  # waiting for a decision that never comes (again)
        self.pruned: set[int] = set()
        self.sum = 0
        self.listener = Listener()
        self.expected: list[OutcomeEvent] = []

    def make_store(self) -> Store:
        return MemoryStore()

    def open_store(self, store: Store):  # type: ignore[no-untyped-def]
        arms = [Arm(name=name) for name in self.arms]
        return store.open(router="r", arms=arms, features_version=self.version, dimension=3, fold=fold)

    @initialize()
    def open(self) -> None:
        self.store = self.make_store()
        self.open_version("1")

    def open_version(self, version: str) -> None:
        self.version = version
        memory = self.open_store(self.store)
        self.store.subscribe(self.listener)
        assert memory.states == ({"sum": str(self.sum).encode()} if self.sum else {})
        mine = [number for number, (made_in, _) in self.made.items() if made_in == version]
        assert memory.decisions == len(mine)
        assert memory.feedback == sum(number in self.recorded for number in mine)
        assert remembered(memory) == summed(
            event for number in mine if number in self.recorded for event in self.event(number, self.recorded[number])
        )

    def event(self, number: int, values: dict[str, float]) -> list[OutcomeEvent]:
        made = self.made[number][1]
        if made.x is None:
            return []
        return [OutcomeEvent(arm=made.arm, x=made.x, values=values, decided_at=made.decided_at, ordinal=made.ordinal)]

    def new_id(self) -> int:
        number = len(self.ids)
        self.ids[number] = f"{int(self.now * 1000.0):012x}{number:020x}"
        return number

    def make(self, number: int, arm: int, context: bool) -> None:
        sample = decision(number, arm=self.arms[arm % len(self.arms)])
        x = sample.x if context else None
        made = replace(sample, id=self.ids[number], decided_at=self.now, x=x)
        self.made[number] = self.version, made
        self.store.add_decision(made)

    @rule(target=numbers, arm=st.integers(0, 2), context=st.integers(0, 4).map(bool))
    def decide(self, arm: int, context: bool) -> int:
        self.hits["route"] += 1
        number = self.new_id()
        self.make(number, arm, context)
        return number

    @rule(number=numbers, values=outcomes)
    def report(self, number: int, values: dict[str, float]) -> None:
        self.report_to(self.store, number, values)

    def report_to(self, store: Store, number: int, values: dict[str, float]) -> None:
        held = number in self.made and number not in self.pruned
        if not held and number in self.early and not self.is_now(number):
            return  # refused in one way or another: a process may remember a decision that is erased by now
        ticket = store.add_feedback(self.feedback(self.ids[number], values))
        where = self.recorded if held else self.early
        known = where.get(number, {})
        if not held and not (self.keeps_early and self.is_now(number)):
            self.hits["late" if number in self.pruned else "unknown"] += 1
            with pytest.raises(UnknownDecisionError):
                ticket.result(30)
            return
        if any(known.get(objective, value) != value for objective, value in values.items()):
            self.hits["conflict"] += 1
            with pytest.raises(ConflictingFeedbackError):
                ticket.result(30)
            return
        ticket.result(30)
        new = {objective: value for objective, value in values.items() if objective not in known}
        where[number] = {**known, **new}
        self.hits["duplicate" if not new else "part" if known else "report"] += 1
        if held and new and self.made[number][0] == self.version and store is self.store:
            self.expected += self.event(number, new)

    def feedback(self, id: str, values: dict[str, float]) -> Feedback:
        return Feedback(decision_id=id, values=values, received_at=self.now)

    def is_now(self, number: int) -> bool:
        return abs(self.now - int(self.ids[number][:12], 16) / 1000.0) <= log.ORPHAN_SECONDS

    @rule(number=numbers)
    def report_again(self, number: int) -> None:
        if number in self.recorded and number not in self.pruned:
            self.report_to(self.store, number, self.recorded[number])

    @rule(number=numbers, values=outcomes)
    def report_late(self, number: int, values: dict[str, float]) -> None:
        self.now += 3_600.0
        self.report(number, values)

    @rule(number=numbers, seconds=st.integers(0, 2).map(float))
    def page(self, number: int, seconds: float) -> None:
        """What paging took, of whichever decision: the model knows nothing of it."""
        ticket = self.store.add_feedback(self.feedback(self.ids[number], {PAGING: seconds}))
        with suppress(UnknownDecisionError):
            ticket.result(30)
            self.hits["page"] += 1

    @rule()
    def report_unknown(self) -> None:
        self.hits["unknown"] += 1
        ticket = self.store.add_feedback(self.feedback(f"{7:032x}", {"quality": 1.0}))
        with pytest.raises(UnknownDecisionError):
            ticket.result(30)

    @rule(seconds=jumps)
    def jump(self, seconds: float) -> None:
        self.hits["clock jump"] += 1
        self.now += seconds

    @rule(name=st.sampled_from("abcd"))
    def add_or_remove_arm(self, name: str) -> None:
        if self.arms == [name]:
            return
        self.hits["remove" if name in self.arms else "add"] += 1
        self.arms = sorted({*self.arms} ^ {name})
        self.store.set_arms([Arm(name=each) for each in self.arms])

    @rule(number=st.integers(1, 9))
    def add_up(self, number: int) -> None:
        self.hits["state"] += 1
        self.sum += number
        self.store.save_state("sum", str(number).encode(), plus)

    @rule()
    def flush(self) -> None:
        self.store.flush()

    @rule(version=versions)
    def reopen(self, version: str) -> None:
        self.hits["restart"] += 1
        self.store.close()
        self.open_version(version)

    @invariant()
    def learned_is_what_was_new(self) -> None:
        assert summed(self.listener.events) == summed(self.expected)
        assert len(self.listener.events) == len(self.expected)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.open_version(self.version)
            self.store.close()


class SQLStoreMachine(StoreMachine):
    keeps_early = True
    empty: Path  # a file with the tables: to make them takes longer than most programs

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        shutil.copy(self.empty, Path(self.directory.name) / "store.db")

    def make_store(self) -> SQLStore:
        return SQLStore(self.url())

    def url(self) -> str:
        return f"sqlite:///{Path(self.directory.name) / 'store.db'}"

    def database(self) -> database.Database:
        return database.database_at(database.parse(self.url()))

    def write(self, transaction: Callable[[Connection], None]) -> None:
        """What the functions of ``admin`` do, with the fold of this test."""
        self.store.flush()  # a decision that is not written yet cannot be changed
        place = self.database()

        def attempt() -> None:
            with place.engine.connect() as connection, place.writing(connection):
                transaction(connection)

        place.retried(attempt, between=lambda: None)

    @contextmanager
    def another(self) -> Iterator[SQLStore]:
        """Another process, as it were."""
        self.store.flush()
        store = self.make_store()
        self.open_store(store)
        yield store
        store.close()

    @rule()
    def fold_elsewhere(self) -> None:
        self.hits["fold elsewhere"] += 1
        with self.another():
            pass

    @rule(number=StoreMachine.numbers, values=outcomes)
    def report_elsewhere(self, number: int, values: dict[str, float]) -> None:
        self.hits["report elsewhere"] += 1
        with self.another() as store:
            self.report_to(store, number, values)

    @rule(target=StoreMachine.numbers, values=outcomes, elsewhere=st.booleans())
    def report_early(self, values: dict[str, float], elsewhere: bool) -> int:
        """Feedback that is there before its decision; matched by whichever process looks next."""
        self.hits["early"] += 1
        number = self.new_id()
        if elsewhere:
            with self.another() as store:
                self.report_to(store, number, values)
        else:
            self.report_to(self.store, number, values)
        self.make(number, 0, context=True)
        self.write(log.match_orphans)
        self.recorded[number] = self.early.pop(number)
        return number

    @rule(number=StoreMachine.numbers, value=st.integers(0, 9).map(float))
    def correct(self, number: int, value: float) -> None:
        if number in self.recorded and number not in self.pruned:
            self.hits["correct"] += 1
            values = {next(iter(self.recorded[number])): value}
            self.write(lambda connection: maintenance.correct(connection, folds, self.ids[number], values))
            self.recorded[number].update(values)

    @rule(number=StoreMachine.numbers)
    def erase(self, number: int) -> None:
        if number not in self.pruned:
            self.hits["erase"] += 1
            self.write(lambda connection: maintenance.erase_decisions(connection, folds, [self.ids[number]]))
            for held in (self.made, self.recorded, self.early):
                held.pop(number, None)

    @rule(answered=st.booleans())
    def prune(self, answered: bool) -> None:
        def prune(connection: Connection) -> None:
            for epoch in inspection.epoch_ids(connection, "r"):
                ids = retention.old_decisions(connection, epoch, before=self.now + 1.0, answered=answered, limit=100)
                maintenance.move_to_base(connection, epoch, fold, ids)
                self.hits["prune"] += bool(ids)
                self.pruned.update(int(id[12:], 16) for id in ids)

        self.write(prune)

    @rule()
    def rebuild(self) -> None:
        self.hits["rebuild"] += 1

        def rebuild(connection: Connection) -> None:
            for epoch in inspection.epoch_ids(connection, "r"):
                maintenance.rebuild(connection, epoch, fold)

        self.write(rebuild)

    def teardown(self) -> None:
        try:
            super().teardown()
            with self.database().engine.connect() as connection:
                active = connection.scalars(select(arm.c.name).where(arm.c.active).order_by(arm.c.name)).all()
            assert active == self.arms
        finally:
            self.directory.cleanup()


class PostgreSQLStoreMachine(SQLStoreMachine):
    empty = Path(os.devnull)
    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.place = self.server.database()

    def url(self) -> str:
        return self.place


# BANDITROUTE_PROGRAMS=10000 runs as many programs of 50 steps in the soaks; -s prints the counts of what happened.
_SOAK = int(os.environ.get("BANDITROUTE_PROGRAMS", "200"))
_PROGRAMS = settings(
    max_examples=20,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def run(machine: type[StoreMachine], happens: set[str], programs: settings) -> None:
    """Run programs of a machine; fail if one of ``happens`` never happened."""
    machine.hits = Counter()
    run_state_machine_as_test(machine, settings=programs)
    click.echo(f"{machine.__name__}: {programs.max_examples} programs, {dict(machine.hits)}")
    assert happens <= set(machine.hits)


@pytest.fixture
def _often_and_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold often; and compile statements once for all stores of a program, which is half of its time."""
    monkeypatch.setattr(writer, "FOLD_AT_ONCE", 3)
    monkeypatch.setattr(database, "database_at", functools.lru_cache(maxsize=2)(database.database_at))


def test_memory_store_agrees_with_a_dict() -> None:
    run(StoreMachine, ANY_STORE, settings(_PROGRAMS, max_examples=100))


def _run_on_sqlite(path: Path, happens: set[str], programs: settings) -> None:
    database.database_at(database.parse(f"sqlite:///{path}")).upgrade()
    SQLStoreMachine.empty = path
    run(SQLStoreMachine, happens, programs)


@pytest.mark.usefixtures("_often_and_quickly")
def test_sqlite_store_agrees_with_a_dict(path: Path) -> None:
    _run_on_sqlite(path, {"route", "report", "restart", "report elsewhere", "erase"}, _PROGRAMS)


@pytest.mark.slow
@pytest.mark.usefixtures("_often_and_quickly")
def test_sqlite_store_agrees_with_a_dict_in_a_soak_where_everything_happens(path: Path) -> None:
    _run_on_sqlite(path, ANY_STORE | SHARED, settings(_PROGRAMS, max_examples=_SOAK))


@pytest.mark.usefixtures("_often_and_quickly")
@pytest.mark.parametrize("programs", [5, pytest.param(_SOAK // 10, marks=pytest.mark.slow)], ids=["few", "soak"])
def test_postgresql_store_agrees_with_a_dict(postgresql: Server, programs: int) -> None:
    PostgreSQLStoreMachine.server = postgresql
    run(PostgreSQLStoreMachine, {"report"}, settings(_PROGRAMS, max_examples=programs))
