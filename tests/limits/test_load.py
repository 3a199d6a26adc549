"""Open decisions and what they add to latencies, against numbers by hand and a brute-force count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.core.shared_total import SharedTotal
from banditroute.limits.load import Load
from banditroute.limits.slowdown import Slowdown


class Database:
    """The shared totals of several processes; what was added is told to the adder when ``tell`` is called."""

    def __init__(self):
        self.totals, self.waiting = {}, []

    def adder(self):
        def add(name, total):
            self.waiting.append((load, name, total))

        load = Load(arms=["a", "b"], add=add)
        return load

    def tell(self):
        for load, name, total in self.waiting:
            key = name, total.period
            self.totals[key] = self.totals.get(key, SharedTotal(period=total.period)) + total
            assert load.merge(name, self.totals[key], total)
        self.waiting = []


def alone():
    return Load(arms=["a", "b"], add=lambda name, total: total)


class TestSlowdown:
    def learned(self, pairs):
        slowdown = Slowdown()
        for open_decisions, seconds in pairs:
            slowdown.learn(open_decisions, seconds)
        return slowdown

    def test_slope_is_that_of_weighted_least_squares_less_an_error(self):
        rng = np.random.default_rng(0)
        n = rng.integers(0, 10, 400)
        seconds = 2.0 + 0.3 * n + rng.normal(0.0, 0.5, 400)
        weights = (1.0 - 1.0 / 300.0) ** np.arange(399, -1, -1)
        mean = np.average(n, weights=weights)
        squares = weights @ (n - mean) ** 2
        covariation = weights @ ((n - mean) * (seconds - np.average(seconds, weights=weights)))
        slowdown = self.learned(zip(n.tolist(), seconds.tolist(), strict=True))
        slope = covariation / (squares + 10.0)
        error = np.sqrt(weights @ (seconds - 2.0 - 0.3 * n) ** 2 / (weights.sum() - 2.0) / squares)
        assert slowdown.mean_open == pytest.approx(mean)
        assert slowdown.seconds_per_decision == pytest.approx(slope - error, abs=0.1 * error)

    @pytest.mark.parametrize("pairs", [[], [(3, 1.0)], [(0, 1.0)] * 50, [(n % 5, 5.0 - n % 5) for n in range(50)]])
    def test_slope_is_zero_without_evidence_of_a_queue(self, pairs):
        assert self.learned(pairs).seconds_per_decision == 0.0

    def test_slope_stays_small_where_latency_does_not_depend_on_open_decisions(self):
        rng = np.random.default_rng(1)
        slopes = [
            self.learned(zip(rng.integers(0, 10, 300), rng.lognormal(0.0, 0.5, 300), strict=True)).seconds_per_decision
            for _ in range(50)
        ]
        assert max(slopes) < 0.03
        assert np.mean(np.array(slopes) == 0.0) > 0.7


class TestOpenDecisions:
    @given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.floats(0.0, 30.0)), max_size=60))
    def test_count_is_that_of_unreported_decisions_of_the_last_two_minutes(self, steps):
        load, now, made, reported = alone(), 1e9, {}, set()
        for number, (arm, reports, seconds) in enumerate(steps):
            now += seconds
            if reports and made:
                oldest = min(set(made) - reported, default=None)
                if oldest is not None:
                    load.close(str(oldest), None, now)
                    reported.add(oldest)
            load.open(str(number), arm, now)
            made[number] = arm, now
            for name in "ab":
                still = [i for i, (a, at) in made.items() if a == name and i not in reported and now - at <= 120.0]
                assert load.open_decisions(name) == len(still)

    def test_report_of_an_unknown_decision_changes_nothing(self):
        load = alone()
        load.open("1", "a", 0.0)
        load.close("2", 1.0, 0.0)
        assert load.open_decisions("a") == 1

    def test_arms_that_change_keep_their_counts(self):
        load = alone()
        for number in range(40):
            load.open(str(number), "b", 0.0)
            if number % 10 == 9:
                for each in range(number - 9, number + 1):
                    load.close(str(each), each % 10 + 1.0, 0.0)
        before = load.extra_seconds(0.0)
        load.set_arms(["b", "c"])
        assert load.extra_seconds(0.0).tolist() == [before[1], 0.0]


class TestProcesses:
    def test_open_decisions_of_all_processes_count(self):
        database = Database()
        one, other = database.adder(), database.adder()
        for number in range(5):
            one.open(f"one {number}", "a", 1000.0 + number)
        for number in range(3):
            other.open(f"other {number}", "a", 1010.0 + number)
        database.tell()
        one.open("one more", "a", 1016.0)
        database.tell()
        assert one.open_decisions("a") == 6 + 3
        other.close("other 0", 1.0, 1017.0)
        database.tell()
        assert other.open_decisions("a") == 2 + 6

    def test_open_decisions_of_a_crashed_process_are_forgotten_within_a_minute(self):
        database = Database()
        one, crashed = database.adder(), database.adder()
        for number in range(5):
            crashed.open(str(number), "a", 1000.0 + number)
        database.tell()
        one.open("1", "a", 1010.0)
        database.tell()
        assert one.open_decisions("a") == 6
        one.close("1", 1.0, 1075.0)
        database.tell()
        assert one.open_decisions("a") == 0

    def test_counts_are_exchanged_four_times_a_second_at_most(self):
        database = Database()
        load = database.adder()
        for number in range(1000):
            load.open(str(number), "a", 1000.0 + number / 1000.0)
        assert len(database.waiting) == 4

    def test_forked_child_leaves_open_decisions_to_its_parent(self):
        load = alone()
        load.open("1", "a", 0.0)
        load.begin_in_child()
        load.close("1", 1.0, 0.0)
        assert load.open_decisions("a") == 0
