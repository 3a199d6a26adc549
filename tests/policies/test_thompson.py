"""Thompson's probabilities against Monte Carlo, fine quadrature and the closed form of two arms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from banditroute.errors import InvalidConfigurationError
from banditroute.policies import Thompson

ACCURACY = 0.006


def ask(policy, means, stds):
    arms = [f"arm {k}" for k in range(len(means))]
    return policy.probabilities(np.array(means), np.array(stds), arms=arms, information=lambda: 1 / 0)


def best(means, stds):
    return ask(Thompson(scale=1.0, floor=0.0), means, stds)


def quadrature(means, stds):
    """P(k is best) = integral of phi(z) prod_{j != k} F_j(mean_k + spread_k z) dz, finely."""
    z = np.linspace(-8.0, 8.0, 40_001)
    density = np.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi) * (z[1] - z[0])
    result = []
    for k in range(len(means)):
        u = means[k] + stds[k] * z
        below = [ndtr((u - means[j]) / stds[j]) for j in range(len(means)) if j != k]
        result.append(density @ np.prod(below, axis=0))
    return np.array(result)


@pytest.mark.parametrize(
    ("means", "stds"),
    [
        ((0.5, 0.5), (0.1, 0.3)),
        ((0.0, 1.0), (1.0, 0.0)),
        ((1.0, 0.0), (3.0, 4.0)),
        ((0.70, 0.72), (0.05, 0.02)),
        ((0.0, 5.0), (1.0, 1.0)),
        ((0.0, 1e-3), (1e-3, 1e-6)),
        ((-1e6, 1e6), (2e6, 1e6)),
    ],
)
def test_two_arms_have_a_closed_form(means, stds):
    """P(1 beats 2) = Phi((m1 - m2) / sqrt(s1^2 + s2^2)); (1, 0), (3, 4) gives Phi(1/5) = 0.579."""
    first = ndtr((means[0] - means[1]) / math.hypot(*stds))
    assert best(means, stds) == pytest.approx([first, 1.0 - first], abs=1e-6)
    both = best((*means, min(means) - 100.0 * max(stds)), (*stds, max(stds)))  # and a third without a chance
    assert both == pytest.approx([first, 1.0 - first, 0.0], abs=1e-6)


def test_a_worked_example_of_two_arms():
    assert best((1.0, 0.0), (3.0, 4.0)) == pytest.approx([0.5793, 0.4207], abs=5e-5)


@pytest.mark.parametrize(
    ("means", "stds"),
    [
        ((0.5, 0.6, 0.7), (0.3, 0.2, 0.1)),
        ((0.0, 0.0, 0.0, 0.0, 0.0), (1.0, 0.5, 0.2, 0.05, 0.01)),
        ((0.1, 0.9, 0.85, 0.8, 0.3, 0.86), (0.5, 0.0, 0.05, 0.1, 0.2, 0.04)),
    ],
)
def test_many_arms_agree_with_two_million_draws(means, stds):
    draws = np.random.default_rng(0).normal(means, stds, size=(2_000_000, len(means)))
    shares = np.bincount(draws.argmax(axis=1), minlength=len(means)) / len(draws)
    # 5 standard errors of a share are at most 0.0018.
    assert best(means, stds) == pytest.approx(shares, abs=ACCURACY + 0.0018)


def test_many_arms_agree_with_fine_quadrature():
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(100):
        k = int(rng.integers(2, 9))
        means = rng.normal(size=k) * 10.0 ** rng.uniform(-2.0, 0.3)
        stds = 10.0 ** rng.uniform(-1.5, 0.5, size=k)
        errors.append(np.abs(best(means, stds) - quadrature(means, stds)).max())
    assert max(errors) < ACCURACY
    assert np.mean(errors) < 0.001


def test_the_spread_is_scaled():
    means, stds = (0.5, 0.4), (0.3, 0.4)
    assert ask(Thompson(scale=0.25, floor=0.0), means, stds) == pytest.approx([ndtr(0.8), ndtr(-0.8)], abs=ACCURACY)


@pytest.mark.parametrize("stds", [(0.0, 0.0, 0.0), (3.0, 2.0, 1.0)])
def test_best_mean_has_all_the_probability_without_uncertainty_or_scale(stds):
    scale = 1.0 if not any(stds) else 0.0
    assert ask(Thompson(scale=scale, floor=0.0), (0.1, 0.3, 0.2), stds).tolist() == [0.0, 1.0, 0.0]
    assert ask(Thompson(scale=scale, floor=0.0), (0.3, 0.3, 0.2), stds).tolist() == [0.5, 0.5, 0.0]


def test_the_floor_is_exact():
    assert ask(Thompson(scale=1.0, floor=0.1), (0.0, 100.0), (1.0, 1.0)).tolist() == pytest.approx(
        [0.05, 0.95], abs=1e-15
    )
    assert ask(Thompson(floor=1.0), (0.0, 1.0), (1.0, 1.0)).tolist() == [0.5, 0.5]


@given(
    st.lists(
        st.tuples(st.floats(-1e12, 1e12), st.floats(0.0, 1e12).filter(lambda s: s == 0.0 or s > 1e-290)),
        min_size=1,
        max_size=12,
    )
)
def test_any_belief_gives_probabilities(arms):
    means, stds = zip(*arms, strict=True)
    answer = best(means, stds)
    assert (answer >= 0.0).all()
    assert answer.sum() == pytest.approx(1.0, abs=1e-12)


@given(st.floats(-100.0, 100.0), st.floats(0.001, 100.0))
def test_a_shift_and_a_unit_change_nothing(shift, unit):
    means, stds = np.array([0.2, 0.5, 0.4]), np.array([0.3, 0.1, 0.2])
    moved = best(unit * means + shift, unit * stds)
    assert moved == pytest.approx(best(means, stds), abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, True, np.True_, "1", None])
def test_bad_scales_are_refused(bad):
    with pytest.raises(InvalidConfigurationError, match=r"^scale is "):
        Thompson(scale=bad)
