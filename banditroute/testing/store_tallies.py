"""What every store must do for budgets: add up what all count, and bring back what was reserved for a decision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

from banditroute.core.shared_total import SharedTotal
from banditroute.store.base import Event, Store, StoredState
from banditroute.testing.samples import decision, feedback

NAMES = ["'; DROP TABLE banditroute_tally; --", "näme 🦙\u202e\n", "x" * 300]


class TallyContract(ABC):
    """Part of :class:`~banditroute.testing.StoreContract`."""

    @abstractmethod
    def open(self, store: Store) -> StoredState:
        """Open ``store`` with the suite's fold."""

    @abstractmethod
    def again(self, store: Store, **epoch: str) -> StoredState:
        """What is remembered when a later router opens the store, and closes it."""

    @abstractmethod
    def reopen(self, store: Store) -> Store:
        """A store that remembers what ``store`` did, after closing that."""

    def test_what_is_counted_for_budgets_adds_up_for_its_router(self, store: Store) -> None:
        def told(joint: SharedTotal, added: SharedTotal) -> None: ...

        self.open(store)
        for name in ("cost_usd per request", *NAMES):
            store.add_tally(name, SharedTotal(requests=1, spent=0.5, balance=-0.25), told)
            store.flush()
            store.add_tally(name, SharedTotal(requests=2, spent=0.25, balance=0.5), told)
            store.add_tally(name, SharedTotal(spent=-0.125), told)
        expected = dict.fromkeys(["cost_usd per request", *NAMES], SharedTotal(0, 3, 0.625, 0.25))
        assert dict(self.again(store).tallies) == expected
        # It is the router's, whatever its features, and no other's.
        assert dict(self.again(store, features_version="2").tallies) == expected
        assert dict(self.again(store, router="another").tallies) == {}
        store.add_tally("cost_usd per request", SharedTotal(requests=1), told)  # closed
        assert dict(self.again(store).tallies) == expected

    def test_of_what_is_counted_only_the_latest_period_is_kept(self, store: Store) -> None:
        self.open(store)
        for flush in (True, False):
            name = f"cost_usd per hour {flush}"
            for period, spent in ((7, 1.0), (9, 2.0), (8, 4.0), (9, 8.0)):
                store.add_tally(name, SharedTotal(period=period, requests=1, spent=spent), lambda joint, added: None)
                if flush:
                    store.flush()
        assert set(self.again(store).tallies.values()) == {SharedTotal(9, 2, 10.0)}

    def test_feedback_brings_what_was_reserved_and_what_is_known(self, store: Store) -> None:
        self.open(store)
        learned: list[Event] = []
        reserved = {"cost_usd per request": (0.1 + 0.2, 1e-3, 1e-6), "energy_joules per day": (7.0,)}
        store.add_decision(replace(decision(1), reserved=reserved))
        store.add_feedback(feedback(1, quality=1.0), learned.append).result(30)
        again = self.reopen(store)  # from which it must be read
        self.open(again)
        again.add_feedback(feedback(1, quality=1.0, cost_usd=2.0), learned.append).result(30)
        again.close()
        assert [dict(one.reserved) for one in learned] == [reserved, reserved]
        assert [list(one.known) for one in learned] == [[], ["quality"]]
