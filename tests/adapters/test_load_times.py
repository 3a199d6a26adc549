"""Load times: the mean of an adapter's own loads, helped by those of others, with honest doubt."""

import math

import numpy as np
import pytest

from banditroute.adapters.backends.base import CostEstimate, Tier
from banditroute.adapters.load_times import LoadTimes
from banditroute.core.adapter import AdapterSpec

PRIOR = CostEstimate(mean_seconds=1.0, p95_seconds=1.5)
MIB = 2**20


def spec(name, *, size=10, modules=28):
    return AdapterSpec(name=name, path=name, size_bytes=size * MIB, modules=modules)


def test_estimate_before_any_load_is_the_guess():
    estimate = LoadTimes().estimate(spec("a"), guess=PRIOR, residents=0)
    assert estimate == CostEstimate(mean_seconds=1.0, p95_seconds=1.5, n=0)


def test_own_loads_outweigh_the_guess():
    times = LoadTimes()
    for seconds in (0.1, 0.2, 0.3):
        times.add(spec("a"), seconds, residents=1, guess=PRIOR)
    estimate = times.estimate(spec("a"), guess=PRIOR, residents=1)
    assert estimate.mean_seconds == pytest.approx((0.6 + 2.0) / 5)
    assert estimate.n == 3
    assert times.estimate(spec("b"), guess=PRIOR, residents=1).mean_seconds == 1.0  # three loads are no line yet


def test_only_the_latest_loads_count():
    times = LoadTimes()
    for seconds in [9.0] * 50 + [0.5] * 50:
        times.add(spec("a"), seconds, residents=1, guess=PRIOR)
    assert times.estimate(spec("a"), guess=PRIOR, residents=1).mean_seconds == pytest.approx(0.5)


def test_new_adapter_is_predicted_from_modules_bytes_and_residents():
    rng = np.random.default_rng(0)
    times = LoadTimes()

    def truth(adapter, residents):
        return 0.01 + 0.003 * adapter.modules + adapter.size_bytes / MIB / 500.0 + 0.02 * residents

    for i in range(60):
        adapter = spec(f"a{i % 12}", size=int(rng.integers(5, 100)), modules=int(rng.integers(28, 168)))
        residents = int(rng.integers(0, 8))
        times.add(adapter, truth(adapter, residents) + 0.01 * rng.normal(), residents=residents, guess=PRIOR)
    new = spec("new", size=50, modules=100)
    assert times.estimate(new, guess=PRIOR, residents=4).mean_seconds == pytest.approx(truth(new, 4), rel=0.03)
    huge = spec("huge", size=10**6, modules=100)
    assert times.estimate(huge, guess=PRIOR, residents=4).mean_seconds < 2.0  # nothing like it was seen: twice the most


def test_p95_is_measured_from_twenty_loads_on():
    rng = np.random.default_rng(0)
    draws = 0.2 * np.exp(0.3 * rng.normal(size=50))
    times = LoadTimes()
    for i, seconds in enumerate(draws):
        times.add(spec("a"), float(seconds), residents=1, guess=PRIOR)
        p95 = times.estimate(spec("a"), guess=PRIOR, residents=1).p95_seconds
        if i == 4:
            assert p95 >= draws[:5].max()
    assert p95 == pytest.approx(np.quantile(draws, 0.95))


def test_estimates_survive_a_restart():
    times = LoadTimes()
    for i in range(10):
        times.add(spec(f"a{i % 3}", size=10 + i), 0.1 * i, residents=i, guess=PRIOR)
    again = LoadTimes(blob=times.to_bytes())
    for name in ("a0", "new"):
        assert again.estimate(spec(name), guess=PRIOR, residents=2) == times.estimate(
            spec(name), guess=PRIOR, residents=2
        )
    assert again.to_bytes() == times.to_bytes()


GUESS = CostEstimate(mean_seconds=0.5, p95_seconds=1.0, log_std=2.3)


@pytest.mark.parametrize("truth", [0.05, 3.0])
def test_wrong_guess_is_corrected_within_three_loads(truth):
    times = LoadTimes()
    rng = np.random.default_rng(0)
    for _ in range(3):
        times.add(spec("a"), truth * math.exp(0.1 * rng.normal()), residents=1, guess=GUESS)
    estimate = times.estimate(spec("a"), guess=GUESS, residents=1)
    assert estimate.mean_seconds == pytest.approx(truth, rel=0.3)
    other = times.estimate(spec("b"), guess=GUESS, residents=1)
    assert other.mean_seconds == pytest.approx(truth, rel=0.3)
    assert estimate.log_std < other.log_std < GUESS.log_std


