"""Intervals of a mean of terms for a number of rows that was fixed before; rows of a cluster depend on each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import blocks, rows_of
from banditroute.errors import InvalidInputError

_BLOCKS = 500
_LOTS_AT_ONCE = 2**18  # rows


class Interval(NamedTuple):
    """An estimate and its bounds."""

    value: float
    lower: float
    upper: float


def normal_interval(terms: Vector, *, clusters: NDArray[np.intp] | None = None, alpha: float = 0.05) -> Interval:
    """Return the mean of terms ``(n,)`` and its Student-t interval, from their differences between clusters.

    With ``T_g`` and ``n_g`` the sum and number of the terms of each of G clusters, ``v = sum T / sum n`` and the
    standard error is ``sqrt(G / (G - 1) sum (T_g - v n_g)^2) / n``.

    Parameters
    ----------
    clusters
        Number of the cluster of each term, such as its session ``(n,)``. None: every term its own.
    alpha
        The probability of missing the mean.

    Raises
    ------
    InvalidInputError
        If there are fewer than 2 clusters.

    Examples
    --------
    >>> low, high = normal_interval(np.array([1.0, 2.0, 3.0]))[1:]  # 2 -+ t(.975, 2) / sqrt(3) = 2 -+ 2.484
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    """
    total, size = _at_least_two(*sums_by_cluster(terms, clusters))
    value = float(total.sum() / size.sum())
    squares = ((total - value * size) ** 2).sum()
    error = np.sqrt(len(total) / (len(total) - 1.0) * squares) / size.sum()
    from scipy.special import stdtrit  # here, so that importing banditroute does not load scipy

    half = float(stdtrit(len(total) - 1, 1.0 - alpha / 2.0) * error)
    return Interval(value, value - half, value + half)


def bootstrap_interval(
    terms: Vector,
    *,
    clusters: NDArray[np.intp] | None = None,
    alpha: float = 0.05,
    repetitions: int = 999,
    seed: int = 0,
) -> Interval:
    """Return the mean of terms ``(n,)`` and its bootstrap-t interval: clusters are drawn, and every draw studentised.

    It reflects the skewness that few large weights bring, which a normal interval ignores. More than 500 clusters are
    drawn in 500 blocks of clusters. Of R draws, the ratios that bound are the ``(R + 1) alpha / 2``-th from either end:
    one more such ratio lies outside with probability alpha. Source: Efron 1981; Hall 1988, "Theoretical comparison of
    bootstrap confidence intervals"; for the rank, Davison and Hinkley 1997, "Bootstrap methods and their application".

    Parameters
    ----------
    clusters, alpha
        See :func:`normal_interval`.
    repetitions, seed
        How many draws R, and their seed.

    Raises
    ------
    InvalidInputError
        If there are fewer than 2 clusters.

    Examples
    --------
    >>> terms = np.random.default_rng(0).normal(5.0, 1.0, 400)
    >>> [round(bound, 2) for bound in bootstrap_interval(terms)]
    [4.96, 4.87, 5.07]
    >>> [round(bound, 2) for bound in normal_interval(terms)]
    [4.96, 4.87, 5.06]
    """
    rng = np.random.default_rng(seed)
    total, size = _at_least_two(*sums_by_cluster(terms, clusters))
    if len(total) > _BLOCKS:
        total, size = sums_of_groups(total, size, _BLOCKS, rng)
    drawn_from = len(total)
    mean = total.sum() / size.sum()
    off = total - mean * size
    cells = rng.integers(drawn_from, size=(repetitions, drawn_from)) + drawn_from * np.arange(repetitions)[:, None]
    drawn = np.bincount(cells.ravel(), minlength=cells.size).reshape(cells.shape).astype(np.float64)  # how often each
    off_drawn, drawn_size, squares, both, sizes = (drawn @ np.stack([off, size, off**2, off * size, size**2], axis=1)).T
    shift = off_drawn / drawn_size
    # Of each draw, the sum of (off - shift size)^2: its standard error but for factors that all draws share.
    std = np.sqrt(np.maximum(squares - 2.0 * shift * both + shift**2 * sizes, 0.0)) / drawn_size
    ratios = np.divide(shift, std, out=np.zeros_like(shift), where=std > 0.0)
    ends = np.quantile(ratios, [alpha / 2.0, 1.0 - alpha / 2.0], method="weibull")
    low, high = ends * np.sqrt((off**2).sum()) / size.sum()
    return Interval(float(mean), float(mean - high), float(mean - low))


def sums_by_cluster(terms: Vector, clusters: NDArray[np.intp] | None) -> tuple[Vector, Vector]:
    """Return the sum and the number of the terms of each cluster."""
    if terms.ndim != 1 or not all(np.isfinite(rows_of(terms, at)).all() for at in blocks(len(terms))):
        raise InvalidInputError(f"terms have shape {terms.shape}, or are not finite; give finite numbers (n,)")
    total, size = terms, np.broadcast_to(1.0, len(terms))
    if clusters is not None:
        total, size = sums_of(clusters, total), sums_of(clusters, size)
        total, size = total[size > 0.0], size[size > 0.0]
    return total, size


def sums_of_groups(total: Vector, size: Vector, groups: int, rng: np.random.Generator) -> tuple[Vector, Vector]:
    """Return the sums of both ``(groups,)`` over groups of one size, into which the rows are drawn by lot.

    Lots are drawn for 262,144 rows at a time, so that memory does not grow with the rows.
    """
    sums = np.zeros(groups), np.zeros(groups)
    for begin in range(0, len(total), _LOTS_AT_ONCE):
        at = slice(begin, min(begin + _LOTS_AT_ONCE, len(total)))
        group = rng.permutation(at.stop - at.start) % groups
        for values, of_group in zip((total, size), sums, strict=True):
            of_group += np.bincount(group, weights=rows_of(values, at), minlength=groups)
    return sums


def _at_least_two(total: Vector, size: Vector) -> tuple[Vector, Vector]:
    if len(total) < 2:
        raise InvalidInputError(f"there are {len(total)} clusters of rows; an interval needs at least 2")
    return total, size


def sums_of(clusters: NDArray[np.intp], values: Vector) -> Vector:
    """Return the sum of the values ``(n,)`` of each cluster, by the number of each value's cluster."""
    return np.asarray(np.bincount(clusters, weights=values), dtype=np.float64)
