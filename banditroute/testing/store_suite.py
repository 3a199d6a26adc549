"""The base of the parts of the store contract: how a store is made, opened and opened again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from banditroute.store.base import Store, StoredState
from banditroute.testing.samples import Listener, fold

DIMENSION = 3
HOSTILE_NAMES = ["'; DROP TABLE banditroute_decision; --", 'quo"ted \\ %s {} :x', "näme 🦙\u202e\n", "x" * 255]


class StoreSuite(ABC):
    """Makes and opens the store that is tested."""

    @abstractmethod
    def make_store(self) -> Store:
        """Return a new store that remembers nothing."""

    def reopen(self, store: Store) -> Store:
        """Close ``store`` and return a store that remembers what it did; here the same object."""
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

    def listen(self, store: Store) -> Listener:
        """Open ``store``, and return a new subscriber of it."""
        self.open(store)
        listener = Listener()
        store.subscribe(listener)
        return listener

    def again(self, store: Store, **epoch: str) -> StoredState:
        """Return what is remembered when a later router opens the store, and close it."""
        later = self.reopen(store)
        try:
            return self.open(later, **epoch)  # type: ignore[arg-type]
        finally:
            later.close()
