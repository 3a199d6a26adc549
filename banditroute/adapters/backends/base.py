"""The protocol of a backend: it holds adapters, and the adapter cache loads and unloads them through it.

A backend has *slots*: places in the memory that serves requests. ``load`` puts an adapter into one. It is called before
every use, so it is free where the adapter has a slot already. A backend that evicts by recency counts uses by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from banditroute.core.adapter import AdapterSpec
from banditroute.core.validation import whole
from banditroute.errors import AdapterIncompatibleError, InvalidConfigurationError


class Tier(StrEnum):
    """The place of an adapter, slowest first; ``GPU`` is the memory that serves requests, whatever the device."""

    DISK = "disk"
    RAM = "ram"
    GPU = "gpu"
    UNKNOWN = "unknown"


class Capability(StrEnum):
    """An ability of a backend.

    ``STRICT``: it loads into free slots only, evicts nothing by itself, and ``resident()`` is the truth. Without it,
    the backend evicts by its own rules, and ``resident()`` is an estimate. ``PIN``: it keeps an adapter whose spec is
    pinned.
    """

    STRICT = "strict"
    PIN = "pin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The size of the memory that serves requests.

    Parameters
    ----------
    slots
        Adapters that may be resident, at least 1; None: no limit.
    size_bytes
        Largest sum of their bytes, at least 1; None: no limit.
    staging_slots
        Further slots, at least 0, for adapters that serve a request or two and leave again.

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range.
    """

    slots: int | None = None
    size_bytes: int | None = None
    staging_slots: int = 0

    def __post_init__(self) -> None:
        for name in ("slots", "size_bytes"):
            if getattr(self, name) is not None:
                whole(getattr(self, name), name=name, error=InvalidConfigurationError)
        whole(self.staging_slots, name="staging_slots", low=0, error=InvalidConfigurationError)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """The result of a load.

    Attributes
    ----------
    name
        Name of the adapter.
    seconds
        How long it took; None where the server loads with the next request, so that nothing could be measured.
    source
        The tier it was loaded from.
    evicted
        Names of the adapters that (as far as is known) lost their slot to it.
    """

    name: str
    seconds: float | None
    source: Tier
    evicted: tuple[str, ...] = ()

    @property
    def was_resident(self) -> bool:
        """True if it had a slot already, as far as is known; then ``seconds`` does not measure a load."""
        return self.source is Tier.GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """The expected time of a load.

    Attributes
    ----------
    mean_seconds, p95_seconds
        Mean and 95% quantile of the time of a load.
    n
        Number of measured loads of this adapter that it rests on; 0 for a guess.
    log_std
        Doubt about the mean: standard deviation of its logarithm, at least 0. 0: it is exact; .7: right within a factor
        of 2; 2.3: right within a factor of 10.
    source
        The tier that the adapter would be loaded from.
    """

    mean_seconds: float
    p95_seconds: float
    n: int = 0
    log_std: float = 0.0
    source: Tier = Tier.DISK

    @property
    def optimistic_seconds(self) -> float:
        """The mean, one standard deviation of doubt lower: a price at which an unmeasured load is tried."""
        return self.mean_seconds * math.exp(-self.log_std)


@runtime_checkable
class AdapterBackend(Protocol):
    """The owner of the memory that adapters are loaded into. Thread-safe.

    Every method raises ``BackendUnavailableError`` if the backend cannot be reached, does not answer in time, or fails.
    **A method that raises leaves no adapter half-loaded.**
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Its abilities."""
        ...

    def capacity(self) -> Capacity:
        """Return how much fits."""
        ...

    def size(self, adapter: AdapterSpec) -> int | None:
        """Return the bytes of ``adapter`` without loading it; None where they cannot be known from here."""
        ...

    def load(self, adapter: AdapterSpec) -> LoadResult:
        """Make ``adapter`` resident, and count a use of it.

        Raises
        ------
        AdapterNotFoundError
            If there are no such files.
        AdapterIncompatibleError
            If they are damaged, do not fit the base model or a slot's rank, or the name belongs to another adapter.
        AdapterCapacityError
            If there is no room. With ``Capability.STRICT``, the caller unloads others first.
        """
        ...

    def unload(self, name: str) -> bool:
        """Give up the slot of adapter ``name``.

        Returns
        -------
        bool
            True if it is not resident now; False if the backend was asked and this is not certain.

        Raises
        ------
        AdapterBusyError
            If a request is being served through it.
        """
        ...

    def resident(self) -> Mapping[str, Tier]:
        """Return name -> tier of the adapters that are not on disk alone."""
        ...

    def load_cost(self, adapter: AdapterSpec) -> CostEstimate:
        """Guess the time to load ``adapter`` from its present tier, before any load is measured."""
        ...


@runtime_checkable
class AsyncAdapterBackend(AdapterBackend, Protocol):
    """A backend behind a network, whose calls can be awaited."""

    async def aload(self, adapter: AdapterSpec) -> LoadResult:
        """Do as ``load`` does."""
        ...

    async def aunload(self, name: str) -> bool:
        """Do as ``unload`` does."""
        ...

    async def aresident(self) -> Mapping[str, Tier]:
        """Do as ``resident`` does."""
        ...


def check_same(adapter: AdapterSpec, path: str) -> None:
    """Refuse ``adapter`` if its name belongs to the adapter in ``path``, and that is another one.

    Raises
    ------
    AdapterIncompatibleError
        If the paths differ.
    """
    if adapter.path != path:
        raise AdapterIncompatibleError(
            f"the name {adapter.name!r} belongs to the adapter in {path!r}, and {adapter.path!r} is another one; "
            "give it another name"
        )
