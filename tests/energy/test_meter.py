"""The meter: one block each, shared where blocks overlap, never in the way of the work."""

import logging
import threading

import pytest

from banditroute.energy import RAPL, EnergyMeter, EnergyReading, counters, find_counters
from banditroute.errors import EnergyCounterError, InvalidConfigurationError, InvalidInputError


class Counter:
    """Counts what the test tells it to, in joules."""

    def __init__(self, *devices, source="test"):
        self.devices = devices or ("test:0",)
        self.source = source
        self.now = 0
        self.broken = False

    def read(self):
        if self.broken:
            raise EnergyCounterError("test: broken")
        return [self.now]

    def joules(self, before, after, seconds):
        return float(after[0] - before[0])


@pytest.fixture
def counter():
    return Counter()


class TestMeasured:
    def test_a_block(self, counter):
        counter.now = 100
        with EnergyMeter(counters=[counter]) as meter:
            counter.now += 30
        counter.now += 1000
        reading = meter.reading
        assert (reading.joules, reading.source, reading.shared) == (30.0, "test", False)
        assert 0.0 <= reading.seconds < 10.0
        assert meter.reading == reading

    def test_a_block_that_fails_is_measured_and_its_error_raised(self, counter):
        meter = EnergyMeter(counters=[counter])

        def work():
            with meter:
                counter.now += 7
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            work()
        assert meter.reading.joules == 7.0

    def test_several_counters_are_added_and_named(self, counter):
        other = Counter("test:1", source="other")
        with EnergyMeter(counters=[counter, other]) as meter:
            counter.now += 3
            other.now += 4
        assert (meter.reading.joules, meter.reading.source) == (7.0, "test+other")

    def test_is_measured_although_an_estimate_is_possible(self, counter):
        with EnergyMeter(counters=[counter], joules_per_token=100.0) as meter:
            counter.now += 3
            meter.tokens = 5
        assert (meter.reading.joules, meter.reading.source) == (3.0, "test")

    def test_meter_reads_rapl_files(self, powercap):
        with EnergyMeter(counters=[RAPL(powercap=powercap.root)]) as meter:
            powercap.spend(powercap.root / "intel-rapl:0", 12.5)
        assert (meter.reading.joules, meter.reading.source) == (12.5, "rapl")


class TestEstimated:
    def test_reading_without_counters_is_marked_as_an_estimate(self):
        with EnergyMeter(counters=[], joules_per_token=0.5) as meter:
            meter.tokens = 120
        assert (meter.reading.joules, meter.reading.source, meter.reading.shared) == (60.0, "estimate", False)

    def test_estimate_needs_tokens(self):
        with EnergyMeter(counters=[], joules_per_token=0.5) as meter:
            pass
        with pytest.raises(InvalidInputError, match=r"set meter\.tokens in the block"):
            _ = meter.reading


class TestBrokenCounter:
    @pytest.mark.parametrize("when", ["before", "within"])
    def test_does_not_disturb_the_block(self, counter, when):
        counter.broken = when == "before"
        with EnergyMeter(counters=[counter], joules_per_token=1.0) as meter:
            counter.broken = True
            meter.tokens = 3
            done = True
        assert done
        with pytest.raises(EnergyCounterError, match="test: broken"):  # and no estimate in its place
            _ = meter.reading

    def test_counter_that_fails_at_the_start_gives_no_reading(self, counter):
        counter.broken = True
        with EnergyMeter(counters=[counter]) as meter:
            counter.broken = False
        with pytest.raises(EnergyCounterError):
            _ = meter.reading


class TestShared:
    def test_overlapping_meters_are_both_marked_as_shared(self, counter):
        first, second = EnergyMeter(counters=[counter]), EnergyMeter(counters=[counter])
        first.__enter__()
        second.__enter__()
        first.__exit__()
        second.__exit__()
        assert first.reading.shared
        assert second.reading.shared

    def test_consecutive_blocks_are_not_shared(self, counter):
        with EnergyMeter(counters=[counter]) as first:
            pass
        with EnergyMeter(counters=[counter]) as second:
            pass
        assert not first.reading.shared
        assert not second.reading.shared

    def test_blocks_on_other_devices_are_not_shared(self):
        with EnergyMeter(counters=[Counter("a", "b")]) as first, EnergyMeter(counters=[Counter("c")]) as second:
            pass
        assert not first.reading.shared
        assert not second.reading.shared

    def test_blocks_with_one_common_device_are_shared(self):
        with EnergyMeter(counters=[Counter("a", "b")]) as first, EnergyMeter(counters=[Counter("b", "c")]) as second:
            pass
        assert first.reading.shared
        assert second.reading.shared

    def test_estimates_share_nothing(self):
        with EnergyMeter(counters=[], joules_per_token=1.0) as first:
            with EnergyMeter(counters=[], joules_per_token=1.0) as second:
                second.tokens = 1
            first.tokens = 1
        assert not first.reading.shared

    def test_a_block_that_is_never_left_is_forgotten_with_its_meter(self, counter):
        EnergyMeter(counters=[counter]).__enter__()
        with EnergyMeter(counters=[counter]) as meter:
            pass
        assert not meter.reading.shared

    def test_overlapping_threads_are_shared(self, counter):
        """Those that met at the barrier overlap; each has a reading of its own."""
        barrier = threading.Barrier(8)
        readings = []

        def work():
            for _ in range(50):
                with EnergyMeter(counters=[counter]) as meter:
                    barrier.wait()
                readings.append(meter.reading)
                barrier.wait()

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(readings) == 400
        assert all(reading.shared for reading in readings)
        with EnergyMeter(counters=[counter]) as meter:
            pass
        assert not meter.reading.shared


class TestMistakes:
    def test_meter_without_counter_and_joules_per_token_is_refused(self):
        with pytest.raises(
            InvalidConfigurationError, match=r"no counter and no joules_per_token.*NVML\(\) and RAPL\(\)"
        ):
            EnergyMeter(counters=[])

    @pytest.mark.parametrize("joules", [0.0, -1.0, True, float("nan")])
    def test_joules_per_token(self, joules):
        with pytest.raises(InvalidInputError, match="joules_per_token is"):
            EnergyMeter(counters=[], joules_per_token=joules)

    def test_device_given_twice_is_refused(self, counter):
        with pytest.raises(InvalidConfigurationError, match="give one counter for each device"):
            EnergyMeter(counters=[counter, Counter()])

    def test_reading_before_the_end_of_the_block_is_refused(self, counter):
        with (
            EnergyMeter(counters=[counter]) as meter,
            pytest.raises(InvalidInputError, match="the block has not ended"),
        ):
            _ = meter.reading

    def test_meter_refuses_a_second_block(self, counter):
        with EnergyMeter(counters=[counter]) as meter:
            pass
        with pytest.raises(InvalidInputError, match="a meter measures one block"), meter:
            pass
        assert isinstance(meter.reading, EnergyReading)


class TestFound:
    def test_those_that_work(self, monkeypatch, caplog):
        def missing():
            raise EnergyCounterError("nvml: cannot start")

        monkeypatch.setattr(counters, "NVML", missing)
        monkeypatch.setattr(counters, "RAPL", Counter)
        with caplog.at_level(logging.INFO):
            (found,) = find_counters()
        assert isinstance(found, Counter)
        assert caplog.messages == ["no energy counter: nvml: cannot start"]

    def test_counters_of_this_machine_read_joules(self):
        for counter in find_counters():
            assert counter.joules(counter.read(), counter.read(), 1.0) >= 0.0
