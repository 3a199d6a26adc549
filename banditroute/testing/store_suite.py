"""The base class of the store contract: it makes, opens and reopens the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from banditroute.store.base import Store, StoredState
from banditroute.testing.samples import Listener, fold

DIMENSION = 3
HOSTILE_NAMES = ["'; DROP TABLE banditroute_decision; --", 'quo"ted \\ %s {} :x', "näme 🦙\u202e\n", "x" * 255]


class StoreSuite(ABC):
    """The base of the store contract's parts: it makes and opens the tested store."""

    @abstractmethod
    def make_store(self) -> Store:
        """Return a new empty store."""

    def reopen(self, store: Store) -> Store:
        """Close ``store`` and return a store with the same content; by default the same object."""
        store.close()
        return store

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """Yield a new store, and close it after the test."""
        store = self.make_store()
        yield store
        store.close()

    def open(
        self, store: Store, *, router: str = "r", features_version: str = "1", dimension: int = DIMENSION
    ) -> StoredState:
        """Open ``store`` with the suite's fold."""
        return store.open(router=router, arms=(), features_version=features_version, dimension=dimension, fold=fold)

    def listen(self, store: Store) -> Listener:
        """Open ``store``, and return a new subscriber of it."""
        self.open(store)
        listener = Listener()
        store.subscribe(listener)
        return listener

    def again(self, store: Store, **epoch: str) -> StoredState:
        """Return the state that a later router gets from the store, and close it."""
        later = self.reopen(store)
        try:
            return self.open(later, **epoch)  # type: ignore[arg-type]
        finally:
            later.close()
