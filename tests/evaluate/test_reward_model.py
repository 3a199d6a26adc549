"""The reward model: against ridge regressions one by one, and blind to what it must not see."""

import numpy as np
import pytest

from banditroute.errors import InvalidInputError
from banditroute.evaluate import cross_fitted, progressive

N, D, ARMS = 300, 3, 4


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 5.0, (N, D))
    chosen = rng.integers(ARMS - 1, size=N)  # the last arm is never chosen
    return x, chosen, rng.random((N, 2))


def one_ridge(z, y, mean, at):
    """Coefficients by augmented least squares: one row at the mean, and d of penalty on each of d coefficients."""
    penalty = np.sqrt(np.diag([1.0] + [float(z.shape[1] - 1)] * (z.shape[1] - 1)))
    theta = np.linalg.lstsq(np.vstack([z, penalty]), np.append(y - mean, np.zeros(len(penalty))), rcond=None)[0]
    return mean + at @ theta


def design(x):
    return np.hstack([np.ones((len(x), 1)), (x - x.mean(axis=0)) / x.std(axis=0)])


def test_against_ridges_one_by_one(made):
    x, chosen, y = made
    folds = 3
    fold = np.random.default_rng(7).permutation(N) % folds
    z, predicted = design(x), cross_fitted(x, chosen, y, arms=ARMS, folds=folds, seed=7)
    assert predicted.shape == (N, ARMS, 2)
    for f in range(folds):
        train, test = fold != f, fold == f
        for j in range(2):
            mean = y[train, j].mean()
            for k in range(ARMS):
                own = train & (chosen == k)
                np.testing.assert_allclose(
                    predicted[test, k, j], one_ridge(z[own], y[own, j], mean, z[test]), atol=1e-9
                )


def test_one_objective_keeps_its_shape(made):
    x, chosen, y = made
    both = cross_fitted(x, chosen, y, arms=ARMS)
    np.testing.assert_allclose(cross_fitted(x, chosen, y[:, 0], arms=ARMS), both[:, :, 0])


def test_a_group_is_never_its_own_teacher(made):
    x, chosen, y = made
    clusters = np.arange(N) // 3
    before = cross_fitted(x, chosen, y, arms=ARMS, clusters=clusters)
    changed = y.copy()
    changed[clusters == 5] += 100.0
    after = cross_fitted(x, chosen, changed, arms=ARMS, clusters=clusters)
    np.testing.assert_allclose(after[clusters == 5], before[clusters == 5])
    assert (np.abs(after - before).max(axis=(1, 2)) > 1.0).mean() > 0.7


def test_progressive_knows_the_past_alone(made):
    x, chosen, y = made
    before = progressive(x, chosen, y[:, 0], arms=ARMS)
    for moment in (63, 64, 150, N - 1):
        changed = y[:, 0].copy()
        changed[moment:] += 100.0
        after = progressive(x, chosen, changed, arms=ARMS)
        np.testing.assert_array_equal(after[: moment + 1], before[: moment + 1])
    z = design(x)
    own = (np.arange(N) < 128) & (chosen == 1)
    expected = one_ridge(z[own], y[own, 0], y[:128, 0].mean(), z[128:256])
    np.testing.assert_allclose(before[128:256, 1], expected, atol=1e-9)
    assert (before[:64] == 0.0).all()


def test_unknown_and_constant_contexts_count_for_nothing(made):
    x, chosen, y = made
    plain = cross_fitted(x, chosen, y, arms=ARMS)
    wide = np.hstack([x, np.ones((N, 1)), np.full((N, 1), np.nan)])
    assert np.isfinite(cross_fitted(wide, chosen, y, arms=ARMS)).all()
    assert np.abs(cross_fitted(wide, chosen, y, arms=ARMS) - plain).max() < 0.1  # they only penalise a little more
    none = cross_fitted(np.zeros((N, 0)), chosen, y, arms=ARMS)
    assert np.ptp(none[:, 0, 0]) < 0.1  # one average for each fold


def test_too_few_rows_for_the_folds_are_refused():
    with pytest.raises(InvalidInputError, match="3 rows or clusters cannot be cut into 5 folds"):
        cross_fitted(np.zeros((3, 0)), np.zeros(3, dtype=int), np.zeros(3), arms=1)
