"""What the benchmark of features computes, against closed forms and cases with a known answer."""

import numpy as np
import pytest

from benchmarks import full_information
from benchmarks.full_information import choices, neighbours, ridge

FITS = {"ridge": ridge, "neighbours": neighbours}


def routable(n=400, seed=2):
    """Two arms; the sign of the first of three features says which is better."""
    x = np.random.default_rng(seed).normal(size=(n, 3))
    return x, np.column_stack([x[:, 0] > 0, x[:, 0] <= 0]).astype(float)


def test_ridge_is_the_closed_form(monkeypatch):
    monkeypatch.setattr(full_information, "PENALTIES", np.array([0.25]))
    rng = np.random.default_rng(0)
    x, y = rng.normal(2.0, 1.0, size=(60, 4)), rng.normal(size=(60, 3))
    centred = x - x.mean(axis=0)
    gram = centred.T @ centred
    weights = np.linalg.solve(gram + 0.25 * np.trace(gram) / 4 * np.eye(4), centred.T @ (y - y.mean(axis=0)))
    predicted = ridge(x, y, np.arange(60) % 4)(x)
    assert predicted == pytest.approx(centred @ weights + y.mean(axis=0))


def test_ridge_chooses_a_penalty_by_what_is_there_to_learn():
    x, y = routable()
    fold = np.arange(len(x)) % 4
    assert np.ptp(ridge(x, y, fold)(x)[:, 0]) > 0.5
    noise = np.random.default_rng(1).permutation(y)
    assert np.ptp(ridge(x, noise, fold)(x)[:, 0]) < 0.2


def test_neighbours_by_hand(monkeypatch):
    monkeypatch.setattr(full_information, "NEIGHBOURS", 2)
    x = np.array([[0.0], [1.0], [5.0], [6.0]])
    y = np.array([[1.0, 0.0], [0.5, 0.0], [0.0, 0.2], [0.0, 0.4]])
    assert neighbours(x, y, np.zeros(4))(np.array([[0.4], [9.0]])) == pytest.approx(np.array([[0.75, 0.0], [0.0, 0.3]]))


@pytest.mark.parametrize("name", FITS)
def test_routable_log_is_routed(name):
    x, y = routable()
    chosen = choices(x, y, seed=0, fit=FITS[name])[0]
    assert y[np.arange(len(y)), chosen].mean() > 0.9


@pytest.mark.parametrize("name", FITS)
def test_no_prompt_is_judged_by_itself(name):
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(300, 2)), rng.integers(2, size=(300, 2)).astype(float)
    scores = [y[np.arange(300), choices(x, y, seed=seed, fit=FITS[name])[0]].mean() for seed in range(5)]
    assert abs(np.mean(scores) - y.mean(axis=0).max()) < 0.06


def test_reworded_prompts_are_judged_by_the_same_fit():
    x, y = routable()
    same, opposite = x.copy(), -x
    chosen = choices(x, y, seed=0, fit=ridge, variants=[same, opposite])
    assert np.array_equal(chosen[1], chosen[0])
    assert (chosen[2] != chosen[0]).mean() > 0.9


def test_whitened_directions_are_the_strongest_of_the_training_part():
    rng = np.random.default_rng(5)
    x, y = routable()
    loud = np.column_stack([30.0 * rng.normal(size=len(x)), x[:, 0]])  # all that can be routed by is in the weaker one
    every = np.arange(len(y))
    scores = [y[every, choices(loud, y, seed=0, fit=ridge, whitened=kept)[0]].mean() for kept in (1, 2)]
    assert scores[0] < 0.7
    assert scores[1] > 0.9


def test_the_seed_draws_the_folds():
    x, y = routable()
    y[::3] = y[::3, ::-1]
    one, again, other = (choices(x, y, seed=seed, fit=neighbours) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
