"""The resident set: which adapters are in fast memory, which are in use, and which must leave for another.

It only plans. The request that gets a ``Load`` does the loading, outside the lock, and reports the result. Other
requests for the same adapter, or for the room that is being made, wait for that one load.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import TypeAlias

from banditroute.adapters.backends.base import Capacity
from banditroute.adapters.eviction import Score, Use, lru
from banditroute.core.forking import hold_while_forking
from banditroute.core.promise import Promise
from banditroute.errors import AdapterCapacityError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The adapter is resident, and in use until ``release``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Unload ``evict``, load the adapter, and then report ``loaded`` or ``failed``.

    Attributes
    ----------
    evict
        Names of the adapters that leave.
    staged
        Whether the adapter has a staging slot.
    doubted
        Whether it was believed to be resident until a request through it failed. Ask the backend first.
    """

    evict: tuple[str, ...]
    staged: bool
    doubted: bool = field(default=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Request again when ``until`` is done: the adapter is being loaded or evicted, or all room is in use."""

    until: Promise[None]


Step: TypeAlias = Ready | Load | Wait


@dataclass(slots=True, kw_only=True)
class _Entry:
    use: Use
    pinned: bool
    staged: bool
    users: int = 0
    doubted: bool = False
    loading: Promise[None] | None = None
    leaving: tuple[_Entry, ...] = ()  # those whose room it takes, until it is loaded


@dataclass(slots=True)
class _Uses:
    """The history of use of all adapters."""

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
        The value of keeping an adapter: :mod:`banditroute.adapters.eviction`. May be exchanged at any time.

    Attributes
    ----------
    awaited
        Adapters that waiting requests need: they leave after all others. May be exchanged at any time.
    priorities
        Adapter -> priority, 0 where it has none: of two adapters the one of lower priority leaves first. May be changed
        at any time.

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
        self.priorities: dict[str, float] = {}
        self._capacity = capacity
        self._entries: dict[str, _Entry] = {}
        self._leaving: dict[str, Promise[None]] = {}
        self._uses = _Uses()
        self._lock = RLock()
        self._released: Promise[None] = Promise()
        hold_while_forking(self, "_lock")

    def begin_in_child(self) -> None:
        """Wait for no thread of the parent in a forked child: take back what was being loaded, and count no user."""
        self._released = Promise()
        self._leaving = {}
        for name, entry in list(self._entries.items()):
            if entry.loading is not None and not entry.doubted:
                del self._entries[name]
                self._entries.update({left.use.name: replace(left, doubted=True) for left in entry.leaving})
        for entry in self._entries.values():
            entry.users, entry.loading, entry.leaving = 0, None, ()

    @property
    def names(self) -> frozenset[str]:
        """The adapters that are resident: not those that are being loaded."""
        with self._lock:
            return frozenset(name for name, entry in self._entries.items() if not (entry.loading or entry.doubted))

    @property
    def size(self) -> int:
        """Number of adapters that are resident or being loaded."""
        return len(self._entries)

    @property
    def kept(self) -> frozenset[str]:
        """Those of them that have no staging slot."""
        with self._lock:
            return frozenset(
                name for name, entry in self._entries.items() if not (entry.loading or entry.doubted or entry.staged)
            )

    def left_beside(self, names: Collection[str], *, kept: bool) -> tuple[int | None, int | None]:
        """Return the slots and bytes that are left if ``names`` stay, besides what cannot leave now; None: no limit.

        ``kept``: whether adapters without a staging slot stay too, and staging slots can be taken.
        """
        with self._lock:
            held = [
                entry
                for name, entry in self._entries.items()
                if name in names or entry.users or entry.pinned or entry.loading or (kept and not entry.staged)
            ]
            slots, size_bytes = self._capacity.slots, self._capacity.size_bytes
            staging = self._capacity.staging_slots if kept else 0
            return (
                None if slots is None else slots + staging - len(held),
                None if size_bytes is None else size_bytes - sum(entry.use.size_bytes for entry in held),
            )

    def users(self, name: str) -> int:
        """Return the number of requests that are being served through an adapter."""
        with self._lock:
            return self._entries[name].users if name in self._entries else 0

    def request(
        self, name: str, *, size_bytes: int = 1, load_seconds: float = 1.0, pinned: bool = False, keep: bool = True
    ) -> Step:
        """Use an adapter: count the use where it is resident; otherwise return what has to be done first.

        Parameters
        ----------
        size_bytes, load_seconds
            Size and load time of the adapter, as far as known.
        pinned
            Whether it stays, once loaded.
        keep
            Whether it may take the room of adapters that are kept; False: it takes a staging slot, if there are any.

        Raises
        ------
        AdapterCapacityError
            If it would not fit with everything evicted that is not pinned.
        """
        keep = keep or pinned  # a pinned adapter would block its staging slot for ever
        with self._lock:
            entry = self._entries.get(name)
            if entry is not None:
                if entry.loading is not None:
                    return Wait(until=entry.loading)
                entry.pinned = entry.pinned or pinned
                if entry.doubted:
                    entry.loading = Promise()
                    return Load(evict=(), staged=entry.staged, doubted=True)
                entry.users += 1
                if keep and entry.staged:
                    self._keep(entry)
                self._count(entry.use)
                return Ready()
            if name in self._leaving:
                return Wait(until=self._leaving[name])
            staged = not keep and self._capacity.staging_slots > 0 and self._free_slots() < 1
            self._check_possible(name, size_bytes, staged)
            evict = self._victims(size_bytes, staged)
            if evict is None:
                return Wait(until=self._released)
            leaving = tuple(self._entries.pop(victim) for victim in evict)
            use = self._uses.of.setdefault(name, Use(name=name))
            use.size_bytes, use.load_seconds = size_bytes, load_seconds
            loading: Promise[None] = Promise()
            self._entries[name] = _Entry(use=use, pinned=pinned, staged=staged, loading=loading, leaving=leaving)
            for victim in evict:
                self._leaving[victim] = loading
            return Load(evict=evict, staged=staged)

    def loaded(self, name: str, *, evicted: Sequence[str] = ()) -> None:
        """Report that the load that ``request`` asked for is done; the adapter is in use until ``release``.

        ``evicted`` are adapters that the backend believes to have evicted by itself; those in use cannot be.
        """
        with self._lock:
            entry = self._entries[name]
            for left in entry.leaving:
                self._uses.floor = max(self._uses.floor, self.score(left.use, self._uses.count))
            entry.users += 1
            entry.doubted = False
            entry.use.loaded_at = self._uses.count
            self._count(entry.use)
            for gone in evicted:
                held = self._entries.get(gone)
                if held is not None and held.loading is None and not held.users:
                    del self._entries[gone]
            self._land(entry)

    def failed(self, name: str, *, still: Sequence[str] = ()) -> None:
        """Report that the load that ``request`` asked for failed; adapters ``still`` were to leave and did not."""
        with self._lock:
            entry = self._entries[name]
            if entry.users:  # requests that began before it was doubted; they release it
                entry.doubted = True
            else:
                del self._entries[name]
            self._entries.update({left.use.name: left for left in entry.leaving if left.use.name in still})
            self._land(entry)

    def release(self, name: str) -> None:
        """Report that a request through the adapter has been answered."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is not None:  # it may be gone in a forked child, which counts its users from 0
                entry.users = max(entry.users - 1, 0)
            self._wake()

    def doubt(self, name: str) -> bool:
        """Have the next use of an adapter check that it is resident; return whether it was believed to be."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is None or entry.loading is not None or entry.doubted:
                return False
            entry.doubted = True
            return True

    def follow(self, name: str, *, size_bytes: int = 1, load_seconds: float = 1.0) -> bool:
        """Count an adapter that another process has loaded as resident; return whether that is new."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is not None and entry.doubted and entry.loading is None:
                entry.doubted = False
                return True
            if entry is not None or name in self._leaving:
                return False
            use = self._uses.of.setdefault(name, Use(name=name))
            use.size_bytes, use.load_seconds, use.loaded_at = size_bytes, load_seconds, self._uses.count
            self._count(use)
            self._entries[name] = _Entry(use=use, pinned=False, staged=False)
            return True

    def unpin(self, name: str) -> None:
        """Let an adapter be evicted again."""
        with self._lock:
            if name in self._entries:
                self._entries[name].pinned = False
                self._wake()

    def evict(self, name: str) -> bool:
        """Give up an adapter that is neither in use nor pinned; return whether it has to be unloaded now."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is None or entry.users or entry.pinned or entry.loading is not None:
                return False
            del self._entries[name]
            self._wake()
            return True

    def _keep(self, entry: _Entry) -> None:
        """Move a staged adapter to the kept ones; if these have no slot left, in exchange for one of them."""
        if self._free_slots() < 1:
            now = self._uses.count
            kept = [other for other in self._entries.values() if not (other.staged or other.pinned)]
            least = min(kept, key=lambda other: (self.score(other.use, now), other.use.used_at), default=None)
            if least is None or (self.score(least.use, now) > self.score(entry.use, now) and not entry.pinned):
                return
            least.staged = True
        entry.staged = False

    def _land(self, entry: _Entry) -> None:
        """Wake the requests that wait for a load, or for the room that it took."""
        for left in entry.leaving:
            self._leaving.pop(left.use.name, None)
        loading, entry.loading, entry.leaving = entry.loading, None, ()
        assert loading is not None
        loading.set_result(None)
        self._wake()

    def _wake(self) -> None:
        released, self._released = self._released, Promise()
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
        for entry in self._entries.values():  # those that leave are there until they have left
            left -= max(entry.staged is staged, sum(other.staged is staged for other in entry.leaving))
        return left

    def _free_bytes(self) -> float:
        if self._capacity.size_bytes is None:
            return math.inf
        left = self._capacity.size_bytes
        for entry in self._entries.values():
            left -= max(entry.use.size_bytes, sum(other.use.size_bytes for other in entry.leaving))
        return left

    def _check_possible(self, name: str, size_bytes: int, staged: bool) -> None:
        pinned = [entry for entry in self._entries.values() if entry.pinned]
        slots, room = self._capacity.slots, self._capacity.size_bytes
        if room is not None and size_bytes + sum(entry.use.size_bytes for entry in pinned) > room:
            raise AdapterCapacityError(
                f"adapter {name!r} has {size_bytes} bytes and {len(pinned)} adapters are pinned, of {room} bytes in "
                "all; give more room, or pin fewer"
            )
        if not staged and slots is not None and sum(not entry.staged for entry in pinned) >= slots:
            raise AdapterCapacityError(
                f"all {slots} slots hold pinned adapters, none is left for {name!r}; give more slots, or pin fewer"
            )

    def _victims(self, size_bytes: int, staged: bool) -> tuple[str, ...] | None:
        """Return the adapters that must leave for one of this size, lowest score first; None: too many are in use."""
        now = self._uses.count
        movable = sorted(
            (entry for entry in self._entries.values() if not (entry.users or entry.pinned or entry.loading)),
            key=lambda entry: (
                not entry.staged,
                entry.use.name in self.awaited,
                self.priorities.get(entry.use.name, 0.0),
                self.score(entry.use, now),
                entry.use.used_at,
            ),
        )
        free, room = self._free_slots(staged=staged), self._free_bytes()
        chosen = []
        for entry in movable:
            if (free < 1 and entry.staged is staged) or room < size_bytes:
                chosen.append(entry.use.name)
                free += entry.staged is staged
                room += entry.use.size_bytes
        return tuple(chosen) if free >= 1 and room >= size_bytes else None
