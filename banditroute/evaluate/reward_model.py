"""The reward model of doubly robust estimators: a ridge regression per arm that never saw the row it predicts.

An arm's coefficients are ``theta = (Z'Z + P)^-1 Z'(y - mean)`` over the rows in which it was chosen, with ``Z`` a
column of ones next to the standardised contexts and ``mean`` that of all arms. ``P`` counts one row at that mean, so
that an arm with few rows is taken for an average one, and penalises each of d coefficients by d, which says that all of
them together are expected to explain as much as the noise does.

Source: cross-fitting: Chernozhukov et al. 2018, "Double/debiased machine learning", definition 3.2 (DML2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import blocks, large_array, rows_of
from banditroute.errors import InvalidInputError

_FIRST_BLOCK = 64
_LOTS_AT_ONCE = 2**18  # rows or clusters that folds are drawn for


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
    model = cross_fit(
        Design.of(contexts),
        chosen,
        outcomes.reshape(len(chosen), -1),
        arms=arms,
        folds=folds,
        clusters=clusters,
        observed=observed,
        seed=seed,
    )
    return model.all_rows().reshape(len(chosen), arms, *outcomes.shape[1:])


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
    model = progressive_fit(Design.of(contexts), chosen, outcomes.reshape(len(chosen), -1), arms=arms)
    return model.all_rows().reshape(len(chosen), arms, *outcomes.shape[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A column of ones and the standardised contexts, which are 0 where unknown or constant; made block by block.

    Attributes
    ----------
    contexts
        ``(n, d)``.
    mean, std
        Of each column, of what is known ``(d,)``; the standard deviation is infinite where the column is constant.
    """

    contexts: Vector
    mean: Vector
    std: Vector

    @classmethod
    def of(cls, contexts: Vector) -> Design:
        """Return the design of contexts ``(n, d)``."""
        n, d = contexts.shape
        total, count = np.zeros(d), np.zeros(d)
        for at in blocks(n):
            x = rows_of(contexts, at)
            if _all_finite(x):
                total += x.sum(axis=0)
                count += len(x)
            else:
                known = np.isfinite(x)
                total += np.where(known, x, 0.0).sum(axis=0)
                count += known.sum(axis=0)
        count = np.maximum(count, 1.0)
        centred = cls(contexts=contexts, mean=total / count, std=np.ones(d))
        squares = np.zeros(d)
        for at in blocks(n):
            squares += (centred.rows(at)[:, 1:] ** 2).sum(axis=0)
        std = np.sqrt(squares / count)
        return cls(contexts=contexts, mean=centred.mean, std=np.where(std > 1e-12, std, np.inf))

    def rows(self, at: slice) -> Vector:
        """Return some rows ``(rows, 1 + d)``."""
        x = rows_of(self.contexts, at)
        z = np.empty((len(x), 1 + x.shape[1]))
        z[:, 0] = 1.0
        np.subtract(x, self.mean, out=z[:, 1:])
        if not _all_finite(z):
            z[~np.isfinite(z)] = 0.0
        z[:, 1:] /= self.std
        return z


