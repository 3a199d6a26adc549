"""An estimate of the adapters that a server keeps: the least recently used leave the slots first, then RAM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from banditroute.adapters.backends.base import Tier


class ShadowLRU:
    """The adapters of a server that evicts the least recently used, from the uses that are known. Not thread-safe.

    Parameters
    ----------
    slots
        Adapters in the memory that serves requests, at least 1.
    ram_slots
        Adapters in RAM, those in slots included, at least ``slots``; None: no limit.

    Examples
    --------
    >>> shadow = ShadowLRU(slots=1, ram_slots=2)
    >>> shadow.use("a"), shadow.use("b"), shadow.use("c")
    ((), ('a',), ('b',))
    >>> [shadow.tier(name).value for name in "abc"]
    ['disk', 'ram', 'gpu']
    """

    def __init__(self, *, slots: int, ram_slots: int | None) -> None:
        self._slots = slots
        self._ram_slots = ram_slots
        self._tiers: dict[str, Tier] = {}  # the least recently used first
        self._pinned: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._tiers)

    def tier(self, name: str) -> Tier:
        """Return the tier of adapter ``name``."""
        return self._tiers.get(name, Tier.DISK)

    def use(self, name: str, *, pinned: bool = False) -> tuple[str, ...]:
        """Count a request through adapter ``name``, which stays from now on if it is ``pinned``.

        Returns
        -------
        tuple of str
            Names of the adapters that lose their slot to it.
        """
        if pinned:
            self._pinned.add(name)
        self._tiers.pop(name, None)
        self._tiers[name] = Tier.GPU
        may_go = [each for each in self._tiers if each != name and each not in self._pinned]
        in_slots = [each for each in may_go if self._tiers[each] is Tier.GPU]
        evicted = in_slots[: max(list(self._tiers.values()).count(Tier.GPU) - self._slots, 0)]
        self._tiers.update(dict.fromkeys(evicted, Tier.RAM))
        if self._ram_slots is not None:
            for each in may_go[: max(len(self._tiers) - self._ram_slots, 0)]:
                del self._tiers[each]
        return tuple(evicted)

    def drop(self, name: str) -> None:
        """Forget adapter ``name``."""
        self._tiers.pop(name, None)
        self._pinned.discard(name)

    def correct(self, tiers: Mapping[str, Tier]) -> None:
        """Take over what the server says; adapters that were unknown count as used longest ago."""
        known = {name: tiers[name] for name in self._tiers if name in tiers}
        self._tiers = {name: tier for name, tier in tiers.items() if name not in known} | known
