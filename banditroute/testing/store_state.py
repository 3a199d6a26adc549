"""The part of the store contract about other state: saved state of a router, and shared totals of budgets."""

from __future__ import annotations

from dataclasses import replace

from banditroute.core.shared_total import SharedTotal
from banditroute.store.base import Store, StoredState
from banditroute.testing.samples import decision, feedback
from banditroute.testing.store_suite import HOSTILE_NAMES, StoreSuite

BUDGET_NAMES = ["'; DROP TABLE banditroute_tally; --", "näme 🦙\u202e\n", "x" * 300]


def totals_of(state: StoredState) -> dict[str, list[SharedTotal]]:
    """Return the stored totals of each budget."""
    return {budget: list(totals) for budget, totals in state.totals.items()}


class StoreStateContract(StoreSuite):
    """Part of :class:`~banditroute.testing.StoreContract`."""

    def test_the_last_state_of_each_name_is_kept_for_its_router(self, store: Store) -> None:
        self.open(store)
        store.save_state("budget", b"old")
        store.flush()
        store.save_state("budget", b"new")
        for name in HOSTILE_NAMES:
            store.save_state(name, name.encode())
        store.save_state("empty", b"")
        expected = {"budget": b"new", "empty": b"", **{name: name.encode() for name in HOSTILE_NAMES}}
        assert dict(self.again(store).states) == expected
        assert dict(self.again(store, features_version="2").states) == expected  # the router's, whatever its features
        assert dict(self.again(store, router="another").states) == {}
        store.save_state("budget", b"closed")
        assert dict(self.again(store).states) == expected

    def test_a_state_that_is_merged_adds_to_the_last(self, store: Store) -> None:
        def merge(earlier: bytes, later: bytes) -> bytes:
            return earlier + later

        self.open(store)
        store.save_state("sum", b"a", merge)
        store.save_state("sum", b"b", merge)
        store.flush()
        store.save_state("sum", b"c", merge)
        store.save_state("other", b"x")
        store.save_state("other", b"y", merge)
        later = self.reopen(store)
        assert dict(self.open(later).states) == {"sum": b"abc", "other": b"xy"}
        later.save_state("sum", b"d", merge)
        assert self.again(later).states["sum"] == b"abcd"

    def test_totals_of_budgets_add_up_for_their_router(self, store: Store) -> None:
        self.open(store)
        for name in ("cost_usd per request", *BUDGET_NAMES):
            store.add_total(name, SharedTotal(requests=1, spent=0.5, balance=-0.25))
            store.flush()
            store.add_total(name, SharedTotal(requests=2, spent=0.25, balance=0.5))
            store.add_total(name, SharedTotal(spent=-0.125))
        expected = {name: [SharedTotal(0, 3, 0.625, 0.25)] for name in ("cost_usd per request", *BUDGET_NAMES)}
        assert totals_of(self.again(store)) == expected
        # It is the router's, whatever its features, and no other's.
        assert totals_of(self.again(store, features_version="2")) == expected
        assert dict(self.again(store, router="another").totals) == {}
        store.add_total("cost_usd per request", SharedTotal(requests=1))  # closed
        assert totals_of(self.again(store)) == expected

    def test_each_period_has_a_total_of_its_own_whatever_the_order(self, store: Store) -> None:
        self.open(store)
        for flush in (True, False):
            name = f"cost_usd per hour {flush}"
            for period, spent in ((7, 1.0), (9, 2.0), (8, 4.0), (9, 8.0)):
                store.add_total(name, SharedTotal(period=period, requests=1, spent=spent))
                if flush:
                    store.flush()
        expected = [SharedTotal(9, 2, 10.0), SharedTotal(8, 1, 4.0), SharedTotal(7, 1, 1.0)]
        assert list(totals_of(self.again(store)).values()) == [expected, expected]

    def test_feedback_brings_what_was_reserved_and_what_is_known(self, store: Store) -> None:
        reserved = {"cost_usd per request": (0.1 + 0.2, 1e-3, 1e-6), "energy_joules per day": (7.0,)}
        listener = self.listen(store)
        store.add_decision(replace(decision(1), reserved=reserved))
        store.add_feedback(feedback(1, quality=1.0)).result(30)
        again = self.reopen(store)  # from which it must be read
        self.open(again)
        again.subscribe(listener)
        again.add_feedback(feedback(1, quality=1.0, cost_usd=2.0)).result(30)
        again.close()
        assert [dict(each.reserved) for each in listener.recorded] == [reserved, reserved]
        assert [list(each.known) for each in listener.recorded] == [[], ["quality"]]
