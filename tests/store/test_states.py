"""Every store against a model that is a dict, in any sequence of what a router may do."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from banditroute.errors import ConflictingFeedbackError, UnknownDecisionError
from banditroute.store import Event, MemoryStore, SQLStore, Store, writer
from banditroute.testing.samples import decision, feedback, fold, remembered, summed

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
        number = len(self.made)
        self.made[number] = (self.version, context)
        self.store.add_decision(self.decision(number))
        return number

    @rule(number=numbers, values=outcomes)
    def report(self, number: int, values: dict[str, float]) -> None:
        known = self.recorded.get(number, {})
        ticket = self.store.add_feedback(feedback(number, **values), self.learned.append)
        if any(known.get(objective, value) != value for objective, value in values.items()):
            with pytest.raises(ConflictingFeedbackError):
                ticket.result(30)
            return
        ticket.result(30)
        new = {objective: value for objective, value in values.items() if objective not in known}
        self.recorded[number] = {**known, **new}
        if new and self.made[number][0] == self.version:
            self.expected += self.event(number, new)

    @rule(number=numbers)
    def report_again(self, number: int) -> None:
        if number in self.recorded:
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

    def make_store(self) -> Store:
        return SQLStore(f"sqlite:///{Path(self.directory.name) / 'store.db'}")

    def teardown(self) -> None:
        super().teardown()
        self.directory.cleanup()


class TestMemoryStoreStates(StoreMachine.TestCase):  # type: ignore[name-defined, misc]
    settings = settings(max_examples=100, deadline=None)


class TestSQLStoreStates(SQLStoreMachine.TestCase):  # type: ignore[name-defined, misc]
    settings = settings(
        max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )

    @pytest.fixture(autouse=True)
    def _fold_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writer, "FOLD_AT_ONCE", 3)