def test_doubt_shrinks_with_every_load_and_a_sure_guess_has_none():
    times = LoadTimes()
    doubts = [times.estimate(spec("a"), guess=GUESS, residents=1).log_std]
    for _ in range(12):
        times.add(spec("a"), 1.0, residents=1, guess=GUESS)
        doubts.append(times.estimate(spec("a"), guess=GUESS, residents=1).log_std)
    assert doubts[0] == GUESS.log_std
    assert doubts == sorted(doubts, reverse=True)
    assert doubts[-1] < 0.15
    sure = times.estimate(spec("a"), guess=PRIOR, residents=1)
    assert sure.log_std == 0.0
    assert sure.optimistic_seconds == sure.mean_seconds


def test_unmeasured_load_is_priced_at_the_low_end_of_its_guess():
    assert GUESS.optimistic_seconds == pytest.approx(0.05, rel=0.01)


def test_each_tier_is_learned_by_itself():
    times = LoadTimes()
    from_ram = CostEstimate(mean_seconds=0.02, p95_seconds=0.04, log_std=2.3, source=Tier.RAM)
    for _ in range(10):
        times.add(spec("a"), 2.0, residents=1, guess=GUESS)
        times.add(spec("a"), 0.2, residents=1, guess=from_ram)
    for again in (times, LoadTimes(blob=times.to_bytes())):
        assert again.estimate(spec("a"), guess=GUESS, residents=1).mean_seconds == pytest.approx(2.0, rel=0.01)
        assert again.estimate(spec("a"), guess=from_ram, residents=1).mean_seconds == pytest.approx(0.2, rel=0.01)
        assert again.estimate(spec("b"), guess=from_ram, residents=1).source is Tier.RAM


def test_loads_stored_by_an_earlier_release_are_read_as_loads_from_disk():
    times = LoadTimes(blob=b'{"a": [[28, 10.0, 1, 0.2], [28, 10.0, 2, 0.4]]}')
    estimate = times.estimate(spec("a"), guess=PRIOR, residents=1)
    assert estimate.n == 2
    assert estimate.mean_seconds == pytest.approx((0.6 + 2.0) / 4)
    assert (
        times.estimate(spec("a"), guess=CostEstimate(mean_seconds=1.0, p95_seconds=1.0, source=Tier.RAM), residents=1).n
        == 0
    )


class TestPeers:
    GUESS = CostEstimate(mean_seconds=0.5, p95_seconds=1.0, log_std=2.3)

    def measured(self, seconds, *, loads):
        times = LoadTimes()
        for k in range(loads):
            times.add(spec(f"a{k}"), seconds, residents=0, guess=self.GUESS)
        return times

    def test_server_without_loads_expects_what_others_measured(self):
        peers = [self.measured(0.005, loads=3), self.measured(0.005, loads=4)]
        estimate = LoadTimes().estimate(spec("new"), guess=self.GUESS, residents=0, peers=peers)
        # By hand: 7 logarithms of 1/100, noise .5^2, prior 2.3^2; then .5^2 for the server and .3^2 for the adapter.
        prior, noise = 2.3**2, 0.5**2
        mean = 7 * math.log(0.01) * prior / (7 * prior + noise)
        assert estimate.mean_seconds == pytest.approx(0.5 * math.exp(mean))
        variance = prior * noise / (7 * prior + noise) + 0.5**2 + 0.3**2
        assert estimate.log_std == pytest.approx(math.sqrt(variance))

    def test_own_loads_outweigh_those_of_peers(self):
        own = self.measured(2.0, loads=5)
        without = own.estimate(spec("new"), guess=self.GUESS, residents=0).mean_seconds
        beside = own.estimate(
            spec("new"), guess=self.GUESS, residents=0, peers=[self.measured(0.005, loads=50)]
        ).mean_seconds
        assert 0.5 < beside < without == pytest.approx(2.0, rel=0.05)

    def test_exact_guess_listens_to_nobody(self):
        exact = CostEstimate(mean_seconds=0.5, p95_seconds=1.0)
        estimate = LoadTimes().estimate(spec("new"), guess=exact, residents=0, peers=[self.measured(5.0, loads=9)])
        assert estimate.mean_seconds == 0.5
