"""Logistic regression against minima known in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.features._softmax import fit_softmax, softmax


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=6))
def test_softmax_gives_probabilities(scores):
    p = softmax(np.array(scores))
    assert (p >= 0.0).all()
    assert p.sum() == pytest.approx(1.0)
    assert p[np.argmax(scores)] == p.max()


def test_softmax_by_hand():
    assert softmax(np.log([[1.0, 3.0], [2.0, 2.0]])) == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]))


def test_intercepts_give_the_shares_without_inputs():
    found = fit_softmax(np.zeros((400, 1)), np.eye(2)[[0] * 300 + [1] * 100], np.ones(400), precision=1.0)
    assert softmax(found[-1]) == pytest.approx([0.75, 0.25], abs=1e-3)
    assert found[0] == pytest.approx([0.0, 0.0], abs=1e-6)


def test_weights_count_like_copies():
    rng = np.random.default_rng(3)
    x, classes = rng.normal(size=(30, 2)), np.eye(3)[rng.integers(0, 3, 30)]
    twice = fit_softmax(np.vstack([x, x[:10]]), np.vstack([classes, classes[:10]]), np.ones(40), precision=2.0)
    weighed = fit_softmax(x, classes, np.where(np.arange(30) < 10, 2.0, 1.0), precision=2.0)
    assert weighed == pytest.approx(twice, abs=1e-4)


def test_at_the_minimum_the_prior_balances_the_evidence():
    # The slope w of two classes at x = 1 and x = -1 solves precision w = weight (1 - p); p = 1 / (1 + exp(-2 w)).
    found = fit_softmax(np.array([[1.0], [-1.0]]), np.eye(2), np.ones(2), precision=0.5)
    w = found[0, 0]
    assert found[0, 1] == pytest.approx(-w, abs=1e-4)
    assert 0.5 * w == pytest.approx(2.0 * (1.0 - 1.0 / (1.0 + np.exp(-2.0 * w))), abs=1e-4)


def test_a_stronger_prior_is_more_cautious():
    x, classes = np.array([[1.0], [-1.0]]), np.eye(2)
    bold, shy = (softmax(fit_softmax(x, classes, np.ones(2), precision=p)[0])[0] for p in (0.1, 10.0))
    assert bold > shy > 0.5
