"""Inverse-gap weighting against its formula, and the learning rate against what defines it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from banditroute.errors import InvalidConfigurationError
from banditroute.policies import InverseGap


def ask(policy, means, stds):
    arms = [f"arm {k}" for k in range(len(means))]
    return policy.probabilities(np.array(means), np.array(stds), arms=arms, information=lambda: 1 / 0)


def weighted(gamma, gaps):
    """Foster and Rakhlin 2020, algorithm 1, for one best arm at gap 0."""
    shares = [1.0 / (len(gaps) + gamma * gap) if gap > 0.0 else 0.0 for gap in gaps]
    return np.array([share if gap > 0.0 else 1.0 - sum(shares) for share, gap in zip(shares, gaps, strict=True)])


def test_probabilities_equal_the_hand_computed_ones():
    # Equal spreads s: gamma^2 s^2 = 8 K, so gamma = sqrt(24) / s = 49 for s = .1; 1 / (3 + 49 x .1), 1 / (3 + 49 x .2).
    gamma = math.sqrt(24.0) / 0.1
    b, c = 1.0 / (3.0 + 0.1 * gamma), 1.0 / (3.0 + 0.2 * gamma)
    assert ask(InverseGap(scale=1.0), (0.5, 0.4, 0.3), (0.1, 0.1, 0.1)) == pytest.approx([1.0 - b - c, b, c])
    b, c = 1.0 / (3.0 + 1.0 * gamma), 1.0 / (3.0 + 2.0 * gamma)
    assert ask(InverseGap(scale=10.0), (0.5, 0.4, 0.3), (0.1, 0.1, 0.1)) == pytest.approx([1.0 - b - c, b, c])


def test_the_rate_makes_the_bound_least():
    """With the rate's own probabilities, gamma^2 sum p spread^2 = 8 K."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        k = int(rng.integers(2, 12))
        means, stds = rng.normal(size=k), 10.0 ** rng.uniform(-2.0, 1.0, size=k)
        gaps = means.max() - means
        gamma = brentq(lambda g: g * g * weighted(g, gaps) @ stds**2 - 8.0 * k, 1e-6, 1e9)  # noqa: B023
        assert ask(InverseGap(scale=1.0), means, stds) == pytest.approx(weighted(gamma, gaps), abs=1e-3)


def test_exploration_falls_with_the_square_root_of_what_is_known():
    """Spreads of 1 / sqrt(n): the chance of the lesser arm goes like 1 / sqrt(n), as the paper's regret does."""
    lesser = [ask(InverseGap(), (0.5, 0.4), (s, s))[1] for s in (1e-3, 1e-4, 1e-5)]
    assert lesser[0] / lesser[1] == pytest.approx(10.0, rel=0.1)
    assert lesser[1] / lesser[2] == pytest.approx(10.0, rel=0.01)


def test_the_best_arms_share_the_rest():
    even = ask(InverseGap(), (0.5, 0.5, 0.1), (0.2, 0.4, 0.3))
    assert even[0] == even[1] > even[2] > 0.0


def test_a_scale_of_zero_is_uniform():
    assert ask(InverseGap(scale=0.0), (0.0, 5.0, 1.0), (0.1, 0.1, 0.1)) == pytest.approx([1 / 3] * 3)


def test_best_mean_has_all_the_probability_without_uncertainty():
    assert ask(InverseGap(), (0.1, 0.3, 0.2), (0.0, 0.0, 0.0)).tolist() == [0.0, 1.0, 0.0]
    assert ask(InverseGap(), (0.3, 0.3, 0.2), (0.0, 0.0, 0.0)).tolist() == [0.5, 0.5, 0.0]


@given(
    st.lists(
        st.tuples(st.floats(-1e50, 1e50), st.floats(0.0, 1e50)),
        min_size=1,
        max_size=12,
    )
)
def test_any_belief_gives_probabilities(arms):
    means, stds = zip(*arms, strict=True)
    answer = ask(InverseGap(), means, stds)
    assert (answer >= 0.0).all()
    assert answer.sum() == pytest.approx(1.0, abs=1e-12)


@given(st.floats(-100.0, 100.0), st.floats(0.001, 100.0))
def test_a_shift_and_a_unit_change_nothing(shift, unit):
    means, stds = np.array([0.2, 0.5, 0.4]), np.array([0.3, 0.1, 0.2])
    moved = ask(InverseGap(), unit * means + shift, unit * stds)
    assert moved == pytest.approx(ask(InverseGap(), means, stds), abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, True, np.True_, "1", None])
def test_bad_scales_are_refused(bad):
    with pytest.raises(InvalidConfigurationError, match=r"^scale is "):
        InverseGap(scale=bad)
