"""SQLStore: the contract on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from banditroute.store import SQLStore, Store
from banditroute.testing import StoreContract


class TestSQLStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path / 'store.db'}"

    def make_store(self) -> SQLStore:
        return SQLStore(self.url)

    def reopen(self, store: Store) -> SQLStore:
        store.close()
        return SQLStore(self.url)


class TestSQLStoreOpenedAgain(TestSQLStore):
    """The same object, opened again by another router."""

    def reopen(self, store: Store) -> Store:  # type: ignore[override]
        store.close()
        return store
