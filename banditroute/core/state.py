"""One named piece of a router's state, such as its circuits or its rollout, as a room sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar

from banditroute.errors import IncompatibleStoreError

_T = TypeVar("_T")
_B = TypeVar("_B")

MergeStates: TypeAlias = Callable[[bytes, bytes], bytes]
"""``merge(earlier, later)`` -> one piece of state that holds what both do; associative and without side effects."""


class SaveState(Protocol):
    """Takes a piece of state, to be recorded under a name."""

    def __call__(self, name: str, blob: bytes, merge: MergeStates | None = None) -> bytes | None:
        """Queue ``blob`` for recording; with ``merge`` it is added to what any process has recorded.

        Return what is recorded then, if it is known at once.
        """


def keep_nothing(name: str, blob: bytes, merge: MergeStates | None = None) -> None:
    """Drop a piece of state, where no store is at work."""


def read_state(name: str, blob: _B, read: Callable[[_B], _T]) -> _T:
    """Return what ``read`` makes of a piece of state.

    Raises
    ------
    IncompatibleStoreError
        If ``read`` cannot read it.
    """
    try:
        return read(blob)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise IncompatibleStoreError(
            f"the stored state {name!r} is damaged ({error}); restore the database from a backup, or use another "
            f"router name"
        ) from error


class StateSlot:
    """The place of one named piece of state: what is stored there, and how to save what comes next.

    Parameters
    ----------
    name
        The name under which it is stored.
    stored
        What was saved there before; None if nothing was.
    save
        Records a piece of state, such as ``store.save_state``. Default: nothing is kept.

    Examples
    --------
    >>> slot = StateSlot(name="circuits", stored=b"3")
    >>> slot.load(lambda blob: int(blob or b"0"))
    3
    >>> slot.save(b"4")  # kept nowhere, as no store was given
    """

    def __init__(self, *, name: str, stored: bytes | None = None, save: SaveState = keep_nothing) -> None:
        self.name = name
        self.stored = stored
        self._save = save

    def load(self, read: Callable[[bytes | None], _T]) -> _T:
        """Return what ``read`` makes of the stored bytes, or of None where nothing is stored.

        Raises
        ------
        IncompatibleStoreError
            If ``read`` cannot read them.
        """
        return read_state(self.name, self.stored, read)

    def save(self, blob: bytes, merge: MergeStates | None = None) -> bytes | None:
        """Record ``blob`` in place of what is stored, or merge it into that; return the result if it is known."""
        return self._save(self.name, blob, merge)
