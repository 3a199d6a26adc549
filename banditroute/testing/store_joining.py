"""What every store must do for state that several processes add to: join it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from banditroute.store.base import Store, StoredState


class JoiningContract(ABC):
    """Part of :class:`~banditroute.testing.StoreContract`."""

    @abstractmethod
    def open(self, store: Store) -> StoredState:
        """Open ``store`` with the suite's fold."""

    @abstractmethod
    def again(self, store: Store) -> StoredState:
        """What is remembered when a later router opens the store, and closes it."""

    @abstractmethod
    def reopen(self, store: Store) -> Store:
        """A store that remembers what ``store`` did, after closing that."""

    def test_a_state_that_is_joined_adds_to_the_last(self, store: Store) -> None:
        def join(earlier: bytes, later: bytes) -> bytes:
            return earlier + later

        self.open(store)
        store.put_state("sum", b"a", join)
        store.put_state("sum", b"b", join)
        store.flush()
        store.put_state("sum", b"c", join)
        store.put_state("other", b"x")
        store.put_state("other", b"y", join)
        later = self.reopen(store)
        assert dict(self.open(later).states) == {"sum": b"abc", "other": b"xy"}
        later.put_state("sum", b"d", join)
        assert self.again(later).states["sum"] == b"abcd"
