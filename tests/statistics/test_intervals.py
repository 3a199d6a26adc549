"""Intervals: against scipy, by hand for clusters, and how often they hold."""

import numpy as np
import pytest
from scipy import stats

from banditroute.errors import InvalidInputError
from banditroute.evaluate import bootstrap_interval, normal_interval

BOTH = pytest.mark.parametrize("interval", [normal_interval, bootstrap_interval])


def test_normal_against_scipy():
    terms = np.random.default_rng(0).exponential(size=50)
    low, high = stats.t.interval(0.9, 49, loc=terms.mean(), scale=stats.sem(terms))
    assert normal_interval(terms, alpha=0.1) == pytest.approx((terms.mean(), low, high))


def test_normal_by_cluster_by_hand():
    # Sums 3, 3, 1 of 2, 1, 1 terms: v = 7/4, residuals -1/2, 5/4, -3/4 with squares 38/16; error sqrt(3/2 x 38/16) / 4.
    interval = normal_interval(np.array([1.0, 2.0, 3.0, 1.0]), clusters=np.array([0, 0, 2, 5]))
    half = stats.t.ppf(0.975, 2) * np.sqrt(1.5 * 38 / 16) / 4
    assert interval == pytest.approx((1.75, 1.75 - half, 1.75 + half))


@BOTH
def test_repeating_every_row_in_its_group_changes_nothing(interval):
    terms = np.random.default_rng(0).normal(size=200)
    clusters = np.repeat(np.arange(200), 3)
    np.testing.assert_allclose(interval(np.repeat(terms, 3), clusters=clusters), interval(terms), atol=1e-12)


@BOTH
@pytest.mark.parametrize("clustered", [False, True])
def test_holds_in_95_of_100(interval, clustered):
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(60), 5) if clustered else None
    held = []
    for seed in range(400):
        shared = np.repeat(rng.normal(size=60), 5) if clustered else 0.0
        terms = 3.0 + shared + rng.normal(size=300)
        _, low, high = interval(
            terms, clusters=clusters, **({} if interval is normal_interval else {"seed": seed, "repetitions": 500})
        )
        held.append(low <= 3.0 <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 400))


def test_the_bootstrap_knows_skewness():
    """Of few large terms the mean is more likely too low, so that the interval reaches further up."""
    terms = np.where(np.arange(400) % 50 == 0, 50.0, 0.0)
    value, low, high = bootstrap_interval(terms)
    assert value == 1.0
    assert high - value > 1.3 * (value - low)


def test_first_and_last_of_39_draws_bound_95_of_100():
    terms = np.random.default_rng(3).exponential(size=60)
    error = terms.std() / np.sqrt(60)
    rng = np.random.default_rng(0)
    draws = [terms[rows] for rows in rng.integers(60, size=(39, 60))]
    ratios = [(drawn.mean() - terms.mean()) / (drawn.std() / np.sqrt(60)) for drawn in draws]
    expected = (terms.mean(), terms.mean() - max(ratios) * error, terms.mean() - min(ratios) * error)
    assert bootstrap_interval(terms, repetitions=39, seed=0) == pytest.approx(expected)


def test_many_groups_are_drawn_in_blocks():
    terms = np.random.default_rng(2).normal(size=20_000)
    np.testing.assert_allclose(bootstrap_interval(terms), normal_interval(terms), atol=0.003)


@BOTH
def test_terms_without_spread(interval):
    np.testing.assert_allclose(interval(np.full(30, 0.25)), [0.25] * 3)


@BOTH
@pytest.mark.parametrize(
    ("terms", "clusters", "message"),
    [
        (np.array([1.0]), None, "1 clusters of rows"),
        (np.ones(4), np.zeros(4, dtype=int), "1 clusters of rows"),
        (np.array([1.0, np.nan]), None, "not finite"),
        (np.ones((2, 2)), None, r"shape \(2, 2\)"),
    ],
)
def test_bad_terms_and_clusters_are_refused(interval, terms, clusters, message):
    with pytest.raises(InvalidInputError, match=message):
        interval(terms, clusters=clusters)
