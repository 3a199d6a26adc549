"""Simulated loads: their times are those of the formula, and the slots are strict."""

import math

import numpy as np
import pytest

from banditroute.adapters import AdapterBackend, AdapterSpec, Capability, Capacity, SimulatedBackend, Tier
from banditroute.errors import AdapterCapacityError, AdapterIncompatibleError, InvalidConfigurationError


def adapter(name, size_bytes=1_000_000):
    return AdapterSpec(name=name, path=f"adapters/{name}", size_bytes=size_bytes)


def simulated(capacity=None, **settings):
    return SimulatedBackend(capacity=capacity or Capacity(slots=2), **settings)


def loads(backend, n, **settings):
    """The seconds of n loads of one adapter."""
    seconds = []
    for _ in range(n):
        seconds.append(backend.load(adapter("a", **settings)).seconds)
        backend.unload("a")
    return seconds


def test_is_a_strict_backend():
    assert isinstance(simulated(), AdapterBackend)
    assert Capability.STRICT in simulated().capabilities


@pytest.mark.parametrize(("size_bytes", "seconds"), [(1, 0.1 + 1e-8), (50_000_000, 0.6), (200_000_000, 2.1)])
def test_load_without_jitter_takes_base_seconds_and_the_time_of_its_bytes(size_bytes, seconds):
    backend = simulated(base_seconds=0.1, bytes_per_second=1e8, jitter=0.0)
    result = backend.load(adapter("a", size_bytes))
    assert result.seconds == pytest.approx(seconds)
    assert (result.source, result.was_resident, result.evicted) == (Tier.DISK, False, ())
    assert backend.load_cost(adapter("a", size_bytes)).p95_seconds == pytest.approx(seconds)


def test_loads_have_the_mean_and_the_quantile_that_are_announced():
    backend = simulated(jitter=0.5, seed=3)
    seconds = np.array(loads(backend, 20_000))
    expected = backend.load_cost(adapter("a"))
    assert seconds.mean() == pytest.approx(expected.mean_seconds, rel=0.02)
    assert np.mean(seconds <= expected.p95_seconds) == pytest.approx(0.95, abs=0.005)
    assert np.log(seconds).std() == pytest.approx(0.5, rel=0.03)
    assert expected.n == 0


def test_the_seed_decides():
    assert loads(simulated(seed=1), 5) == loads(simulated(seed=1), 5) != loads(simulated(seed=2), 5)


def test_time_passes_by_every_load_and_by_nothing_else():
    now = [0.0]

    def advance(seconds):
        now[0] += seconds

    backend = simulated(pass_time=advance)
    took = [backend.load(adapter(name)).seconds for name in "aab"]
    backend.unload("a")
    backend.resident()
    assert took[1] == 0.0
    assert now[0] == sum(took) > 0.0


def test_a_resident_adapter_is_not_loaded_again():
    backend = simulated()
    backend.load(adapter("a"))
    assert backend.load(adapter("a")).was_resident
    assert backend.resident() == {"a": Tier.GPU}


def test_slots_are_strict():
    backend = simulated(Capacity(slots=1, staging_slots=1))
    for name in "ab":
        backend.load(adapter(name))
    with pytest.raises(AdapterCapacityError, match="all 2 slots are taken, none is left for 'c'; unload another"):
        backend.load(adapter("c"))
    assert backend.resident() == {"a": Tier.GPU, "b": Tier.GPU}
    assert backend.unload("a")
    backend.load(adapter("c"))
    assert set(backend.resident()) == {"b", "c"}


def test_bytes_are_strict():
    backend = simulated(Capacity(size_bytes=100))
    backend.load(adapter("a", 60))
    backend.load(adapter("b", 40))
    with pytest.raises(AdapterCapacityError, match="adapter 'c' has 1 bytes, and 100 of 100 are taken"):
        backend.load(adapter("c", 1))
    backend.unload("b")
    backend.load(adapter("c", 1))
    assert set(backend.resident()) == {"a", "c"}


def test_an_adapter_larger_than_everything_is_refused():
    with pytest.raises(AdapterCapacityError, match="adapter 'a' has 101 bytes, and 0 of 100 are taken"):
        simulated(Capacity(size_bytes=100)).load(adapter("a", 101))


def test_a_refused_load_draws_nothing():
    plain, refusing = simulated(Capacity(slots=1)), simulated(Capacity(slots=1))
    for backend in (plain, refusing):
        backend.load(adapter("a"))
    with pytest.raises(AdapterCapacityError):
        refusing.load(adapter("b"))
    for backend in (plain, refusing):
        backend.unload("a")
    assert loads(plain, 3) == loads(refusing, 3)


def test_another_adapter_of_the_same_name_is_refused():
    backend = simulated()
    backend.load(adapter("a"))
    with pytest.raises(AdapterIncompatibleError, match="the name 'a' belongs to the adapter in 'adapters/a'"):
        backend.load(AdapterSpec(name="a", path="elsewhere", size_bytes=1))


def test_an_adapter_without_a_size_is_refused():
    backend = simulated()
    with pytest.raises(InvalidConfigurationError, match="size_bytes of adapter 'a' is not given"):
        backend.load(AdapterSpec(name="a", path="a"))
    assert backend.resident() == {}


@pytest.mark.parametrize("name", ["slots", "size_bytes", "staging_slots"])
@pytest.mark.parametrize("value", [-1, True, 1.5, "2", math.nan])
def test_bad_capacity_is_refused(name, value):
    with pytest.raises(InvalidConfigurationError, match=f"{name} is {value!r}; give a whole number"):
        Capacity(**{name: value})


def test_unloading_what_is_not_there_is_done():
    assert simulated().unload("a")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"base_seconds": -1.0}, "base_seconds is -1.0; it must be at least 0"),
        ({"base_seconds": math.nan}, "base_seconds is nan"),
        ({"bytes_per_second": 0.0}, "bytes_per_second is 0.0; it must be at least 1"),
        ({"bytes_per_second": True}, "bytes_per_second is True"),
        ({"jitter": math.inf}, "jitter is inf"),
        ({"jitter": -0.1}, "jitter is -0.1"),
    ],
)
def test_bad_simulation_settings_are_refused(given, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        simulated(**given)
