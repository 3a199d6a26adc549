"""The suite that every store must pass."""

from __future__ import annotations

import random
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from banditroute.core.arm import Arm
from banditroute.core.feedback import Feedback
from banditroute.errors import ConflictingFeedbackError, StoreError, UnknownDecisionError
from banditroute.store.base import Event, Store, StoredState, Ticket
from banditroute.testing.samples import decision, event, feedback, fold, ignore, remembered, summed
from banditroute.testing.store_finding import FindingContract
from banditroute.testing.store_joining import JoiningContract
from banditroute.testing.store_tallies import TallyContract

DIMENSION = 3
HOSTILE = ["'; DROP TABLE banditroute_decision; --", 'quo"ted \\ %s {} :x', "näme 🦙\u202e\n", "x" * 255]


class StoreContract(FindingContract, JoiningContract, TallyContract):
    """What a router relies on, as tests; a store of your own passes them all.

    Derive a class, say how to make the store, and how to come back to one that outlives its object; pytest collects it.

    Examples
    --------
    >>> from banditroute.store import MemoryStore
    >>> class TestMemoryStore(StoreContract):
    ...     def make_store(self):
    ...         return MemoryStore()
    """

    @abstractmethod
    def make_store(self) -> Store:
        """A new store that remembers nothing."""

    def reopen(self, store: Store) -> Store:
        """A store that remembers what ``store`` did, after closing that; here the same object."""
        store.close()
        return store

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """A new store, closed after the test."""
        store = self.make_store()
        yield store
        store.close()

    def open(
        self, store: Store, *, router: str = "r", features_version: str = "1", dimension: int = DIMENSION
    ) -> StoredState:
        """Open ``store`` with the suite's fold."""
        return store.open(router=router, arms=(), features_version=features_version, dimension=dimension, fold=fold)

    def again(self, store: Store, **epoch: str) -> StoredState:
        """What is remembered when a later router opens the store, and closes it."""
        later = self.reopen(store)
        try:
            return self.open(later, **epoch)  # type: ignore[arg-type]
        finally:
            later.close()

    def test_it_is_a_store(self, store: Store) -> None:
        assert isinstance(store, Store)

    def test_a_new_store_remembers_nothing(self, store: Store) -> None:
        memory = self.open(store)
        assert (dict(memory.statistics), list(memory.pending)) == ({}, [])
        assert (memory.decisions, memory.feedback) == (0, 0)
        assert store.trouble is None

    def test_feedback_is_learned_once_and_remembered(self, store: Store) -> None:
        self.open(store)
        learned: list[Event] = []
        store.add_decision(decision(1))
        store.add_decision(decision(2))
        ticket: Ticket = store.add_feedback(feedback(1, quality=1.0, cost_usd=2.0), learned.append)
        assert ticket.result(30) is None  # type: ignore[func-returns-value]
        assert [(one.arm, one.x.tolist(), dict(one.values), one.ordinal) for one in learned] == [
            ("a", [1.0, 1.0, 1.0], {"quality": 1.0, "cost_usd": 2.0}, 1)
        ]
        memory = self.again(store)
        assert remembered(memory) == {"a": {"quality": [1, 1, 1, 1], "cost_usd": [1, 2, 2, 2]}}
        assert (memory.decisions, memory.feedback) == (2, 1)

    def test_numbers_are_kept_to_the_bit(self, store: Store) -> None:
        seen: list[Event] = []

        def see(blob: bytes | None, events: Sequence[Event]) -> bytes:
            seen.extend(events)
            return b""

        def see_one(event: Event) -> None:
            seen.append(event)

        made = replace(decision(2**40, x=np.array([0.1, -5e-324, 1.0])), decided_at=1_700_000_000.1 + 0.2)
        store.open(router="r", arms=(), features_version="1", dimension=3, fold=see)
        store.add_decision(made)
        store.add_feedback(feedback(2**40, quality=0.1 + 0.2), see_one).result(30)
        seen.extend(self.again(store).pending)
        assert len(seen) == 2
        for one in seen:
            assert made.x is not None
            assert (one.x.tobytes(), dict(one.values)) == (made.x.tobytes(), {"quality": 0.1 + 0.2})
            assert (one.decided_at, one.ordinal) == (made.decided_at, 2**40)

    def test_the_same_decision_twice_is_one(self, store: Store) -> None:
        self.open(store)
        store.add_decision(decision(1))
        store.flush()
        store.add_decision(decision(1))
        assert self.again(store).decisions == 1

    def test_the_same_feedback_twice_is_learned_once(self, store: Store) -> None:
        self.open(store)
        learned: list[Event] = []
        store.add_decision(decision(1))
        for _ in range(3):
            store.add_feedback(feedback(1, quality=1.0), learned.append).result(30)
        assert len(learned) == 1
        assert remembered(self.again(store)) == summed([event(1, quality=1.0)])

    def test_parts_are_learned_as_they_come(self, store: Store) -> None:
        self.open(store)
        learned: list[Event] = []
        store.add_decision(decision(1))
        store.add_feedback(feedback(1, quality=1.0), learned.append).result(30)
        store.add_feedback(feedback(1, quality=1.0, cost_usd=3.0), learned.append).result(30)
        assert [dict(one.values) for one in learned] == [{"quality": 1.0}, {"cost_usd": 3.0}]
        memory = self.again(store)
        assert remembered(memory) == summed([event(1, quality=1.0, cost_usd=3.0)])
        assert memory.feedback == 1

    def test_a_conflict_changes_nothing(self, store: Store) -> None:
        self.open(store)
        learned: list[Event] = []
        store.add_decision(decision(1))
        store.add_feedback(feedback(1, quality=1.0), ignore).result(30)
        with pytest.raises(ConflictingFeedbackError, match=r"quality.*1\.0.*0\.0"):
            store.add_feedback(feedback(1, cost_usd=3.0, quality=0.0), learned.append).result(30)
        assert learned == []
        # The cost was not taken either, so another one may come.
        store.add_feedback(feedback(1, cost_usd=4.0), learned.append).result(30)
        assert len(learned) == 1
        assert remembered(self.again(store)) == summed([event(1, quality=1.0, cost_usd=4.0)])

    def test_feedback_for_an_unknown_decision_is_refused(self, store: Store) -> None:
        self.open(store)
        for unknown in [f"{9:032x}", "", "no id", "\ud800", "\x00", HOSTILE[0]]:
            learned: list[Event] = []
            part = Feedback(decision_id=unknown, values={"quality": 1.0}, received_at=1_700_000_000.0)
            with pytest.raises(UnknownDecisionError, match="no decision"):
                store.add_feedback(part, learned.append).result(30)
            assert learned == []
        assert self.again(store).feedback == 0

    def test_what_is_refused_disturbs_no_other(self, store: Store) -> None:
        self.open(store)
        learned: list[Event] = []
        for number in range(1, 4):
            store.add_decision(decision(number))
        tickets = [
            store.add_feedback(part, learned.append)
            for part in [
                feedback(1, quality=1.0),
                feedback(9, quality=1.0),
                Feedback(decision_id="\ud800", values={"quality": 1.0}, received_at=0.0),
                feedback(1, quality=0.0),
                feedback(2, quality=1.0),
                feedback(2, quality=1.0),
                feedback(3, quality=1.0),
            ]
        ]
        kinds: list[type[Exception] | None] = []
        for ticket in tickets:
            try:
                ticket.result(30)
                kinds.append(None)
            except (UnknownDecisionError, ConflictingFeedbackError) as error:
                kinds.append(type(error))
        unknown, conflict = UnknownDecisionError, ConflictingFeedbackError
        assert kinds == [None, unknown, unknown, conflict, None, None, None]
        expected = summed(event(number, quality=1.0) for number in range(1, 4))
        assert summed(learned) == expected
        assert remembered(self.again(store)) == expected

    def test_feedback_may_come_after_a_restart(self, store: Store) -> None:
        self.open(store)
        store.add_decision(decision(1))
        later = self.reopen(store)
        self.open(later)
        learned: list[Event] = []
        later.add_feedback(feedback(1, quality=1.0), learned.append).result(30)
        assert summed(learned) == summed([event(1, quality=1.0)])
        # What was given before the restart is known after it.
        last = self.reopen(later)
        self.open(last)
        last.add_feedback(feedback(1, quality=1.0), learned.append).result(30)
        with pytest.raises(ConflictingFeedbackError):
            last.add_feedback(feedback(1, quality=0.0), learned.append).result(30)
        last.close()
        assert len(learned) == 1

    @pytest.mark.parametrize("seed", range(3))
    def test_any_order_gives_the_same_sum(self, store: Store, seed: int) -> None:
        self.open(store)
        parts = [feedback(n, **{name: float(n % 5 + 1)}) for n in range(50) for name in ("quality", "cost_usd")]
        random.Random(seed).shuffle(parts)
        for number in range(50):
            store.add_decision(decision(number))
        learned: list[Event] = []
        for ticket in [store.add_feedback(part, learned.append) for part in parts]:
            ticket.result(30)
        expected = summed(event(n, quality=n % 5 + 1.0, cost_usd=n % 5 + 1.0) for n in range(50))
        assert summed(learned) == expected
        assert remembered(self.again(store)) == expected

    def test_a_store_may_fold_and_go_on(self, store: Store) -> None:
        expected: list[Event] = []
        for round_ in range(3):
            self.open(store)
            numbers = range(round_ * 300, round_ * 300 + 300)
            for number in numbers:
                store.add_decision(decision(number, arm="ab"[number % 2]))
            tickets = [store.add_feedback(feedback(number, quality=2.0), expected.append) for number in numbers]
            for ticket in tickets:
                ticket.result(30)
            store.flush()
            store.close()
        memory = self.again(store)
        assert (memory.decisions, memory.feedback) == (900, 900)
        assert remembered(memory) == summed(expected)
        assert {arm: sums["quality"][0] for arm, sums in summed(expected).items()} == {"a": 450, "b": 450}

    @pytest.mark.parametrize("other", [{"router": "s"}, {"features_version": "2"}, {"dimension": 4}])
    def test_another_epoch_is_kept_apart(self, store: Store, other: dict[str, str]) -> None:
        self.open(store)
        store.add_decision(decision(1))
        store.add_decision(decision(2))
        store.add_feedback(feedback(1, quality=1.0), ignore).result(30)
        later = self.reopen(store)
        memory = self.open(later, **other)  # type: ignore[arg-type]
        assert remembered(memory) == {}
        assert (memory.decisions, memory.feedback) == (0, 0)
        learned: list[Event] = []
        later.add_feedback(feedback(2, quality=1.0), learned.append).result(30)
        assert learned == []
        # It is recorded all the same, for a router that comes back to the first epoch.
        memory = self.again(later)
        assert remembered(memory) == summed([event(1, quality=1.0), event(2, quality=1.0)])
        assert (memory.decisions, memory.feedback) == (2, 2)

    def test_without_a_context_nothing_is_learned(self, store: Store) -> None:
        self.open(store)
        learned: list[Event] = []
        store.add_decision(decision(1, x=None))
        store.add_feedback(feedback(1, quality=1.0), learned.append).result(30)
        with pytest.raises(ConflictingFeedbackError):
            store.add_feedback(feedback(1, quality=0.0), learned.append).result(30)
        later = self.reopen(store)
        memory = self.open(later)
        assert remembered(memory) == {}
        assert (memory.decisions, memory.feedback) == (1, 1)
        later.add_feedback(feedback(1, cost_usd=1.0), learned.append).result(30)
        later.close()
        assert learned == []

    def test_what_learning_raises_is_told_and_survived(self, store: Store) -> None:
        def fail(event: Event) -> None:
            raise ZeroDivisionError("learning")

        self.open(store)
        store.add_decision(decision(1))
        with pytest.raises(ZeroDivisionError, match="learning"):
            store.add_feedback(feedback(1, quality=1.0), fail).result(30)
        learned: list[Event] = []
        store.add_feedback(feedback(1, cost_usd=1.0), learned.append).result(30)
        assert len(learned) == 1
        assert remembered(self.again(store)) == summed([event(1, quality=1.0, cost_usd=1.0)])

    def test_the_last_state_of_each_name_is_kept_for_its_router(self, store: Store) -> None:
        self.open(store)
        store.put_state("budget", b"old")
        store.flush()
        store.put_state("budget", b"new")
        for name in HOSTILE:
            store.put_state(name, name.encode())
        store.put_state("empty", b"")
        expected = {"budget": b"new", "empty": b"", **{name: name.encode() for name in HOSTILE}}
        assert dict(self.again(store).states) == expected
        assert dict(self.again(store, features_version="2").states) == expected  # the router's, whatever its features
        assert dict(self.again(store, router="another").states) == {}
        store.put_state("budget", b"closed")
        assert dict(self.again(store).states) == expected

    def test_other_arms_change_nothing_that_is_remembered(self, store: Store) -> None:
        self.open(store)
        store.add_decision(decision(1))
        store.set_arms([Arm(name="b"), *(Arm(name=name) for name in HOSTILE)])
        learned: list[Event] = []
        store.add_feedback(feedback(1, quality=1.0), learned.append).result(30)
        store.flush()
        assert store.trouble is None
        assert remembered(self.again(store)) == summed(learned) == summed([event(1, quality=1.0)])
        store.set_arms([])  # closed: nothing happens

    def test_who_follows_is_not_told_of_what_it_learned_itself(self, store: Store) -> None:
        self.open(store)
        told: list[StoredState] = []
        store.follow(told.append)
        store.add_decision(decision(1))
        store.add_feedback(feedback(1, quality=1.0), ignore).result(30)
        store.close()
        assert told == []

    def test_one_store_serves_one_router(self, store: Store) -> None:
        self.open(store)
        with pytest.raises(StoreError, match="'second'"):
            self.open(store, router="second")
        store.add_decision(decision(1))
        store.add_feedback(feedback(1, quality=1.0), ignore).result(30)
        assert store.trouble is None

    def test_a_closed_store_says_so(self, store: Store) -> None:
        self.open(store)
        store.add_decision(decision(1))
        store.close()
        store.close()
        assert "closed" in str(store.trouble)
        learned: list[Event] = []
        store.add_decision(decision(2))
        with pytest.raises(StoreError, match="closed"):
            store.add_feedback(feedback(1, quality=1.0), learned.append).result(30)
        store.flush()
        assert learned == []
        memory = self.again(store)
        assert (memory.decisions, memory.feedback) == (1, 0)

    def test_many_threads_lose_nothing(self, store: Store) -> None:
        self.open(store)
        lock = threading.Lock()
        learned: list[Event] = []
        failures: list[BaseException] = []

        def learn(event: Event) -> None:
            with lock:
                learned.append(event)

        def work(thread: int) -> None:
            try:
                for number in range(thread * 1000, thread * 1000 + 60):
                    store.add_decision(decision(number, arm="abc"[number % 3]))
                    store.add_feedback(feedback(number, quality=1.0), learn).result(60)
                    if number % 10 == 0:
                        store.flush()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert failures == []
        assert len(learned) == 480
        memory = self.again(store)
        assert (memory.decisions, memory.feedback) == (480, 480)
        assert remembered(memory) == summed(learned)

    @pytest.mark.parametrize("name", HOSTILE)
    def test_names_are_only_names(self, store: Store, name: str) -> None:
        self.open(store, router=name, features_version=name)
        learned: list[Event] = []
        store.add_decision(decision(1, arm=name, session=name, tags=(name, "")), prompt=name)
        store.add_feedback(feedback(1, **{name: 1.0}), learned.append).result(30)
        memory = self.again(store, router=name, features_version=name)
        assert remembered(memory) == summed(learned) == {name: {name: [1, 1, 1, 1]}}
        assert remembered(self.again(store)) == {}

    def test_learning_may_use_the_store(self, store: Store) -> None:
        """A router learns and decides under its lock: a store that called it under its own would block."""
        self.open(store)
        router = threading.Lock()

        def learn(event: Event) -> None:
            with router:
                store.add_decision(decision(2))

        store.add_decision(decision(1))
        with router:
            store.add_decision(decision(3))
        store.add_feedback(feedback(1, quality=1.0), learn).result(30)
        assert self.again(store).decisions == 3
