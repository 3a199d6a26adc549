"""The contract suite that every store must pass."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from banditroute.core.arm import Arm
from banditroute.core.feedback import Feedback
from banditroute.errors import ConflictingFeedbackError, StoreError, UnknownDecisionError
from banditroute.store.base import OutcomeEvent, Recorded, Store, Ticket
from banditroute.testing.samples import Listener, decision, event, feedback, remembered, summed, until
from banditroute.testing.store_lookup import StoreLookupContract
from banditroute.testing.store_state import StoreStateContract
from banditroute.testing.store_suite import HOSTILE_NAMES


class StoreContract(StoreLookupContract, StoreStateContract):
    """The promises of :class:`~banditroute.store.Store` as tests, which every store must pass.

    Derive a class and define ``make_store``. For a store that outlives its object, also define ``reopen``. Then pytest
    collects the tests.

    Examples
    --------
    >>> from banditroute.store import MemoryStore
    >>> class TestMemoryStore(StoreContract):
    ...     def make_store(self):
    ...         return MemoryStore()
    """

    def test_it_is_a_store(self, store: Store) -> None:
        assert isinstance(store, Store)

    def test_a_new_store_remembers_nothing(self, store: Store) -> None:
        memory = self.open(store)
        assert (dict(memory.statistics), list(memory.pending)) == ({}, [])
        assert (memory.decisions, memory.feedback) == (0, 0)
        assert store.trouble is None

    def test_feedback_is_learned_once_and_remembered(self, store: Store) -> None:
        listener = self.listen(store)
        store.add_decision(decision(1))
        store.add_decision(decision(2))
        ticket: Ticket = store.add_feedback(feedback(1, quality=1.0, cost_usd=2.0))
        assert ticket.result(30) == "accepted"
        assert [(one.arm, one.x.tolist(), dict(one.values), one.ordinal) for one in listener.events] == [
            ("a", [1.0, 1.0, 1.0], {"quality": 1.0, "cost_usd": 2.0}, 1)
        ]
        memory = self.again(store)
        assert remembered(memory) == {"a": {"quality": [1, 1, 1, 1], "cost_usd": [1, 2, 2, 2]}}
        assert (memory.decisions, memory.feedback) == (2, 1)

    def test_a_correction_replaces_an_outcome_as_if_it_had_been_reported(self, store: Store) -> None:
        listener = self.listen(store)
        store.add_decision(decision(1))
        store.add_feedback(feedback(1, quality=1.0, cost_usd=2.0)).result(30)
        store.correct(decision(1).id, {"quality": 0.0})
        until(lambda: bool(listener.corrections or listener.changes))
        for before, after in listener.corrections:
            assert (before.sign, dict(before.values), dict(after.values)) == (-1, {"quality": 1.0}, {"quality": 0.0})
        with pytest.raises(ConflictingFeedbackError):
            store.add_feedback(feedback(1, quality=1.0)).result(30)
        memory = self.again(store)
        assert remembered(memory) == {"a": {"quality": [1, 0, 0, 0], "cost_usd": [1, 2, 2, 2]}}
        assert memory.feedback == 1

    def test_a_correction_of_what_is_not_recorded_changes_nothing(self, store: Store) -> None:
        listener = self.listen(store)
        store.add_decision(decision(1))
        store.add_feedback(feedback(1, quality=1.0)).result(30)
        for number, values in ((1, {"quality": 0.0, "cost_usd": 1.0}), (2, {"quality": 0.0})):
            with pytest.raises(UnknownDecisionError):
                store.correct(decision(number).id, values)
        assert listener.corrections == []
        assert remembered(self.again(store)) == {"a": {"quality": [1, 1, 1, 1]}}

    def test_numbers_are_kept_to_the_bit(self, store: Store) -> None:
        seen: list[OutcomeEvent] = []

        def see(blob: bytes | None, events: Sequence[OutcomeEvent]) -> bytes:
            seen.extend(events)
            return b""

        made = replace(decision(2**40, x=np.array([0.1, -5e-324, 1.0])), decided_at=1_700_000_000.1 + 0.2)
        listener = Listener()
        store.open(router="r", arms=(), features_version="1", dimension=3, fold=see)
        store.subscribe(listener)
        store.add_decision(made)
        store.add_feedback(feedback(2**40, quality=0.1 + 0.2)).result(30)
        seen.extend(listener.events)
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
        listener = self.listen(store)
        store.add_decision(decision(1))
        for _ in range(3):
            store.add_feedback(feedback(1, quality=1.0)).result(30)
        assert len(listener.events) == 1
        assert remembered(self.again(store)) == summed([event(1, quality=1.0)])

    def test_parts_are_learned_as_they_come(self, store: Store) -> None:
        listener = self.listen(store)
        store.add_decision(decision(1))
        store.add_feedback(feedback(1, quality=1.0)).result(30)
        store.add_feedback(feedback(1, quality=1.0, cost_usd=3.0)).result(30)
        assert listener.values == [{"quality": 1.0}, {"cost_usd": 3.0}]
        memory = self.again(store)
        assert remembered(memory) == summed([event(1, quality=1.0, cost_usd=3.0)])
        assert memory.feedback == 1

    def test_a_conflict_changes_nothing(self, store: Store) -> None:
        listener = self.listen(store)
        store.add_decision(decision(1))
        store.add_feedback(feedback(1, quality=1.0)).result(30)
        with pytest.raises(ConflictingFeedbackError, match=r"quality.*1\.0.*0\.0"):
            store.add_feedback(feedback(1, cost_usd=3.0, quality=0.0)).result(30)
        assert listener.values == [{"quality": 1.0}]
        # The cost was not taken either, so another one may come.
        store.add_feedback(feedback(1, cost_usd=4.0)).result(30)
        assert listener.values == [{"quality": 1.0}, {"cost_usd": 4.0}]
        assert remembered(self.again(store)) == summed([event(1, quality=1.0, cost_usd=4.0)])

    def test_feedback_for_an_unknown_decision_is_refused(self, store: Store) -> None:
        listener = self.listen(store)
        for unknown in [f"{9:032x}", "", "no id", "\ud800", "\x00", HOSTILE_NAMES[0]]:
            part = Feedback(decision_id=unknown, values={"quality": 1.0}, received_at=1_700_000_000.0)
            with pytest.raises(UnknownDecisionError, match="no decision"):
                store.add_feedback(part).result(30)
            assert listener.events == []
        assert self.again(store).feedback == 0

    def test_what_is_refused_disturbs_no_other(self, store: Store) -> None:
        listener = self.listen(store)
        for number in range(1, 4):
            store.add_decision(decision(number))
        tickets = [
            store.add_feedback(part)
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
        assert summed(listener.events) == expected
        assert remembered(self.again(store)) == expected

    def test_feedback_may_come_after_a_restart(self, store: Store) -> None:
        self.open(store)
        store.add_decision(decision(1))
        later = self.reopen(store)
        listener = self.listen(later)
        later.add_feedback(feedback(1, quality=1.0)).result(30)
        assert summed(listener.events) == summed([event(1, quality=1.0)])
        # What was given before the restart is known after it.
        last = self.reopen(later)
        listener = self.listen(last)
        last.add_feedback(feedback(1, quality=1.0)).result(30)
        with pytest.raises(ConflictingFeedbackError):
            last.add_feedback(feedback(1, quality=0.0)).result(30)
        last.close()
        assert listener.events == []

    def test_feedback_without_a_subscriber_is_learned_by_the_next_router(self, store: Store) -> None:
        self.open(store)
        store.add_decision(decision(1))
        assert store.add_feedback(feedback(1, quality=1.0)).result(30) == "accepted"
        assert remembered(self.again(store)) == summed([event(1, quality=1.0)])

    @pytest.mark.parametrize("seed", range(3))
    def test_any_order_gives_the_same_sum(self, store: Store, seed: int) -> None:
        listener = self.listen(store)
        parts = [feedback(n, **{name: float(n % 5 + 1)}) for n in range(50) for name in ("quality", "cost_usd")]
        random.Random(seed).shuffle(parts)
        for number in range(50):
            store.add_decision(decision(number))
        for ticket in [store.add_feedback(part) for part in parts]:
            ticket.result(30)
        expected = summed(event(n, quality=n % 5 + 1.0, cost_usd=n % 5 + 1.0) for n in range(50))
        assert summed(listener.events) == expected
        assert remembered(self.again(store)) == expected

    def test_a_store_may_fold_and_go_on(self, store: Store) -> None:
        expected: list[OutcomeEvent] = []
        for round_ in range(3):
            listener = self.listen(store)
            numbers = range(round_ * 300, round_ * 300 + 300)
            for number in numbers:
                store.add_decision(decision(number, arm="ab"[number % 2]))
            for ticket in [store.add_feedback(feedback(number, quality=2.0)) for number in numbers]:
                ticket.result(30)
            expected += listener.events
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
        store.add_feedback(feedback(1, quality=1.0)).result(30)
        later = self.reopen(store)
        memory = self.open(later, **other)  # type: ignore[arg-type]
        listener = Listener()
        later.subscribe(listener)
        assert remembered(memory) == {}
        assert (memory.decisions, memory.feedback) == (0, 0)
        later.add_feedback(feedback(2, quality=1.0)).result(30)
        assert listener.events == []
        # It is recorded all the same, for a router that comes back to the first epoch.
        memory = self.again(later)
        assert remembered(memory) == summed([event(1, quality=1.0), event(2, quality=1.0)])
        assert (memory.decisions, memory.feedback) == (2, 2)

    def test_without_a_context_nothing_is_learned(self, store: Store) -> None:
        listener = self.listen(store)
        store.add_decision(decision(1, x=None))
        store.add_feedback(feedback(1, quality=1.0)).result(30)
        with pytest.raises(ConflictingFeedbackError):
            store.add_feedback(feedback(1, quality=0.0)).result(30)
        assert listener.events == []
        later = self.reopen(store)
        memory = self.open(later)
        later.subscribe(listener)
        assert remembered(memory) == {}
        assert (memory.decisions, memory.feedback) == (1, 1)
        later.add_feedback(feedback(1, cost_usd=1.0)).result(30)
        later.close()
        assert listener.events == []

    def test_an_error_of_the_subscriber_reaches_the_caller_and_the_store_goes_on(self, store: Store) -> None:
        class FailsOnce(Listener):
            def on_recorded(self, recorded: Recorded) -> None:
                super().on_recorded(recorded)
                if len(self.recorded) == 1:
                    raise ZeroDivisionError("learning")

        self.open(store)
        listener = FailsOnce()
        store.subscribe(listener)
        store.add_decision(decision(1))
        with pytest.raises(ZeroDivisionError, match="learning"):
            store.add_feedback(feedback(1, quality=1.0)).result(30)
        store.add_feedback(feedback(1, cost_usd=1.0)).result(30)
        assert listener.values == [{"quality": 1.0}, {"cost_usd": 1.0}]
        assert remembered(self.again(store)) == summed([event(1, quality=1.0, cost_usd=1.0)])

    def test_other_arms_change_nothing_that_is_remembered(self, store: Store) -> None:
        listener = self.listen(store)
        store.add_decision(decision(1))
        store.set_arms([Arm(name="b"), *(Arm(name=name) for name in HOSTILE_NAMES)])
        store.add_feedback(feedback(1, quality=1.0)).result(30)
        store.flush()
        assert store.trouble is None
        assert remembered(self.again(store)) == summed(listener.events) == summed([event(1, quality=1.0)])
        store.set_arms([])  # closed: nothing happens

    def test_a_router_does_not_hear_of_a_change_that_is_its_own(self, store: Store) -> None:
        listener = self.listen(store)
        store.add_decision(decision(1))
        store.add_feedback(feedback(1, quality=1.0)).result(30)
        store.close()
        assert listener.changes == []

    def test_one_store_serves_one_router(self, store: Store) -> None:
        self.open(store)
        with pytest.raises(StoreError, match="'second'"):
            self.open(store, router="second")
        store.add_decision(decision(1))
        store.add_feedback(feedback(1, quality=1.0)).result(30)
        assert store.trouble is None

    def test_a_closed_store_says_so(self, store: Store) -> None:
        listener = self.listen(store)
        store.add_decision(decision(1))
        store.close()
        store.close()
        assert "closed" in str(store.trouble)
        store.add_decision(decision(2))
        with pytest.raises(StoreError, match="closed"):
            store.add_feedback(feedback(1, quality=1.0)).result(30)
        store.flush()
        assert listener.events == []
        memory = self.again(store)
        assert (memory.decisions, memory.feedback) == (1, 0)

    def test_many_threads_lose_nothing(self, store: Store) -> None:
        listener = self.listen(store)
        failures: list[BaseException] = []

        def work(thread: int) -> None:
            try:
                for number in range(thread * 1000, thread * 1000 + 60):
                    store.add_decision(decision(number, arm="abc"[number % 3]))
                    store.add_feedback(feedback(number, quality=1.0)).result(60)
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
        assert len(listener.events) == 480
        memory = self.again(store)
        assert (memory.decisions, memory.feedback) == (480, 480)
        assert remembered(memory) == summed(listener.events)

    @pytest.mark.parametrize("name", HOSTILE_NAMES)
    def test_names_are_only_names(self, store: Store, name: str) -> None:
        self.open(store, router=name, features_version=name)
        listener = Listener()
        store.subscribe(listener)
        store.add_decision(decision(1, arm=name, session=name, tags=(name, "")), prompt=name)
        store.add_feedback(feedback(1, **{name: 1.0})).result(30)
        memory = self.again(store, router=name, features_version=name)
        assert remembered(memory) == summed(listener.events) == {name: {name: [1, 1, 1, 1]}}
        assert remembered(self.again(store)) == {}

    def test_a_subscriber_may_use_the_store(self, store: Store) -> None:
        """Check that a store holds no lock of its own while it calls its subscriber; else both could block."""
        router = threading.Lock()

        class Decides(Listener):
            def on_recorded(self, recorded: Recorded) -> None:
                with router:
                    store.add_decision(decision(2))

        self.open(store)
        store.subscribe(Decides())
        store.add_decision(decision(1))
        with router:
            store.add_decision(decision(3))
        store.add_feedback(feedback(1, quality=1.0)).result(30)
        assert self.again(store).decisions == 3
