"""What the adapter cache asks of whatever holds the adapters, and what it is told.

A backend has *slots*: places in the memory that serves requests. ``load`` makes an adapter sit in one and is called
before every use, so it is free where the adapter sits there already, and a backend that evicts by recency learns of the
use by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from banditroute.core.adapter import AdapterSpec
from banditroute.core.validation import whole
from banditroute.errors import AdapterIncompatibleError, InvalidConfigurationError


class Tier(StrEnum):
    """Where an adapter is, slowest first; ``GPU`` is the memory that serves requests, whatever the device."""

    DISK = "disk"
    RAM = "ram"
    GPU = "gpu"
    UNKNOWN = "unknown"


class Capability(StrEnum):
    """What a backend can do.

    ``STRICT``: it loads into free slots only, evicts nothing of itself, and ``resident()`` is the truth; without it,
    the backend evicts by its own rules and ``resident()`` is an estimate. ``PIN``: it keeps an adapter whose spec is
    pinned.
    """

    STRICT = "strict"
    PIN = "pin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How much fits into the memory that serves requests.

    Parameters
    ----------
    slots
        Adapters that may be resident, at least 1; None: no limit.
    size_bytes
        Bytes that they may have together, at least 1; None: no limit.
    staging_slots
        Further slots, at least 0, for adapters that serve a request or two and leave again.

    Raises
    ------
    InvalidConfigurationError
        For another number.
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
    """What became of a load.

    Attributes
    ----------
    name
        Of the adapter.
    seconds
        How long it took; None where the load is left to the next request, so that nothing could be measured.
    source
        Where it was before.
    evicted
        Names of the adapters that (as far as is known) lost their slot to it.
    """

    name: str
    seconds: float | None
    source: Tier
    evicted: tuple[str, ...] = ()

    @property
    def was_resident(self) -> bool:
        """Whether it was there already, as far as is known: then ``seconds`` says nothing of what paging costs."""
        return self.source is Tier.GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """What a load is expected to take.

    Attributes
    ----------
    mean_seconds, p95_seconds
        Mean, and what 95% of the loads stay below.
    n
        Measured loads that this rests on; 0: none, it is a prior.
    """

    mean_seconds: float
    p95_seconds: float
    n: int = 0


@runtime_checkable
class AdapterBackend(Protocol):
    """What holds the adapters. Thread-safe.

    Every method raises ``BackendUnavailableError`` where the backend cannot be reached, does not answer in time, or
    fails. Whatever raises has left nothing half-loaded.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""
        ...

    def capacity(self) -> Capacity:
        """How much fits."""
        ...

    def size(self, adapter: AdapterSpec) -> int | None:
        """The bytes of ``adapter``, found without loading it; None where it cannot be known from here."""
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
            If there is no room, which with ``Capability.STRICT`` others have to be unloaded for.
        """
        ...

    def unload(self, name: str) -> bool:
        """Give up the slot of adapter ``name``.

        Returns
        -------
        bool
            True if it is not resident any more, or was not; False if that was asked and is not certain.

        Raises
        ------
        AdapterBusyError
            If a request is being served through it.
        """
        ...

    def resident(self) -> Mapping[str, Tier]:
        """Name -> tier of the adapters that are not on disk alone."""
        ...

    def load_cost(self, adapter: AdapterSpec) -> CostEstimate:
        """What loading ``adapter`` from where it is now is expected to take, before any load is measured."""
        ...


@runtime_checkable
class AsyncAdapterBackend(AdapterBackend, Protocol):
    """A backend behind a network: what waits for it can be awaited."""

    async def aload(self, adapter: AdapterSpec) -> LoadResult:
        """As ``load``."""
        ...

    async def aunload(self, name: str) -> bool:
        """As ``unload``."""
        ...

    async def aresident(self) -> Mapping[str, Tier]:
        """As ``resident``."""
        ...


def check_same(adapter: AdapterSpec, path: str) -> None:
    """Refuse ``adapter`` if the one that goes by its name is that in ``path``, and that is another one.

    Raises
    ------
    AdapterIncompatibleError
        If it is.
    """
    if adapter.path != path:
        raise AdapterIncompatibleError(
            f"the name {adapter.name!r} belongs to the adapter in {path!r}, and {adapter.path!r} is another one; "
            "give it another name"
        )
