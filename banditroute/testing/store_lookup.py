"""The part of the store contract about finding decisions: by id, by session, and for comparisons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from banditroute.core.decision import Decision
from banditroute.core.preference import Preference
from banditroute.errors import ConflictingFeedbackError, StoreError, UnknownDecisionError
from banditroute.store.base import Store, StoredDecision
from banditroute.store.outcomes import IN_ALL, PAGING, PASSED_OVER_FOR, PREFERRED_TO, SHARE_OF, TIED_WITH
from banditroute.testing.samples import decision, feedback, fold, remembered
from banditroute.testing.store_suite import StoreSuite


def assert_stored(found: StoredDecision, made: Decision) -> None:
    """Assert that the stored decision ``found`` equals the decision ``made``."""
    assert made.x is not None
    np.testing.assert_array_equal(found.x, made.x)
    np.testing.assert_array_equal(found.probabilities, made.probabilities)
    expected = StoredDecision.of(made, epoch_id=found.epoch_id)
    assert found._replace(x=None, probabilities=made.probabilities) == expected._replace(x=None)


class StoreLookupContract(StoreSuite):
    """Part of :class:`~banditroute.testing.StoreContract`."""

    def test_a_decision_is_found_from_the_moment_it_is_made(self, store: Store) -> None:
        self.open(store)
        for number in range(1, 100):
            store.add_decision(decision(number, arm="a" if number % 2 else "b"))
            assert_stored(store.find(f"{number:032x}"), decision(number, arm="a" if number % 2 else "b"))
        store.flush()
        assert_stored(store.find(f"{1:032x}"), decision(1))

    def test_all_that_was_given_with_a_request_is_found(self, store: Store) -> None:
        self.open(store)
        made = replace(
            decision(1, session="s", tags=("a", "b")), input_tokens=7, preference=Preference(quality=0.1, cost_usd=3.0)
        )
        store.add_decision(made)
        store.flush()
        assert_stored(store.find(made.id), made)

    def test_a_decision_without_a_context_is_found(self, store: Store) -> None:
        self.open(store)
        store.add_decision(decision(1, x=None))
        store.flush()
        assert store.find(f"{1:032x}").x is None

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
        listener = self.listen(store)
        won, lost = PREFERRED_TO + f"{2:032x}", PASSED_OVER_FOR + f"{2:032x}"
        store.add_decision(decision(1))
        store.add_feedback(feedback(1, **{won: 2.0})).result(30)
        store.add_feedback(feedback(1, **{won: 3.0})).result(30)
        store.add_feedback(feedback(1, **{won + " of 3": 3.0})).result(30)
        with pytest.raises(ConflictingFeedbackError, match=r"passed over for .* recorded as preferred to"):
            store.add_feedback(feedback(1, **{lost: 2.0})).result(30)
        with pytest.raises(ConflictingFeedbackError, match=r"tied with .* of 3, and recorded as preferred to"):
            store.add_feedback(feedback(1, **{TIED_WITH + f"{2:032x} of 3": 2.0})).result(30)
        assert listener.values == [{won: 2.0}]
        store.add_feedback(feedback(1, **{PASSED_OVER_FOR + f"{3:032x}": 4.0})).result(30)
        kept = remembered(self.again(store))["a"]
        assert kept == {won: [1, 2, 2, 2], PASSED_OVER_FOR + f"{3:032x}": [1, 4, 4, 4]}

    def test_the_first_credit_of_a_session_stays_and_another_outcome_is_refused(self, store: Store) -> None:
        listener = self.listen(store)
        credited, outcome = f"quality{SHARE_OF}3", f"quality{SHARE_OF}3{IN_ALL}"
        for number in (1, 2):
            store.add_decision(decision(number))
        store.add_feedback(feedback(1, **{credited: 1.25, outcome: 1.0})).result(30)
        store.add_feedback(feedback(1, **{credited: 0.5, outcome: 1.0})).result(30)
        with pytest.raises(ConflictingFeedbackError, match=r"quality of 3 in all .* is recorded as 1.0"):
            store.add_feedback(feedback(1, **{credited: 0.5, outcome: 0.0})).result(30)
        store.add_feedback(feedback(1, **{f"quality{SHARE_OF}4": 0.0, f"quality{SHARE_OF}4{IN_ALL}": 0.0})).result(30)
        store.add_feedback(feedback(2, quality=0.0)).result(30)
        store.add_feedback(feedback(2, **{credited: 0.5, outcome: 1.0})).result(30)
        assert listener.values == [{credited: 1.25, outcome: 1.0}, {"quality": 0.0}]

    def test_what_paging_took_is_no_feedback(self, store: Store) -> None:
        listener = self.listen(store)
        for number in (1, 2):
            store.add_decision(decision(number))
            for seconds in (0.5, 0.0):
                store.add_feedback(feedback(number, **{PAGING: seconds})).result(30)
        store.add_feedback(feedback(1, quality=1.0)).result(30)
        assert [(dict(each.event.values), each.event.first, list(each.known)) for each in listener.recorded] == [
            ({"quality": 1.0}, True, [])
        ]
        memory = self.again(store)
        assert memory.feedback == 1
        assert remembered(memory)["a"].keys() == {"quality"}

    def test_the_decisions_of_a_session_are_found(self, store: Store) -> None:
        self.open(store)
        for number in range(1, 30):
            store.add_decision(decision(number, session=["odd", "even", None][number % 3]))
            ids = [f"{n:032x}" for n in range(1, number + 1) if n % 3 == 0]
            assert list(store.find_session("odd")) == ids
        assert list(store.find_session("'; --")) == []
        assert list(store.find_session("näme 🦙")) == []

    def test_the_sessions_of_another_epoch_are_not(self, store: Store) -> None:
        self.open(store)
        store.add_decision(decision(1, session="s"))
        later = self.reopen(store)
        try:
            later.open(router="r", arms=(), features_version="2", dimension=3, fold=fold)
            assert list(later.find_session("s")) == []
        finally:
            later.close()

    def test_a_share_is_none_beside_an_outcome_of_its_own_or_another_share(self, store: Store) -> None:
        listener = self.listen(store)
        for number in (1, 2):
            store.add_decision(decision(number))
        store.add_feedback(feedback(1, quality=1.0)).result(30)
        for number in (1, 2):
            store.add_feedback(feedback(number, **{"quality of 2": 3.0, "helpfulness of 2": 5.0})).result(30)
            store.add_feedback(feedback(number, **{"quality of 4": 7.0})).result(30)
        assert listener.values == [
            {"quality": 1.0},
            {"helpfulness of 2": 5.0},
            {"quality of 2": 3.0, "helpfulness of 2": 5.0},
        ]
        with pytest.raises(ConflictingFeedbackError, match="quality of 2"):
            store.add_feedback(feedback(2, **{"quality of 2": 4.0})).result(30)
