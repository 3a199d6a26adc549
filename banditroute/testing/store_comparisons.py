"""What every store must do for comparisons: find decisions again, and record which was preferred."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import pytest

from banditroute.errors import ConflictingFeedbackError, StoreError, UnknownDecisionError
from banditroute.store.base import Event, Memory, Store
from banditroute.store.outcomes import PASSED_OVER_FOR, PREFERRED_TO
from banditroute.testing.samples import decision, feedback, ignore, remembered


class ComparisonContract(ABC):
    """Part of :class:`~banditroute.testing.StoreContract`."""

    @abstractmethod
    def open(self, store: Store) -> Memory:
        """Open ``store`` with the suite's fold."""

    @abstractmethod
    def again(self, store: Store) -> Memory:
        """What is remembered when a later router opens the store, and closes it."""

    def test_a_decision_is_found_from_the_moment_it_is_made(self, store: Store) -> None:
        self.open(store)
        for number in range(1, 100):
            store.add_decision(decision(number, arm="a" if number % 2 else "b"))
            arm, x = store.find(f"{number:032x}")
            assert arm == ("a" if number % 2 else "b")
            assert x is not None
            np.testing.assert_array_equal(x, [number % 7, number % 11, 1.0])
        store.flush()
        assert store.find(f"{1:032x}")[0] == "a"

    def test_a_decision_without_a_context_is_found(self, store: Store) -> None:
        self.open(store)
        store.add_decision(decision(1, x=None))
        store.flush()
        assert store.find(f"{1:032x}") == ("a", None)

    @pytest.mark.parametrize("unknown", [f"{9:032x}", "", "no id", "\ud800", "\x00"])
    def test_an_unknown_decision_is_not_found(self, store: Store, unknown: str) -> None:
        self.open(store)
        with pytest.raises(UnknownDecisionError, match="no decision"):
            store.find(unknown)

    def test_a_closed_store_finds_nothing(self, store: Store) -> None:
        self.open(store)
        store.add_decision(decision(1))
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.find(f"{1:032x}")

    def test_a_comparison_again_changes_nothing_and_reversed_is_refused(self, store: Store) -> None:
        self.open(store)
        learned: list[Event] = []
        won, lost = PREFERRED_TO + f"{2:032x}", PASSED_OVER_FOR + f"{2:032x}"
        store.add_decision(decision(1))
        store.add_feedback(feedback(1, **{won: 2.0}), learned.append).result(30)
        store.add_feedback(feedback(1, **{won: 3.0}), learned.append).result(30)
        with pytest.raises(ConflictingFeedbackError, match=r"passed over for .* recorded as preferred to"):
            store.add_feedback(feedback(1, **{lost: 2.0}), learned.append).result(30)
        assert [dict(event.values) for event in learned] == [{won: 2.0}]
        store.add_feedback(feedback(1, **{PASSED_OVER_FOR + f"{3:032x}": 4.0}), ignore).result(30)
        kept = remembered(self.again(store))["a"]
        assert kept == {won: [1, 2, 2, 2], PASSED_OVER_FOR + f"{3:032x}": [1, 4, 4, 4]}
