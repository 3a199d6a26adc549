"""Prefetch: adapters that will soon be in demand are loaded before requests ask for them.

Demand is predicted from the time of day and from the last hours. The requests expected for adapter i in hour h are

    demand[i] = (day[h, i] + recent[i]) / (days[h] + 1)

where ``day`` sums the requests of hour h over earlier days and ``days`` counts those days; a day counts half as much as
the next one. ``recent`` are the requests of the last full hour and of the present one.

An adapter is loaded if its demand times its load seconds is more than that of the adapter that leaves for it. The loads
are charged to a budget of their own, in seconds of loading per hour.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from banditroute.adapters.cache import AdapterCache
from banditroute.adapters.fleet import Fleet
from banditroute.core.adapter import AdapterSpec
from banditroute.core.arrays import Vector
from banditroute.core.forking import hold_while_forking
from banditroute.core.validation import number
from banditroute.errors import AdapterError, InvalidConfigurationError

_HOUR_SECONDS = 3600.0
_HOURS = 24
_DAY_DECAY = 0.5


class Prefetcher:
    """Loads adapters ahead of demand, within a budget. Call ``run_once`` from a timer, never from a request.

    Parameters
    ----------
    cache
        The cache or the fleet of the router.
    adapters
        Adapters that may be loaded ahead.
    load_seconds_per_hour
        The budget: seconds of loading in an hour, above 0. Unspent seconds do not add up beyond an hour.
    clock
        Unix time in seconds; replaced in tests.

    Raises
    ------
    InvalidConfigurationError
        If there is no adapter, or the budget is out of range.

    Examples
    --------
    >>> from banditroute.adapters import Capacity, SimulatedBackend
    >>> cache = AdapterCache(backend=SimulatedBackend(capacity=Capacity(slots=1), jitter=0.0))
    >>> law = AdapterSpec(name="law", path="law", size_bytes=100_000_000)
    >>> cache.start([law])
    >>> prefetcher = Prefetcher(cache=cache, adapters=[law], load_seconds_per_hour=10.0)
    >>> prefetcher.observe("law")  # a request for it
    >>> prefetcher.run_once()
    ('law',)
    """

    def __init__(
        self,
        *,
        cache: AdapterCache | Fleet,
        adapters: Sequence[AdapterSpec],
        load_seconds_per_hour: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not adapters:
            raise InvalidConfigurationError("adapters is empty; name the adapters that may be loaded ahead")
        error = InvalidConfigurationError
        if number(load_seconds_per_hour, name="load_seconds_per_hour", error=error) <= 0.0:
            raise error(f"load_seconds_per_hour is {load_seconds_per_hour!r}; give a number above 0")
        self._cache = cache
        self._adapters = {adapter.name: adapter for adapter in adapters}
        self._column = {name: i for i, name in enumerate(self._adapters)}
        self._budget_seconds = load_seconds_per_hour
        self._clock = clock
        self._lock = threading.RLock()
        hold_while_forking(self, "_lock")
        self._day = np.zeros((_HOURS, len(adapters)))
        self._days = np.zeros(_HOURS)
        self._counts = np.zeros(len(adapters))  # of the present hour
        self._last_counts = np.zeros(len(adapters))  # of the hour before
        self._hour = int(clock() // _HOUR_SECONDS)
        self._left_seconds = load_seconds_per_hour
        self._refilled_at = clock()

    @property
    def left_seconds(self) -> float:
        """Seconds of loading that the budget has left."""
        with self._lock:
            self._refill()
            return self._left_seconds

    def observe(self, name: str) -> None:
        """Count a request for adapter ``name``; other names are ignored."""
        column = self._column.get(name)
        if column is not None:
            with self._lock:
                self._turn()
                self._counts[column] += 1.0

    def demand(self) -> dict[str, float]:
        """Return the requests expected for each adapter in the coming hour."""
        with self._lock:
            self._turn()
            return dict(zip(self._adapters, self._demand().tolist(), strict=True))

    def run_once(self) -> tuple[str, ...]:
        """Load the adapters that are worth it, as far as budget and slots go; return their names."""
        worth, chosen = self._worth_loading()
        for name, value in worth.items():
            self._cache.prioritize(name, value)  # so that the one least in demand leaves
        try:
            return tuple(name for name in chosen if self._load(self._adapters[name]))
        finally:
            for name in worth:
                self._cache.prioritize(name, 0.0)

    def _load(self, adapter: AdapterSpec) -> bool:
        """Load an adapter if the budget allows it; return whether it was loaded."""
        expected_seconds = self._cache.load_cost(adapter).mean_seconds
        with self._lock:
            self._refill()
            if expected_seconds > self._left_seconds:
                return False
            self._left_seconds -= expected_seconds
        try:
            hold = self._cache.hold(adapter)
        except AdapterError:  # a request that needs it will say why
            return False
        hold.release()
        with self._lock:
            self._left_seconds -= hold.seconds - expected_seconds
        return True

    def _worth_loading(self) -> tuple[dict[str, float], list[str]]:
        """Return the worth of each adapter in seconds, and those to load, best first."""
        worth = {
            name: demand * self._cache.load_cost(self._adapters[name]).mean_seconds
            for name, demand in self.demand().items()
        }
        resident = self._cache.resident
        slots = self._cache.capacity.slots
        free = len(worth) if slots is None else max(slots - len(resident), 0)
        leaving = sorted(worth.get(name, 0.0) for name in resident)
        chosen = []
        for name in sorted(worth.keys() - resident, key=lambda name: (-worth[name], name)):
            room_is_worth = 0.0 if free else leaving.pop(0) if leaving else worth[name]
            if worth[name] <= room_is_worth:
                break
            free = max(free - 1, 0)
            chosen.append(name)
        return worth, chosen

    def _demand(self) -> Vector:
        hour = self._hour % _HOURS
        expected: Vector = (self._day[hour] + self._last_counts + self._counts) / (self._days[hour] + 1.0)
        return expected

    def _turn(self) -> None:
        """Move the counts of the present hour into its hour of the day, once it is over."""
        hour = int(self._clock() // _HOUR_SECONDS)
        if hour <= self._hour:
            return
        past = self._hour % _HOURS
        self._day[past] = _DAY_DECAY * self._day[past] + self._counts
        self._days[past] = _DAY_DECAY * self._days[past] + 1.0
        self._last_counts = self._counts if hour == self._hour + 1 else np.zeros_like(self._counts)
        self._counts = np.zeros_like(self._counts)
        self._hour = hour

    def _refill(self) -> None:
        now = self._clock()
        elapsed_hours = max(now - self._refilled_at, 0.0) / _HOUR_SECONDS
        self._left_seconds = min(self._left_seconds + elapsed_hours * self._budget_seconds, self._budget_seconds)
        self._refilled_at = now