def _all_finite(values: Vector) -> bool:
    """Return True only if all values are finite; one sum is faster than a look at each."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(values.sum()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModel:
    """The expected outcome of every arm; each part of the rows has ridge regressions of its own.

    Attributes
    ----------
    design
        The rows.
    part
        Number of the part of each row ``(n,)``.
    mean, theta
        Mean outcome ``(parts, m)`` and coefficients ``(parts, K, 1 + d, m)`` that a part learned from its teachers.
    """

    design: Design
    part: NDArray[np.unsignedinteger[Any]]
    mean: Vector
    theta: Vector

    @classmethod
    def fit(
        cls,
        design: Design,
        chosen: NDArray[np.intp],
        outcomes: Vector,
        *,
        arms: int,
        part: NDArray[np.unsignedinteger[Any]],
        teachers: Callable[[Vector], Vector],
        observed: NDArray[np.bool_] | None = None,
    ) -> RewardModel:
        """Learn from outcomes ``(n, m)``.

        ``teachers`` turns sums over the rows of each part into sums over the rows that this part is to learn from.
        """
        parts, width = int(part.max(initial=0)) + 1, 1 + design.contexts.shape[1]
        square, cross = np.zeros((parts, arms, width, width)), np.zeros((parts, arms, width, outcomes.shape[1]))
        for at in blocks(len(chosen)):
            z, y, cell = design.rows(at), rows_of(outcomes, at), part[at].astype(np.intp) * arms + chosen[at]
            ends = np.cumsum(np.bincount(cell, minlength=parts * arms))
            for c, rows in enumerate(np.split(np.argsort(cell, kind="stable"), ends[:-1])):
                rows = rows if observed is None else rows[observed[at][rows]]
                if len(rows):
                    some, of_cell = z[rows], divmod(c, arms)
                    square[of_cell] += some.T @ some
                    cross[of_cell] += some.T @ y[rows]
        penalty = np.diag([1.0] + [width - 1.0] * (width - 1))
        left, right = teachers(square), teachers(cross)
        # The first column is of ones.
        mean = right[:, :, 0].sum(axis=1) / np.maximum(left[:, :, 0, 0].sum(axis=1), 1.0)[:, None]
        theta = np.linalg.solve(left + penalty, right - left[:, :, :, :1] * mean[:, None, None, :])
        return cls(design=design, part=part, mean=mean, theta=theta)

    def rows(self, at: slice) -> Vector:
        """Return the expected outcomes of some rows ``(rows, K, m)``."""
        z, part = self.design.rows(at), self.part[at]
        _, arms, _, m = self.theta.shape
        predicted = np.empty((len(z), arms, m))
        for p in np.flatnonzero(np.bincount(part)):
            rows = np.flatnonzero(part == p)
            predicted[rows] = self.mean[p] + np.einsum("nd,kdm->nkm", z[rows], self.theta[p], optimize=True)
        return predicted

    def all_rows(self) -> Vector:
        """Return the expected outcomes of all rows ``(n, K, m)``."""
        _, arms, _, m = self.theta.shape
        predicted = large_array((len(self.part), arms, m))
        for at in blocks(len(self.part)):
            predicted[at] = self.rows(at)
        return predicted


def cross_fit(
    design: Design,
    chosen: NDArray[np.intp],
    outcomes: Vector,
    *,
    arms: int,
    folds: int = 5,
    clusters: NDArray[np.intp] | None = None,
    observed: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> RewardModel:
    """Return the model of :func:`cross_fitted` for outcomes ``(n, m)``."""
    count = len(chosen) if clusters is None else int(clusters.max(initial=-1)) + 1
    if count < folds:
        raise InvalidInputError(f"{count} rows or clusters cannot be cut into {folds} folds; log more")
    rng, fold = np.random.default_rng(seed), np.empty(count, dtype=np.min_scalar_type(folds))
    for begin in range(0, count, _LOTS_AT_ONCE):
        some = fold[begin : begin + _LOTS_AT_ONCE]
        some[:] = rng.permutation(len(some)) % folds

    def other_folds(sums: Vector) -> Vector:
        return np.asarray(sums.sum(axis=0) - sums)

    part = fold if clusters is None else fold[clusters]
    return RewardModel.fit(design, chosen, outcomes, arms=arms, part=part, observed=observed, teachers=other_folds)


def progressive_fit(design: Design, chosen: NDArray[np.intp], outcomes: Vector, *, arms: int) -> RewardModel:
    """Return the model of :func:`progressive` for outcomes ``(n, m)``."""
    starts = _FIRST_BLOCK * 2 ** np.arange(32)
    part = np.empty(len(chosen), dtype=np.uint8)
    for at in blocks(len(chosen)):
        part[at] = np.searchsorted(starts, np.arange(at.start, at.stop), side="right")

    def earlier(sums: Vector) -> Vector:
        return np.concatenate([np.zeros_like(sums[:1]), np.cumsum(sums[:-1], axis=0)])

    return RewardModel.fit(design, chosen, outcomes, arms=arms, part=part, teachers=earlier)
