"""The state slots of one router: every piece of its state, by name."""

from __future__ import annotations

from collections.abc import Mapping

from banditroute.core.state import SaveState, StateSlot, keep_nothing


class StateSlots:
    """Gives each room the slot of its own piece of state.

    Parameters
    ----------
    states
        Name -> bytes, as a store remembers them. Default: nothing is remembered.
    save
        ``store.save_state``. Default: nothing is kept.

    Examples
    --------
    >>> slots = StateSlots(states={"breaker": b"{}"})
    >>> slots["breaker"].stored, slots["guard"].stored
    (b'{}', None)
    """

    def __init__(self, *, states: Mapping[str, bytes] | None = None, save: SaveState = keep_nothing) -> None:
        self._states = {} if states is None else states
        self._save = save

    def __getitem__(self, name: str) -> StateSlot:
        """Return the slot of that name."""
        return StateSlot(name=name, stored=self._states.get(name), save=self._save)
