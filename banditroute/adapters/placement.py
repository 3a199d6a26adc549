"""Placement: which server keeps which adapter."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Room:
    """The room of one server.

    Parameters
    ----------
    slots, size_bytes
        What fits; infinite where there is no limit.
    resident
        Adapters that it keeps now.
    """

    slots: float = math.inf
    size_bytes: float = math.inf
    resident: Set[str] = field(default_factory=frozenset)

    def take(self, size_bytes: float) -> bool:
        """Take the room of an adapter; return whether there was enough."""
        if self.slots < 1 or self.size_bytes < size_bytes:
            return False
        self.slots -= 1
        self.size_bytes -= size_bytes
        return True


def place(keep: Sequence[str], *, rooms: Mapping[str, Room], sizes: Mapping[str, float]) -> dict[str, list[str]]:
    """Give each adapter of ``keep`` a server, with as few loads as possible.

    An adapter stays on a server that keeps it already. The others go to the server with most room left; of equals, to
    the one of the highest hash of both names, so that all processes agree and few adapters move when a server joins or
    leaves (rendezvous hashing, Thaler and Ravishankar 1998).

    Parameters
    ----------
    keep
        Adapters in the order of their value. Those at the end go without a server if the room is short.
    rooms
        Server -> its room, which is used up.
    sizes
        Adapter -> bytes.

    Returns
    -------
    dict
        Server -> its adapters, in the order of their value.

    Examples
    --------
    >>> rooms = {"one": Room(slots=1, resident={"code"}), "two": Room(slots=2)}
    >>> place(["law", "code", "math"], rooms=rooms, sizes={"law": 1, "code": 1, "math": 1})
    {'one': ['code'], 'two': ['law', 'math']}
    """
    placed: dict[str, list[str]] = {server: [] for server in rooms}
    homeless = []
    for adapter in keep:
        homes = [server for server, room in rooms.items() if adapter in room.resident]
        if not any(_settle(placed, server, adapter, rooms, sizes) for server in homes):
            homeless.append(adapter)
    for adapter in homeless:
        by_room = sorted(rooms, key=lambda server: (rooms[server].slots, _weight(server, adapter)), reverse=True)
        any(_settle(placed, server, adapter, rooms, sizes) for server in by_room)
    order = {adapter: i for i, adapter in enumerate(keep)}
    return {server: sorted(adapters, key=order.__getitem__) for server, adapters in placed.items()}


def _settle(
    placed: dict[str, list[str]],
    server: str,
    adapter: str,
    rooms: Mapping[str, Room],
    sizes: Mapping[str, float],
) -> bool:
    if not rooms[server].take(sizes[adapter]):
        return False
    placed[server].append(adapter)
    return True


def _weight(server: str, adapter: str) -> bytes:
    return hashlib.blake2b(f"{server}\x00{adapter}".encode(), digest_size=8).digest()
