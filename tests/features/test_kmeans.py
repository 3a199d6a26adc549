"""k-means and centres that follow, on points that can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.features._kmeans import follow, in_old_rows, lloyd, squared_distances


def inertia(z, weights, centres):
    return float(weights @ squared_distances(z, centres).min(axis=1))


def blobs(*places, n=100, seed=0):
    rng = np.random.default_rng(seed)
    return np.vstack([place + 0.1 * rng.normal(size=(n, 2)) for place in places])


def test_lloyd_by_hand():
    z = np.array([[0.0], [1.0], [9.0], [10.0], [11.0]])
    centres, labels = lloyd(z, np.ones(5), np.array([[0.0], [1.0]]))
    assert centres.tolist() == [[0.5], [10.0]]
    assert labels.tolist() == [0, 0, 1, 1, 1]


def test_a_point_counts_by_its_weight():
    centres, _ = lloyd(np.array([[0.0], [1.0], [50.0]]), np.array([1.0, 3.0, 1.0]), np.array([[0.0], [40.0]]))
    assert centres.tolist() == [[0.75], [50.0]]


def test_a_centre_without_points_stays():
    centres, _ = lloyd(np.array([[0.0], [2.0]]), np.ones(2), np.array([[0.0], [50.0]]))
    assert centres.tolist() == [[1.0], [50.0]]


def test_squared_distances_by_hand():
    assert squared_distances(np.array([[3.0, 4.0]]), np.array([[0.0, 0.0], [3.0, 4.0]])).tolist() == [[25.0, 0.0]]


def test_centres_without_a_better_place_only_move_to_their_points():
    old = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    z = blobs(*old)
    centres = follow(z, np.ones(len(z)), old, margin=2.0)
    assert np.abs(centres - old).max() < 0.05


def test_a_topic_that_appears_gets_the_centre_of_two_that_are_one():
    old = np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 0.0]])
    z = blobs((0.0, 0.0), (5.0, 0.0), (6.0, 9.0))  # the last is nearest to the third centre, far from all
    centres, new = in_old_rows(follow(z, np.ones(len(z)), old, margin=2.0), old)
    assert centres == pytest.approx(np.array([[0.0, 0.0], [6.0, 9.0], [5.0, 0.0]]), abs=0.05)
    assert new.tolist() == [False, True, False]


def test_an_old_place_keeps_its_row_when_a_new_topic_outweighs_it():
    # The third place has its 20 points yet; the 300 that are nearest to it are of another topic.
    old = np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 0.0]])
    z = np.vstack([old, blobs((0.0, 0.0)), blobs((6.0, 9.0), n=300)])
    centres, new = in_old_rows(follow(z, np.repeat([20.0, 1.0], [3, 400]), old, margin=2.0), old)
    assert centres[2] == pytest.approx([5.0, 0.0])
    assert new.sum() == 1


def test_a_topic_that_has_gone_gives_its_centre_up():
    old = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [9.0, 9.0]])
    z = np.vstack([old, blobs((0.0, 0.0), (5.0, 0.0), (0.0, 5.0), (-5.0, 0.0))])  # none near the fourth
    centres, new = in_old_rows(follow(z, np.repeat([1.0, 1.0], [4, 400]), old, margin=2.0), old)
    assert squared_distances(np.array([[-5.0, 0.0]]), centres).min() < 0.01
    assert new.sum() == 1


def test_rows_by_hand():
    old = np.array([[0.0], [10.0], [11.0], [20.0]])
    centres, new = in_old_rows(np.array([[10.6], [30.0], [19.0], [0.0]]), old)
    assert centres.tolist() == [[0.0], [30.0], [10.6], [19.0]]  # 11 is nearer to 10.6 than 10 is; 30 has none
    assert new.tolist() == [False, True, False, False]


def test_the_margin_keeps_what_is_hardly_better():
    old = np.array([[0.0], [1.0], [4.5]])
    z = np.array([[0.0], [1.0], [4.0], [5.0]])
    # {4, 5} apart saves 1/2, {0} and {1} in one cost 1/2.
    assert follow(z, np.ones(4), old, margin=1.5).tolist() == old.tolist()
    assert sorted(follow(z, np.ones(4), old, margin=0.9).ravel().tolist()) == [0.5, 4.0, 5.0]


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_following_is_never_worse_than_staying(seed, k):
    rng = np.random.default_rng(seed)
    z, weights, old = rng.normal(size=(30, 2)), rng.uniform(0.1, 3.0, 30), rng.normal(size=(k, 2))
    centres = follow(z, weights, old, margin=1.0)
    assert centres.shape == old.shape
    assert inertia(z, weights, centres) <= inertia(z, weights, lloyd(z, weights, old)[0]) + 1e-9


@pytest.mark.parametrize("z", [np.zeros((1, 2)), np.ones((9, 2)), np.zeros((0, 2))])
def test_points_that_are_one_or_none_are_never_split(z):
    old = np.array([[0.0, 0.0], [1.0, 1.0], [3.0, 1.0]])
    centres = follow(z, np.ones(len(z)), old, margin=2.0)
    assert sorted(centres.tolist()) == sorted(old.tolist())
