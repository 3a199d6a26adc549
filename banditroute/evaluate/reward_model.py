"""The reward model of doubly robust estimators: ridge regression per arm, and never on the row that it predicts.

An arm's coefficients are ``theta = (Z'Z + P)^-1 Z'(y - mean)`` over the rows in which it was chosen, with ``Z`` a
column of ones beside the standardised contexts and ``mean`` that of all arms. ``P`` counts one row at that mean, so
that an arm with few rows is taken for an average one, and penalises each of d coefficients by d, which says that all of
them together are expected to explain as much as the noise does.

Source: cross-fitting: Chernozhukov et al. 2018, "Double/debiased machine learning", definition 3.2 (DML2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from banditroute.errors import InvalidInputError
from banditroute.types import Vector

_FIRST_BLOCK = 64


def cross_fitted(
    contexts: Vector,
    chosen: NDArray[np.intp],
    outcomes: Vector,
    *,
    arms: int,
    folds: int = 5,
    groups: NDArray[np.intp] | None = None,
    seed: int = 0,
) -> Vector:
    """Expected outcome of every arm for every row, ``(n, K)`` or ``(n, K, m)``, learned from the other folds.

    Parameters
    ----------
    contexts
        ``(n, d)``; what is NaN counts as the column's mean.
    chosen, outcomes
        Position of the logged arm ``(n,)``, and what was had of it ``(n,)`` or ``(n, m)``.
    arms
        K.
    folds
        Into how many parts the rows are cut at random, at least 2.
    groups
        Number of the group of each row ``(n,)``, such as its session: a group is never cut. None: every row its own.
    seed
        Of the cut.

    Raises
    ------
    InvalidInputError
        If there are fewer groups than folds.

    Examples
    --------
    >>> x, y = np.zeros((40, 0)), np.tile([0.0, 1.0], 20)
    >>> cross_fitted(x, np.tile([0, 1], 20), y, arms=2, folds=2).round(1)[0]  # almost the averages, 0 and 1
    array([0.1, 1. ])
    """
    rng = np.random.default_rng(seed)
    if groups is None:
        groups = np.arange(len(chosen))
    count = int(groups.max(initial=-1)) + 1
    if count < folds:
        raise InvalidInputError(f"{count} rows or groups cannot be cut into {folds} folds; log more")
    fold = (rng.permutation(count) % folds)[groups]
    z = _design(contexts)
    y = outcomes.reshape(len(z), -1)
    sums = _Sums.of(z, chosen, y, part=fold, parts=folds, arms=arms)
    predicted = np.empty((len(z), arms, y.shape[1]))
    for f in range(folds):
        rows = np.flatnonzero(fold == f)
        predicted[rows] = sums.without(f).predict(z[rows])
    return predicted.reshape(len(z), arms, *outcomes.shape[1:])


def progressive(contexts: Vector, chosen: NDArray[np.intp], outcomes: Vector, *, arms: int) -> Vector:
    """Expected outcome of every arm for every row ``(n, K)``, learned from earlier rows alone.

    As sequences need it that hold at all times. The model is fitted anew whenever the rows have doubled; before the
    first 64 nothing is expected but 0. Parameters as of :func:`cross_fitted`, outcomes ``(n,)``.

    Examples
    --------
    >>> x, y = np.zeros((80, 0)), np.tile([0.0, 1.0], 40)
    >>> progressive(x, np.tile([0, 1], 40), y, arms=2).round(1)[[0, 63, 64]]
    array([[0., 0.],
           [0., 0.],
           [0., 1.]])
    """
    n = len(chosen)
    z = _design(contexts)
    y = outcomes[:, None]
    predicted = np.zeros((n, arms))
    begin = _FIRST_BLOCK
    while begin < n:
        past, block = slice(begin), slice(begin, 2 * begin)
        sums = _Sums.of(z[past], chosen[past], y[past], part=np.zeros(begin, dtype=np.intp), parts=1, arms=arms)
        predicted[block] = sums.predict(z[block])[:, :, 0]
        begin *= 2
    return predicted


class _Sums:
    """``Z'Z``, ``Z'y`` and counts of every part and arm: what ridge regressions on any parts are made of."""

    def __init__(self, square: Vector, cross: Vector) -> None:
        self.square, self.cross = square, cross  # (parts, K, 1 + d, 1 + d) and (parts, K, 1 + d, m)

    @classmethod
    def of(
        cls, z: Vector, chosen: NDArray[np.intp], y: Vector, *, part: NDArray[np.intp], parts: int, arms: int
    ) -> _Sums:
        width, m = z.shape[1], y.shape[1]
        square, cross = np.zeros((parts * arms, width, width)), np.zeros((parts * arms, width, m))
        cell = part * arms + chosen
        order = np.argsort(cell, kind="stable")
        ends = np.cumsum(np.bincount(cell, minlength=parts * arms))
        for c, rows in enumerate(np.split(order, ends[:-1])):
            some = z[rows]
            square[c], cross[c] = some.T @ some, some.T @ y[rows]
        return cls(square.reshape(parts, arms, width, width), cross.reshape(parts, arms, width, m))

    def without(self, part: int) -> _Sums:
        return _Sums(np.delete(self.square, part, axis=0), np.delete(self.cross, part, axis=0))

    def predict(self, z: Vector) -> Vector:
        """Expected outcome of every arm ``(n, K, m)``."""
        square, cross = self.square.sum(axis=0), self.cross.sum(axis=0)
        mean = cross[:, 0].sum(axis=0) / max(square[:, 0, 0].sum(), 1.0)  # the first column is of ones
        width = square.shape[-1]
        penalty = np.diag([1.0] + [width - 1.0] * (width - 1))
        theta = np.linalg.solve(square + penalty, cross - square[:, :, :1] * mean)
        predicted: Vector = mean + np.einsum("nd,kdm->nkm", z, theta, optimize=True)
        return predicted


def _design(contexts: Vector) -> Vector:
    """A column of ones beside the standardised contexts, 0 where they are not known or do not vary."""
    known = np.isfinite(contexts)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, contexts, 0.0).sum(axis=0) / count
    z = np.empty((len(contexts), 1 + contexts.shape[1]))
    z[:, 0] = 1.0
    np.subtract(contexts, mean, out=z[:, 1:])
    z[~np.isfinite(z)] = 0.0
    spread = np.sqrt((z[:, 1:] ** 2).sum(axis=0) / count)
    z[:, 1:] /= np.where(spread > 1e-12, spread, np.inf)
    return z
