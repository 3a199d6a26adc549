"""Intervals from the range of values: they cover the mean, also where all values are equal."""

import numpy as np
import pytest
from scipy.stats import binomtest

from banditroute.errors import InvalidInputError
from banditroute.statistics import betting_interval, bounded, clopper_pearson_interval, normal_interval


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (0, 225), (1, 30), (15, 30), (30, 30)])
def test_clopper_pearson_agrees_with_scipy(successes, trials):
    expected = binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert clopper_pearson_interval(successes, trials)[1:] == pytest.approx((expected.low, expected.high))


def test_betting_interval_of_equal_values_is_not_empty():
    value, lower, upper = betting_interval(np.zeros(225), low=0.0, high=1.0)
    assert (value, lower) == (0.0, 0.0)
    assert 0.0163 < upper < 0.05  # 1 - .025^(1/225) is the least that any interval may have


def test_betting_interval_mirrors_and_scales():
    values = np.random.default_rng(0).random(300)
    value, lower, upper = betting_interval(values, low=0.0, high=1.0)
    mirrored = betting_interval(1.0 - values, low=0.0, high=1.0)
    assert mirrored == pytest.approx((1.0 - value, 1.0 - upper, 1.0 - lower), abs=1e-6)
    scaled = betting_interval(10.0 * values - 3.0, low=-3.0, high=7.0)
    assert scaled == pytest.approx([10.0 * bound - 3.0 for bound in (value, lower, upper)], abs=1e-5)


def test_betting_interval_of_many_values_is_1_4_times_a_normal_one():
    values = np.random.default_rng(0).random(20_000)
    _, lower, upper = betting_interval(values, low=0.0, high=1.0)
    normal = normal_interval(values)
    assert (upper - lower) / (normal.upper - normal.lower) == pytest.approx(1.39, abs=0.05)


@pytest.mark.parametrize(("chance", "rows"), [(0.99, 120), (0.5, 60), (0.02, 500)])
def test_betting_interval_misses_in_at_most_one_of_twenty(chance, rows):
    rng = np.random.default_rng(1)
    found = [betting_interval((rng.random(rows) < chance).astype(float), low=0.0, high=1.0, seed=k) for k in range(400)]
    missed = sum(not each.lower <= chance <= each.upper for each in found)
    assert missed <= 20


def test_betting_interval_covers_the_mean_of_weighted_values():
    """An arm of 5% traffic that is right in 99%: its weighted outcomes reach 20."""
    rng = np.random.default_rng(2)
    missed = 0
    for k in range(300):
        values = np.where(rng.random(2_000) < 0.05, 20.0 * (rng.random(2_000) < 0.99), 0.0)
        _, lower, upper = betting_interval(values, low=0.0, high=20.0, seed=k)
        missed += not lower <= 0.99 <= upper
    assert missed <= 15


def test_clusters_count_as_one_value_each():
    values = np.repeat((np.random.default_rng(3).random(200) < 0.7).astype(float), 5)
    alone = betting_interval(values, low=0.0, high=1.0)
    together = betting_interval(values, low=0.0, high=1.0, clusters=np.repeat(np.arange(200), 5))
    once = betting_interval(values[::5], low=0.0, high=1.0)
    assert together.upper - together.lower == pytest.approx(once.upper - once.lower, rel=0.02)
    assert together.upper - together.lower > 1.8 * (alone.upper - alone.lower)


@pytest.mark.parametrize("values", [np.array([0.5, 1.5]), np.array([np.nan]), np.array([]), np.zeros((2, 2))])
def test_values_beyond_the_range_are_refused(values):
    with pytest.raises(InvalidInputError):
        betting_interval(values, low=0.0, high=1.0)


@pytest.mark.parametrize(("successes", "trials", "alpha"), [(-1, 3, 0.05), (4, 3, 0.05), (0, 0, 0.05), (1, 3, 1.0)])
def test_counts_that_do_not_fit_are_refused(successes, trials, alpha):
    with pytest.raises(InvalidInputError):
        clopper_pearson_interval(successes, trials, alpha=alpha)


def test_betting_interval_of_more_values_than_bets_is_as_wide_and_covers_the_mean(monkeypatch):
    values = np.random.default_rng(0).random(20_000)
    every = betting_interval(values, low=0.0, high=1.0)
    monkeypatch.setattr(bounded, "_MOST_BETS", 1_000)
    value, lower, upper = betting_interval(values, low=0.0, high=1.0)
    assert value == pytest.approx(every.value, abs=1e-12)
    assert lower < 0.5 < upper
    assert upper - lower == pytest.approx(every.upper - every.lower, rel=0.1)
