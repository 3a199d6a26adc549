"""The resident set: which adapters sit in fast memory, who uses them, and which must leave for another.

It only plans; whoever is told to load does the loading, outside the lock, and says what became of it. Everybody else
who wants the same adapter, or the room that is being made, waits for that one load.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeAlias

from banditroute.adapters.backends.base import Capacity
from banditroute.adapters.eviction import Score, Use, lru
from banditroute.errors import AdapterCapacityError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The adapter is resident, and in use until ``release``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Unload ``evict``, then load the adapter, then say ``loaded`` or ``failed``.

    Attributes
    ----------
    evict
        Names of the adapters that leave.
    staged
        Whether it sits in a staging slot.
    """

    evict: tuple[str, ...]
    staged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Ask again when ``until`` is done: the adapter is being loaded or evicted, or all room is in use."""

    until: Future[None]


Step: TypeAlias = Ready | Load | Wait


@dataclass(slots=True, kw_only=True)
class _Seat:
    use: Use
    pinned: bool
    staged: bool
    users: int = 0
    loading: Future[None] | None = None
    leaving: tuple[_Seat, ...] = ()  # those that it takes the room of, until it is loaded


@dataclass(slots=True)
class _Uses:
    """The history of all adapters."""

    of: dict[str, Use] = field(default_factory=dict)
    count: int = 0
    floor: float = 0.0


class ResidentSet:
    """The adapters in fast memory, never more than fit. Safe to use from many threads, and from coroutines.

    Pinned adapters and those in use are never evicted; room is made before a load. An adapter that is not to be kept
    takes a staging slot, and leaves those that are kept alone.

    Parameters
    ----------
    capacity
        Slots, bytes and staging slots. Bytes are those of all adapters, staged or not.
    score
        What keeping an adapter is worth: :mod:`banditroute.adapters.eviction`. May be exchanged at any time.

    Attributes
    ----------
    awaited
        Adapters that waiting requests need: they leave after all others. May be exchanged at any time.

    Examples
    --------
    >>> resident = ResidentSet(capacity=Capacity(slots=1))
    >>> resident.request("law")
    Load(evict=(), staged=False)
    >>> resident.loaded("law")
    >>> resident.release("law")
    >>> resident.request("code")
    Load(evict=('law',), staged=False)
    """

    def __init__(self, *, capacity: Capacity, score: Score = lru) -> None:
        self.score = score
        self.awaited: Collection[str] = ()
        self._capacity = capacity
        self._seats: dict[str, _Seat] = {}
        self._leaving: dict[str, Future[None]] = {}
        self._uses = _Uses()
        self._lock = Lock()
        self._released: Future[None] = Future()

    @property
    def names(self) -> frozenset[str]:
        """The adapters that are resident: not those that are being loaded."""
        with self._lock:
            return frozenset(name for name, seat in self._seats.items() if seat.loading is None)

    @property
    def kept(self) -> frozenset[str]:
        """Those of them that do not sit in a staging slot."""
        with self._lock:
            return frozenset(name for name, seat in self._seats.items() if seat.loading is None and not seat.staged)

    def left_beside(self, names: Collection[str], *, kept: bool) -> tuple[int | None, int | None]:
        """Slots and bytes that can be had while all of ``names`` stay, and what cannot leave now; None: no limit.

        ``kept``: whether all stay that do not sit in a staging slot, and staging slots can be had, too.
        """
        with self._lock:
            held = [
                seat
                for name, seat in self._seats.items()
                if name in names or seat.users or seat.pinned or seat.loading or (kept and not seat.staged)
            ]
            slots, size_bytes = self._capacity.slots, self._capacity.size_bytes
            staging = self._capacity.staging_slots if kept else 0
            return (
                None if slots is None else slots + staging - len(held),
                None if size_bytes is None else size_bytes - sum(seat.use.size_bytes for seat in held),
            )

    def users(self, name: str) -> int:
        """How many requests are being served through an adapter."""
        with self._lock:
            return self._seats[name].users if name in self._seats else 0

    def request(
        self, name: str, *, size_bytes: int = 1, load_seconds: float = 1.0, pinned: bool = False, keep: bool = True
    ) -> Step:
        """Use an adapter: count the use where it is resident; otherwise say what to do first.

        Parameters
        ----------
        size_bytes, load_seconds
            Of the adapter, as far as known.
        pinned
            Whether it stays, once loaded.
        keep
            Whether it may take the room of those that are kept; False: a staging slot, where there are any.

        Raises
        ------
        AdapterCapacityError
            If it would not fit with everything evicted that is not pinned.
        """
        keep = keep or pinned  # a pinned adapter would block its staging slot for ever
        with self._lock:
            seat = self._seats.get(name)
            if seat is not None:
                if seat.loading is not None:
                    return Wait(until=seat.loading)
                seat.users += 1
                seat.pinned = seat.pinned or pinned
                if keep and seat.staged:
                    self._keep(seat)
                self._count(seat.use)
                return Ready()
            if name in self._leaving:
                return Wait(until=self._leaving[name])
            staged = not keep and self._capacity.staging_slots > 0 and self._free_slots() < 1
            self._check_possible(name, size_bytes, staged)
            evict = self._victims(size_bytes, staged)
            if evict is None:
                return Wait(until=self._released)
            leaving = tuple(self._seats.pop(victim) for victim in evict)
            use = self._uses.of.setdefault(name, Use(name=name))
            use.size_bytes, use.load_seconds = size_bytes, load_seconds
            loading: Future[None] = Future()
            self._seats[name] = _Seat(use=use, pinned=pinned, staged=staged, loading=loading, leaving=leaving)
            for victim in evict:
                self._leaving[victim] = loading
            return Load(evict=evict, staged=staged)

    def loaded(self, name: str, *, evicted: Sequence[str] = ()) -> None:
        """The load that ``request`` asked for is done, and the adapter in use until ``release``.

        ``evicted`` are adapters that the backend evicted of itself, as it believes; those in use cannot be.
        """
        with self._lock:
            seat = self._seats[name]
            for left in seat.leaving:
                self._uses.floor = max(self._uses.floor, self.score(left.use, self._uses.count))
            seat.users = 1
            seat.use.loaded_at = self._uses.count
            self._count(seat.use)
            for gone in evicted:
                held = self._seats.get(gone)
                if held is not None and held.loading is None and not held.users:
                    del self._seats[gone]
            self._land(seat)

    def failed(self, name: str, *, still: Sequence[str] = ()) -> None:
        """The load that ``request`` asked for came to nothing; ``still`` are those to be evicted that never left."""
        with self._lock:
            seat = self._seats.pop(name)
            self._seats.update({left.use.name: left for left in seat.leaving if left.use.name in still})
            self._land(seat)

    def release(self, name: str) -> None:
        """A request that was served through the adapter is answered."""
        with self._lock:
            self._seats[name].users -= 1
            self._wake()

    def evict(self, name: str) -> bool:
        """Give up an adapter, if it is neither in use nor pinned: whether it is to be unloaded now."""
        with self._lock:
            seat = self._seats.get(name)
            if seat is None or seat.users or seat.pinned or seat.loading is not None:
                return False
            del self._seats[name]
            self._wake()
            return True

    def _keep(self, seat: _Seat) -> None:
        """Let a staged adapter be one of those that are kept; where these have no slot left, for one of them."""
        if self._free_slots() < 1:
            now = self._uses.count
            kept = [other for other in self._seats.values() if not (other.staged or other.pinned)]
            least = min(kept, key=lambda other: (self.score(other.use, now), other.use.used_at), default=None)
            if least is None or (self.score(least.use, now) > self.score(seat.use, now) and not seat.pinned):
                return
            least.staged = True
        seat.staged = False

    def _land(self, seat: _Seat) -> None:
        """Let those go on that wait for a load, or for the room that it took."""
        for left in seat.leaving:
            self._leaving.pop(left.use.name, None)
        loading, seat.loading, seat.leaving = seat.loading, None, ()
        assert loading is not None
        loading.set_result(None)
        self._wake()

    def _wake(self) -> None:
        released, self._released = self._released, Future()
        released.set_result(None)

    def _count(self, use: Use) -> None:
        self._uses.count += 1
        use.uses += 1
        use.used_at = self._uses.count
        use.floor = self._uses.floor

    def _free_slots(self, *, staged: bool = False) -> float:
        slots = self._capacity.staging_slots if staged else self._capacity.slots
        if slots is None:
            return math.inf
        left = slots
        for seat in self._seats.values():  # those that leave are there until they have left
            left -= max(seat.staged is staged, sum(other.staged is staged for other in seat.leaving))
        return left

    def _free_bytes(self) -> float:
        if self._capacity.size_bytes is None:
            return math.inf
        left = self._capacity.size_bytes
        for seat in self._seats.values():
            left -= max(seat.use.size_bytes, sum(other.use.size_bytes for other in seat.leaving))
        return left

    def _check_possible(self, name: str, size_bytes: int, staged: bool) -> None:
        pinned = [seat for seat in self._seats.values() if seat.pinned]
        slots, room = self._capacity.slots, self._capacity.size_bytes
        if room is not None and size_bytes + sum(seat.use.size_bytes for seat in pinned) > room:
            raise AdapterCapacityError(
                f"adapter {name!r} has {size_bytes} bytes and {len(pinned)} adapters are pinned, of {room} bytes in "
                "all; give more room, or pin fewer"
            )
        if not staged and slots is not None and sum(not seat.staged for seat in pinned) >= slots:
            raise AdapterCapacityError(
                f"all {slots} slots hold pinned adapters, none is left for {name!r}; give more slots, or pin fewer"
            )

    def _victims(self, size_bytes: int, staged: bool) -> tuple[str, ...] | None:
        """Who must leave for an adapter of this size, least score first; None while too many are in use."""
        now = self._uses.count
        movable = sorted(
            (seat for seat in self._seats.values() if not (seat.users or seat.pinned or seat.loading)),
            key=lambda seat: (
                not seat.staged,
                seat.use.name in self.awaited,
                self.score(seat.use, now),
                seat.use.used_at,
            ),
        )
        free, room = self._free_slots(staged=staged), self._free_bytes()
        chosen = []
        for seat in movable:
            if (free < 1 and seat.staged is staged) or room < size_bytes:
                chosen.append(seat.use.name)
                free += seat.staged is staged
                room += seat.use.size_bytes
        return tuple(chosen) if free >= 1 and room >= size_bytes else None
