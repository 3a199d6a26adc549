"""A reading says what it is; what is split adds up."""

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.energy import EnergyReading
from banditroute.errors import InvalidInputError

READING = EnergyReading(joules=90.0, seconds=1.5, source="nvml", shared=False)


class TestReading:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"joules": -1}, "joules is -1"),
            ({"joules": math.nan}, "joules is nan"),
            ({"joules": True}, "joules is True"),
            ({"seconds": math.inf}, "seconds is inf"),
            ({"seconds": "2"}, "seconds is '2'"),
            ({"source": ""}, "source has 0 characters"),
            ({"shared": 1}, "shared is 1 .int.; give True or False"),
        ],
    )
    def test_bad_reading_is_refused(self, given, message):
        with pytest.raises(InvalidInputError, match=message):
            EnergyReading(**{"joules": 1.0, "seconds": 1.0, "source": "nvml", "shared": False, **given})

    def test_carbon_is_kilowatt_hours_times_intensity(self):
        kwh = EnergyReading(joules=3.6e6, seconds=3600.0, source="rapl", shared=False)
        assert kwh.carbon_grams(grams_per_kwh=45.5) == 45.5
        assert kwh.carbon_grams(grams_per_kwh=0) == 0.0
        for intensity in (-1.0, math.nan, None):
            with pytest.raises(InvalidInputError, match="grams_per_kwh is"):
                kwh.carbon_grams(grams_per_kwh=intensity)


class TestEstimate:
    def test_estimate_is_marked_as_one(self):
        reading = EnergyReading.estimate(tokens=200, joules_per_token=0.5, seconds=2.0)
        assert (reading.joules, reading.source) == (100.0, "estimate")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"tokens": -1}, "tokens is -1"),
            ({"tokens": math.nan}, "tokens is nan"),
            ({"joules_per_token": 0}, "joules_per_token is 0"),
            ({"joules_per_token": -0.1}, "joules_per_token is -0.1"),
            ({"joules_per_token": math.inf}, "joules_per_token is inf"),
        ],
    )
    def test_bad_estimate_is_refused(self, given, message):
        with pytest.raises(InvalidInputError, match=message):
            EnergyReading.estimate(**{"tokens": 10, "joules_per_token": 0.5, "seconds": 1.0, **given})


class TestSplit:
    @given(
        joules=st.floats(0, 1e9),
        counts=st.dictionaries(st.integers(), st.integers(0, 10**6), min_size=1).filter(lambda d: any(d.values())),
    )
    def test_adds_up_and_is_by_tokens(self, joules, counts):
        reading = EnergyReading(joules=joules, seconds=1.5, source="nvml", shared=False)
        parts = reading.split(counts)
        assert parts.keys() == counts.keys()
        assert math.fsum(part.joules for part in parts.values()) == pytest.approx(joules)
        for key, part in parts.items():
            assert part.joules == pytest.approx(joules * counts[key] / sum(counts.values()))
            assert (part.seconds, part.source, part.shared) == (1.5, "nvml by tokens", True)

    def test_split_of_a_part_is_still_by_tokens(self):
        part = READING.split({"a": 1, "b": 2})["b"].split({"c": 1, "d": 3})["d"]
        assert (part.joules, part.source) == (45.0, "nvml by tokens")

    def test_split_of_an_estimate_is_still_an_estimate(self):
        assert EnergyReading.estimate(tokens=3, joules_per_token=1, seconds=0).split({"a": 3})["a"].source == (
            "estimate by tokens"
        )

    @pytest.mark.parametrize("counts", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": math.nan}, {"a": True}])
    def test_bad_token_counts_are_refused(self, counts):
        with pytest.raises(InvalidInputError, match="tokens"):
            READING.split(counts)


class TestOthers:
    def test_zeus_measurement_becomes_a_reading(self):
        measurement = SimpleNamespace(
            time=2.0, gpu_energy={0: 100.0, 2: 50.0}, cpu_energy={0: 20.0}, dram_energy=None, soc_energy=None
        )
        reading = EnergyReading.from_zeus(measurement, shared=True)
        assert reading == EnergyReading(joules=170.0, seconds=2.0, source="zeus", shared=True)

    @pytest.mark.parametrize(
        "measurement",
        [
            SimpleNamespace(time=2.0, gpu_energy={}, cpu_energy=None, dram_energy=None),  # Zeus found no device
            SimpleNamespace(time=2.0, gpu_energy=7.0),
            SimpleNamespace(time=2.0, gpu_energy={0: math.nan}),
            SimpleNamespace(time=2.0, gpu_energy={0: -5.0}),
            SimpleNamespace(gpu_energy={0: 5.0}),
            3.0,
        ],
    )
    def test_from_zeus_refuses_other_objects(self, measurement):
        with pytest.raises(InvalidInputError):
            EnergyReading.from_zeus(measurement, shared=False)

    def test_codecarbon_emissions_become_a_reading(self):
        reading = EnergyReading.from_codecarbon(SimpleNamespace(energy_consumed=0.0005, duration=9.0), shared=False)
        assert reading == EnergyReading(joules=1800.0, seconds=9.0, source="codecarbon", shared=False)

    @pytest.mark.parametrize("emissions", [0.0012, None, SimpleNamespace(energy_consumed=None, duration=1.0)])
    def test_from_codecarbon_refuses_other_objects(self, emissions):
        with pytest.raises(InvalidInputError, match="energy_consumed"):
            EnergyReading.from_codecarbon(emissions, shared=False)
