"""Prefetch: adapters are loaded ahead of the demand of the hour, within a budget, and never for a busier one."""

import pytest

from banditroute.adapters import AdapterCache, AdapterSpec, Capacity, Fleet, Prefetcher, SimulatedBackend, lru
from banditroute.errors import BackendUnavailableError, InvalidConfigurationError

HOUR = 3600.0
SPECS = [AdapterSpec(name=name, path=name, size_bytes=1) for name in "abc"]
A, B, C = SPECS


class Clock:
    def __init__(self):
        self.now = 1000 * 24 * HOUR  # midnight

    def __call__(self):
        return self.now


class Backend(SimulatedBackend):
    def __init__(self, slots=1):
        super().__init__(capacity=Capacity(slots=slots), base_seconds=2.0, bytes_per_second=1e12, jitter=0.0)
        self.broken = set()

    def load(self, adapter):
        if adapter.name in self.broken:
            raise BackendUnavailableError("broken")
        return super().load(adapter)


def made(*, slots=1, budget=100.0, timeout_seconds=60.0):
    backend, clock = Backend(slots), Clock()
    cache = AdapterCache(backend=backend, control=lru, timeout_seconds=timeout_seconds)
    cache.start(SPECS)
    return Prefetcher(cache=cache, adapters=SPECS, load_seconds_per_hour=budget, clock=clock), cache, clock, backend


def observe(prefetcher, **counts):
    for name, times in counts.items():
        for _ in range(times):
            prefetcher.observe(name)


class TestDemand:
    def test_first_hours_are_counted_as_they_are(self):
        prefetcher, _, clock, _ = made()
        observe(prefetcher, a=3)
        assert prefetcher.demand() == {"a": 3.0, "b": 0.0, "c": 0.0}
        clock.now += HOUR
        observe(prefetcher, b=1)
        assert prefetcher.demand() == {"a": 3.0, "b": 1.0, "c": 0.0}

    def test_same_hour_of_earlier_days_counts_and_days_fade(self):
        """Two days of 8 and 4 requests: 8 / 2 + 4 over 1.5 days, and one more for an idle last hour."""
        prefetcher, _, clock, _ = made()
        observe(prefetcher, a=8)
        clock.now += 24 * HOUR
        observe(prefetcher, a=4)
        clock.now += 24 * HOUR
        assert prefetcher.demand()["a"] == pytest.approx((8 / 2 + 4) / (1.5 + 1))
        clock.now += 5 * HOUR
        assert prefetcher.demand()["a"] == 0.0

    def test_clock_that_goes_back_or_far_ahead_does_no_harm(self):
        prefetcher, _, clock, _ = made()
        observe(prefetcher, a=2)
        clock.now -= 100 * HOUR
        observe(prefetcher, a=1)
        assert prefetcher.demand()["a"] == 3.0
        assert 0.0 <= prefetcher.left_seconds <= 100.0
        clock.now += 1e6 * HOUR
        assert prefetcher.demand()["a"] >= 0.0

    def test_unknown_adapter_is_ignored(self):
        prefetcher, _, _, _ = made()
        prefetcher.observe("z")
        assert set(prefetcher.demand()) == {"a", "b", "c"}


class TestLoads:
    def test_adapter_of_the_hour_is_loaded_before_its_first_request(self):
        prefetcher, cache, clock, _ = made()
        observe(prefetcher, a=10)
        clock.now += 12 * HOUR
        observe(prefetcher, b=10)
        cache.acquire(B)
        cache.release("b")
        clock.now += 12 * HOUR - 1.0
        assert prefetcher.run_once() == ()
        clock.now += 1.0
        assert prefetcher.run_once() == ("a",)
        assert cache.resident == {"a"}

    def test_busier_resident_adapter_stays(self):
        prefetcher, cache, _, _ = made(slots=2)
        for adapter in (A, B):
            cache.acquire(adapter)
            cache.release(adapter.name)
        observe(prefetcher, a=5, b=1, c=3)
        assert prefetcher.run_once() == ("c",)
        assert cache.resident == {"a", "c"}  # a was used longest ago, and b is least in demand
        assert prefetcher.run_once() == ()

    def test_adapter_in_use_is_never_evicted(self):
        prefetcher, cache, _, _ = made(timeout_seconds=0.01)
        cache.acquire(B)
        observe(prefetcher, a=5)
        assert prefetcher.run_once() == ()
        assert cache.resident == {"b"}

    def test_priorities_are_as_before(self):
        prefetcher, cache, _, _ = made(slots=2)
        observe(prefetcher, a=5, b=1)
        prefetcher.run_once()
        assert set(cache.resident_set.priorities.values()) == {0.0}

    def test_broken_adapter_is_left_out(self):
        prefetcher, cache, _, backend = made(slots=2)
        backend.broken = {"a"}
        observe(prefetcher, a=5, b=1)
        assert prefetcher.run_once() == ("b",)
        assert cache.resident == {"b"}

    def test_fleet_is_prefetched_too(self):
        fleet = Fleet(servers={"one": Backend(), "two": Backend()}, control=lru)
        fleet.start(SPECS)
        prefetcher = Prefetcher(cache=fleet, adapters=SPECS, load_seconds_per_hour=10.0, clock=Clock())
        observe(prefetcher, a=3, b=2, c=1)
        assert prefetcher.run_once() == ("a", "b")
        assert fleet.resident == {"a", "b"}


class TestBudget:
    def test_no_load_is_made_beyond_it(self):
        prefetcher, cache, clock, _ = made(slots=3, budget=5.0)
        observe(prefetcher, a=3, b=2, c=1)
        assert prefetcher.run_once() == ("a", "b")  # 2 s each
        assert prefetcher.left_seconds == pytest.approx(1.0)
        assert prefetcher.run_once() == ()
        clock.now += HOUR / 5 + 1.0
        assert prefetcher.run_once() == ("c",)
        assert cache.loads == 3

    def test_unspent_seconds_do_not_add_up_beyond_an_hour(self):
        prefetcher, _, clock, _ = made(budget=5.0)
        clock.now += 100 * HOUR
        assert prefetcher.left_seconds == 5.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"adapters": []}, "adapters is empty"),
        ({"load_seconds_per_hour": 0.0}, "load_seconds_per_hour is 0.0; give a number above 0"),
        ({"load_seconds_per_hour": float("nan")}, "load_seconds_per_hour is nan"),
    ],
)
def test_unusable_settings_are_refused(given, message):
    cache = AdapterCache(backend=Backend())
    with pytest.raises(InvalidConfigurationError, match=message):
        Prefetcher(**{"cache": cache, "adapters": SPECS, "load_seconds_per_hour": 1.0, **given})
