"""The reward model of doubly robust estimators: a ridge regression per arm that never saw the row it predicts.

An arm's coefficients are ``theta = (Z'Z + P)^-1 Z'(y - mean)`` over the rows in which it was chosen, with ``Z`` a
column of ones beside the standardised contexts and ``mean`` that of all arms. ``P`` counts one row at that mean, so
that an arm with few rows is taken for an average one, and penalises each of d coefficients by d, which says that all of
them together are expected to explain as much as the noise does.

Source: cross-fitting: Chernozhukov et al. 2018, "Double/debiased machine learning", definition 3.2 (DML2).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError

_FIRST_BLOCK = 64


def cross_fitted(
    contexts: Vector,
    chosen: NDArray[np.intp],
    outcomes: Vector,
    *,
    arms: int,
    folds: int = 5,
    clusters: NDArray[np.intp] | None = None,
    observed: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> Vector:
    """Return the expected outcome of every arm for every row ``(n, K[, m])``, learned from the other folds.

    Parameters
    ----------
    contexts
        ``(n, d)``; what is NaN counts as the column's mean.
    chosen, outcomes
        Position of the logged arm ``(n,)``, and its outcome ``(n,)`` or ``(n, m)``.
    arms
        K.
    folds
        Number of parts into which the rows are cut at random, at least 2.
    clusters
        Number of the cluster of each row ``(n,)``, such as its session: a cluster is never cut. None: each row is one.
    observed
        Rows whose outcome is known ``(n,)``; the others are predicted and teach nothing. None: all.
    seed
        Seed of the cut.

    Raises
    ------
    InvalidInputError
        If there are fewer clusters than folds.

    Examples
    --------
    >>> x, y = np.zeros((40, 0)), np.tile([0.0, 1.0], 20)
    >>> cross_fitted(x, np.tile([0, 1], 20), y, arms=2, folds=2).round(1)[0]  # almost the averages, 0 and 1
    array([0.1, 1. ])
    """
    if clusters is None:
        clusters = np.arange(len(chosen))
    count = int(clusters.max(initial=-1)) + 1
    if count < folds:
        raise InvalidInputError(f"{count} rows or clusters cannot be cut into {folds} folds; log more")
    fold = (np.random.default_rng(seed).permutation(count) % folds)[clusters]

    def other_folds(sums: Vector) -> Vector:
        return np.asarray(sums.sum(axis=0) - sums)

    return _predict(contexts, chosen, outcomes, arms=arms, part=fold, observed=observed, teachers=other_folds)


def progressive(contexts: Vector, chosen: NDArray[np.intp], outcomes: Vector, *, arms: int) -> Vector:
    """Return the expected outcome of every arm for every row ``(n, K[, m])``, learned from earlier rows alone.

    Bounds that hold at all times need such predictions. The model is fitted again whenever the number of rows has
    doubled. The first 64 rows are predicted as 0. Parameters are those of :func:`cross_fitted`.

    Examples
    --------
    >>> x, y = np.zeros((80, 0)), np.tile([0.0, 1.0], 40)
    >>> progressive(x, np.tile([0, 1], 40), y, arms=2).round(1)[[0, 63, 64]]
    array([[0., 0.],
           [0., 0.],
           [0., 1.]])
    """
    block = np.searchsorted(_FIRST_BLOCK * 2 ** np.arange(32), np.arange(len(chosen)), side="right")

    def earlier(sums: Vector) -> Vector:
        return np.concatenate([np.zeros_like(sums[:1]), np.cumsum(sums[:-1], axis=0)])

    return _predict(contexts, chosen, outcomes, arms=arms, part=block, teachers=earlier)


def _predict(
    contexts: Vector,
    chosen: NDArray[np.intp],
    outcomes: Vector,
    *,
    arms: int,
    part: NDArray[np.intp],
    teachers: Callable[[Vector], Vector],
    observed: NDArray[np.bool_] | None = None,
) -> Vector:
    """Predict each part of the rows by ridge regressions on its teachers.

    ``teachers`` turns sums over the rows of each part into sums over the rows that this part is to learn from.
    """
    z = _design(contexts)
    y = outcomes.reshape(len(z), -1)
    parts, width = int(part.max(initial=0)) + 1, z.shape[1]
    square, cross = np.zeros((parts, arms, width, width)), np.zeros((parts, arms, width, y.shape[1]))
    cell = part * arms + chosen
    ends = np.cumsum(np.bincount(cell, minlength=parts * arms))
    for c, rows in enumerate(np.split(np.argsort(cell, kind="stable"), ends[:-1])):
        rows = rows if observed is None else rows[observed[rows]]
        some, at = z[rows], divmod(c, arms)
        square[at], cross[at] = some.T @ some, some.T @ y[rows]
    penalty = np.diag([1.0] + [width - 1.0] * (width - 1))
    predicted = np.empty((len(z), arms, y.shape[1]))
    for p, (left, right) in enumerate(zip(teachers(square), teachers(cross), strict=True)):
        mean = right[:, 0].sum(axis=0) / max(left[:, 0, 0].sum(), 1.0)  # the first column is of ones
        theta = np.linalg.solve(left + penalty, right - left[:, :, :1] * mean)
        rows = np.flatnonzero(part == p)
        predicted[rows] = mean + np.einsum("nd,kdm->nkm", z[rows], theta, optimize=True)
    return predicted.reshape(len(z), arms, *outcomes.shape[1:])


def _design(contexts: Vector) -> Vector:
    """Return a column of ones and the standardised contexts, which are 0 where unknown or constant."""
    known = np.isfinite(contexts)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, contexts, 0.0).sum(axis=0) / count
    z = np.empty((len(contexts), 1 + contexts.shape[1]))
    z[:, 0] = 1.0
    np.subtract(contexts, mean, out=z[:, 1:])
    z[~np.isfinite(z)] = 0.0
    std = np.sqrt((z[:, 1:] ** 2).sum(axis=0) / count)
    z[:, 1:] /= np.where(std > 1e-12, std, np.inf)
    return z
