"""Importance weights, by hand."""

import numpy as np
import pytest

from banditroute.errors import InvalidInputError
from banditroute.evaluate import clipped, importance_weights, shrunk, switched

CHOSEN, P, TARGET = np.array([0, 1]), np.array([0.5, 0.8]), np.array([[1.0, 0.0], [0.6, 0.4]])


def test_importance_weights_equal_the_hand_computed_ones():
    np.testing.assert_allclose(importance_weights(CHOSEN, P, TARGET), [2.0, 0.5])


def test_their_expectation_is_one():
    rng = np.random.default_rng(0)
    logged, target = rng.dirichlet(np.ones(4), (2, 30))
    total = sum(logged[:, k] * importance_weights(np.full(30, k), logged[:, k], target) for k in range(4))
    np.testing.assert_allclose(total, 1.0)


def test_clipped_switched_and_shrunk_weights_equal_the_hand_computed_ones():
    w = np.array([0.0, 1.0, 10.0, 30.0])
    np.testing.assert_allclose(clipped(w, most=10.0), [0.0, 1.0, 10.0, 10.0])
    np.testing.assert_allclose(switched(w, most=10.0), [0.0, 1.0, 10.0, 0.0])
    np.testing.assert_allclose(shrunk(w, strength=100.0), [0.0, 100 / 101, 5.0, 3.0])
    np.testing.assert_allclose(shrunk(w, strength=1e12), w, rtol=1e-8)


@pytest.mark.parametrize(
    ("chosen", "p", "target", "message"),
    [
        (CHOSEN, [0.5, 0.0], TARGET, r"propensity of row 1 is 0.0"),
        (CHOSEN, [1.1, 0.5], TARGET, r"propensity of row 0 is 1.1"),
        (CHOSEN, [0.5, np.nan], TARGET, r"propensity of row 1 is nan"),
        (CHOSEN, P, [[1.0, 0.1], [0.6, 0.4]], r"target probabilities of row 0"),
        (CHOSEN, P, [[1.0, 0.0], [1.6, -0.6]], r"target probabilities of row 1"),
        (CHOSEN, P, [[1.0, 0.0], [np.nan, 0.4]], r"target probabilities of row 1"),
        (CHOSEN, P[:1], TARGET, r"propensities \(1,\)"),
        (CHOSEN, P, TARGET[:1], r"target \(1, 2\)"),
        (CHOSEN, P, TARGET[0], r"target \(2,\)"),
        (np.array([0, 2]), P, TARGET, r"positions from 0 to 1"),
        (np.array([-1, 0]), P, TARGET, r"positions from 0 to 1"),
        (np.array([0.0, 1.0]), P, TARGET, r"positions from 0 to 1"),
    ],
)
def test_bad_propensities_and_targets_are_refused(chosen, p, target, message):
    with pytest.raises(InvalidInputError, match=message):
        importance_weights(chosen, p, target)
