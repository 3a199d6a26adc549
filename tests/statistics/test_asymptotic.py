"""Bounds at all times of outcomes without a range: their formula, their tightest time, and how often they miss."""

import numpy as np
import pytest

from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.evaluate import asymptotic_sequence
from banditroute.statistics.asymptotic import asymptotic_bounds


def test_asymptotic_sequence_equals_the_hand_computed_one():
    """Mean and deviation of 0, 3, 0, 3, ... are 1.5; x = t rho^2 solves x = log((x + 1) / alpha^2)."""
    lower, upper = asymptotic_sequence(np.tile([0.0, 3.0], 20), alpha=0.05, tightest_at=40)
    x = 8.0
    for _ in range(100):
        x = np.log((x + 1.0) / 0.05**2)
    radius = 1.5 * np.sqrt(2.0 * (x + 1.0) / (40.0 * x) * np.log(np.sqrt(x + 1.0) / 0.05))
    assert (lower[39], upper[39]) == pytest.approx((1.5 - radius, 1.5 + radius))
    assert radius == pytest.approx(1.5 * np.sqrt((x + 1.0) / 40.0))  # what the log is at the tightest time


def test_bounds_are_infinite_before_thirty_values_support_the_deviation():
    """Of two values that come alike often, all do; of a rare one, as many as there were."""
    lower, upper = asymptotic_sequence(np.tile([0.0, 1.0], 50) + 7.0)
    np.testing.assert_array_equal(np.isfinite(lower), np.arange(1, 101) >= 30)
    np.testing.assert_array_equal(lower == -np.inf, upper == np.inf)
    rare = np.tile([0.0] * 99 + [1.0], 40)
    off = np.array([rare[:t] - rare[:t].mean() for t in (2500, 3500)], dtype=object)
    assert [(each**2).sum() ** 2 / (each**4).sum() > 30.0 for each in off] == [False, True]
    assert [np.isfinite(asymptotic_sequence(rare)[0][t - 1]) for t in (2500, 3500)] == [False, True]
    assert not np.isfinite(asymptotic_sequence(np.zeros(500))).any()  # their deviation is not known


def test_each_time_is_what_was_seen_until_then():
    values = np.random.default_rng(0).normal(size=(2, 500)) + 1e4
    lower, upper = asymptotic_sequence(values, alpha=0.1)
    for t in (17, 120, 500):
        alone = asymptotic_sequence(values[1, :t], alpha=0.1)
        assert (lower[1, t - 1], upper[1, t - 1]) == pytest.approx((alone[0][-1], alone[1][-1]))


@pytest.mark.parametrize("at", [100, 1000, 5000])
def test_tightest_at_the_time_that_is_asked_for(at):
    values = np.tile([-1.0, 1.0], 2500)
    lower, upper = asymptotic_sequence(values, tightest_at=at)
    for other in (at // 2, at * 2):
        wider = asymptotic_sequence(values, tightest_at=other)
        assert (upper - lower)[at - 1] < (wider[1] - wider[0])[at - 1]


def test_intervals_seldom_miss_skewed_means():
    """Where normal intervals that are looked at all the time miss many at some time."""
    values = np.random.default_rng(1).exponential(size=(300, 3000))
    lower, upper = asymptotic_sequence(values)
    assert np.isfinite(lower[:, -1]).all()
    assert ((lower > 1.0) | (upper < 1.0)).any(axis=1).mean() < 0.05
    off = np.abs(np.cumsum(values - 1.0, axis=1) / np.sqrt(np.arange(1, 3001)))[:, 100:]
    assert (off > 1.96).any(axis=1).mean() > 0.25


@pytest.mark.parametrize("values", [np.array([1.0, np.nan]), np.array([1.0, np.inf]), np.array(1.0)])
def test_values_that_are_not_finite_are_refused(values):
    with pytest.raises(InvalidInputError, match="give finite numbers"):
        asymptotic_sequence(values)


@pytest.mark.parametrize(
    "setting",
    [{"alpha": 0.0}, {"alpha": 1.0}, {"alpha": np.nan}, {"alpha": True}, {"tightest_at": 0}, {"tightest_at": 10.0}],
)
def test_bad_settings_are_refused(setting):
    with pytest.raises(InvalidConfigurationError, match=next(iter(setting))):
        asymptotic_sequence(np.ones(3), **setting)


def test_last_bounds_are_those_of_the_sequence():
    values = np.random.default_rng(0).exponential(size=400)
    lower, upper = asymptotic_sequence(values, alpha=0.1)
    assert asymptotic_bounds(values, alpha=0.1) == pytest.approx((lower[-1], upper[-1]), rel=1e-12)
    assert asymptotic_bounds(np.zeros(500)) == (-np.inf, np.inf)
