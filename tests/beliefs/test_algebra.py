"""The linear algebra of beliefs, against numpy's own."""

import math

import numpy as np
import pytest

from banditroute.beliefs.algebra import add_rank_one, invert, invert_all, multiply_all, multiply_both


def test_the_inverse_the_solution_and_the_determinant():
    rng = np.random.default_rng(0)
    root, b = rng.normal(size=(5, 9)), rng.normal(size=(2, 5))
    a = root @ root.T
    inverse, theta, log_det = invert(a, b, least=1.0)
    assert inverse == pytest.approx(np.linalg.inv(a))
    assert theta == pytest.approx(np.linalg.solve(a, b.T).T)
    assert log_det == pytest.approx(np.linalg.slogdet(a)[1])


def test_a_prior_that_rounding_has_eaten_is_given_back():
    """[[4, 4], [4, 4]] has the eigenvalues 8 and 0, of which the latter becomes 0.5: vv'/8 + ww'/0.5, log det log 4."""
    inverse, theta, log_det = invert(np.full((2, 2), 4.0), np.array([[2.0, 0.0]]), least=0.5)
    expected = np.array([[1.0 / 16.0 + 1.0, 1.0 / 16.0 - 1.0], [1.0 / 16.0 - 1.0, 1.0 / 16.0 + 1.0]])
    assert inverse == pytest.approx(expected)
    assert theta == pytest.approx(2.0 * expected[:1])
    assert log_det == pytest.approx(math.log(4.0))


@pytest.mark.parametrize("singular", [False, True])
def test_many_matrices_at_once_are_inverted_as_each_by_itself(singular):
    rng = np.random.default_rng(2)
    root, b = rng.normal(size=(6, 4, 9)), rng.normal(size=(6, 3, 4))
    a = root @ root.transpose(0, 2, 1)
    if singular:
        a[2] = 4.0
    inverses, products, log_dets = invert_all(a, b, least=0.5)
    for k in range(6):
        inverse, product, log_det = invert(a[k], b[k], least=0.5)
        assert inverses[k] == pytest.approx(inverse)
        assert products[k] == pytest.approx(product)
        assert log_dets[k] == pytest.approx(log_det)


@pytest.mark.parametrize("d", [1, 2, 7])
@pytest.mark.parametrize("m", [1, 3])
def test_an_outer_product_is_added_in_place(m, d):
    rng = np.random.default_rng(1)
    array, left, right = rng.normal(size=(m, d)), rng.normal(size=m), rng.normal(size=d)
    expected = array - 0.3 * np.outer(left, right)
    add_rank_one(array, -0.3, left, right)
    assert array == pytest.approx(expected)

    square = rng.normal(size=(3, d, d))
    expected = square[1] + 2.0 * np.outer(right, right)
    add_rank_one(square[1], 2.0, right)
    assert square[1] == pytest.approx(expected)


@pytest.mark.parametrize("k", [3, 40])
def test_matrices_times_two_vectors_are_the_products_of_each_whether_they_fit_into_the_cache_or_not(k):
    rng = np.random.default_rng(3)
    matrices, one, other = rng.normal(size=(k, 64, 64)), rng.normal(size=64), rng.normal(size=64)
    assert (matrices.nbytes > 2**20) == (k == 40)
    both = multiply_both(matrices, one, other)
    for found, vector in zip(both, (one, other), strict=True):
        assert found == pytest.approx(np.einsum("kde,e->kd", matrices, vector))
        assert multiply_all(matrices, vector) == pytest.approx(found)
