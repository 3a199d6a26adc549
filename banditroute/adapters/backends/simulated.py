"""A backend without a model: load times are drawn, and pass on a virtual clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from threading import RLock

import numpy as np

from banditroute.adapters.backends.base import Capability, Capacity, CostEstimate, LoadResult, Tier, check_same
from banditroute.core.adapter import AdapterSpec
from banditroute.core.forking import hold_while_forking
from banditroute.core.validation import number
from banditroute.errors import AdapterCapacityError, InvalidConfigurationError

_P95 = 1.645  # standard deviations above the median of the log


class SimulatedBackend:
    """Slots that are loaded in ``(base_seconds + bytes / bytes_per_second) * J``, with J lognormal of mean 1.

    Parameters
    ----------
    capacity
        Its slots and bytes.
    base_seconds
        Seconds of a load of the smallest adapter, at least 0.
    bytes_per_second
        Speed at which bytes are copied, at least 1.
    jitter
        Standard deviation of ``log J``, between 0 and 2.
    seed
        Seed of the jitter.
    pass_time
        Called with the seconds of each load: ``clock.advance``, ``time.sleep``, or nothing.

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range.

    Examples
    --------
    >>> backend = SimulatedBackend(capacity=Capacity(slots=2), base_seconds=0.25, bytes_per_second=1e9, jitter=0.0)
    >>> backend.load(AdapterSpec(name="law", path="law", size_bytes=250_000_000)).seconds
    0.5
    >>> backend.resident()
    {'law': <Tier.GPU: 'gpu'>}
    """

    capabilities: frozenset[Capability] = frozenset({Capability.STRICT, Capability.PIN})

    def __init__(
        self,
        *,
        capacity: Capacity,
        base_seconds: float = 0.05,
        bytes_per_second: float = 2e9,
        jitter: float = 0.2,
        seed: int = 0,
        pass_time: Callable[[float], object] = lambda seconds: None,
    ) -> None:
        error = InvalidConfigurationError
        self._base_seconds = number(base_seconds, name="base_seconds", low=0.0, error=error)
        self._bytes_per_second = number(bytes_per_second, name="bytes_per_second", low=1.0, error=error)
        self._jitter = number(jitter, name="jitter", low=0.0, high=2.0, error=error)
        self._capacity = capacity
        self._rng = np.random.default_rng(seed)
        self._pass_time = pass_time
        self._resident: dict[str, AdapterSpec] = {}
        self._lock = RLock()
        hold_while_forking(self, "_lock")

    def capacity(self) -> Capacity:
        """Return how much fits."""
        return self._capacity

    def size(self, adapter: AdapterSpec) -> int:
        """Return the bytes of ``adapter``, as its spec says.

        Raises
        ------
        InvalidConfigurationError
            If the spec has no ``size_bytes``.
        """
        if adapter.size_bytes is None:
            raise InvalidConfigurationError(
                f"size_bytes of adapter {adapter.name!r} is not given; a simulated load takes its time from it"
            )
        return adapter.size_bytes

    def load(self, adapter: AdapterSpec) -> LoadResult:
        """Make ``adapter`` resident; see ``AdapterBackend``."""
        size = self.size(adapter)
        with self._lock:
            held = self._resident.get(adapter.name)
            if held is not None:
                check_same(adapter, held.path)
                return LoadResult(name=adapter.name, seconds=0.0, source=Tier.GPU)
            limit = self._capacity
            used = sum(self.size(each) for each in self._resident.values())
            if limit.size_bytes is not None and used + size > limit.size_bytes:
                raise AdapterCapacityError(
                    f"adapter {adapter.name!r} has {size} bytes, and {used} of {limit.size_bytes} are taken; unload one"
                )
            if limit.slots is not None and len(self._resident) >= limit.slots + limit.staging_slots:
                raise AdapterCapacityError(
                    f"all {len(self._resident)} slots are taken, none is left for {adapter.name!r}; unload another"
                )
            self._resident[adapter.name] = adapter
            draw = self._rng.normal(-(self._jitter**2) / 2.0, self._jitter)  # the mean of exp(draw) is 1
        seconds = self._seconds(size) * math.exp(draw)
        self._pass_time(seconds)
        return LoadResult(name=adapter.name, seconds=seconds, source=Tier.DISK)

    def unload(self, name: str) -> bool:
        """Give up the slot of adapter ``name`` at once; return True."""
        with self._lock:
            self._resident.pop(name, None)
        return True

    def resident(self) -> dict[str, Tier]:
        """Return name -> tier of the adapters in slots."""
        with self._lock:
            return dict.fromkeys(self._resident, Tier.GPU)

    def load_cost(self, adapter: AdapterSpec) -> CostEstimate:
        """Return mean and 95% quantile of the distribution that loads are drawn from."""
        mean = self._seconds(self.size(adapter))
        return CostEstimate(mean_seconds=mean, p95_seconds=mean * math.exp(_P95 * self._jitter - self._jitter**2 / 2.0))

    def _seconds(self, size: int) -> float:
        return self._base_seconds + size / self._bytes_per_second
