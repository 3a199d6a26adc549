"""MemoryStore: the contract, and its bound."""

from __future__ import annotations

import pytest

from banditroute.errors import InvalidConfigurationError, UnknownDecisionError
from banditroute.store import MemoryStore
from banditroute.testing import StoreContract
from banditroute.testing.samples import decision, event, feedback, fold, listen, remembered, summed


class TestMemoryStore(StoreContract):
    def make_store(self) -> MemoryStore:
        return MemoryStore()


def test_the_oldest_decisions_are_forgotten_with_their_outcomes() -> None:
    store = MemoryStore(capacity=2)
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    for number in (1, 2, 3):
        store.add_decision(decision(number))
        store.add_feedback(feedback(number, quality=1.0)).result()
    with pytest.raises(UnknownDecisionError, match="last 2 decisions"):
        store.add_feedback(feedback(1, cost_usd=1.0)).result()
    store.close()
    memory = store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    assert remembered(memory) == summed([event(2, quality=1.0), event(3, quality=1.0)])
    assert (memory.decisions, memory.feedback) == (2, 2)


def test_learned_values_do_not_change_afterwards() -> None:
    store = MemoryStore()
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    listener = listen(store)
    store.add_decision(decision(1))
    store.add_feedback(feedback(1, quality=1.0)).result()
    store.add_feedback(feedback(1, cost_usd=1.0)).result()
    assert listener.values == [{"quality": 1.0}, {"cost_usd": 1.0}]


@pytest.mark.parametrize("capacity", [0, -1, True, 1.5, "10"])
def test_the_capacity_is_a_whole_number(capacity: object) -> None:
    with pytest.raises(InvalidConfigurationError, match="capacity"):
        MemoryStore(capacity=capacity)  # type: ignore[arg-type]
