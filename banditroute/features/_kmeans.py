"""k-means over weighted points, and centres that follow points which have moved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector

_ITERATIONS = 1000  # some dozens are enough, unless rounding turns in a circle


def squared_distances(z: Vector, centres: Vector) -> Vector:
    """From every point to every centre ``(n, K)``, at least 0."""
    squares = (z**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    result: Vector = np.maximum(squares - 2.0 * z @ centres.T, 0.0)
    return result


def lloyd(z: Vector, weights: Vector, centres: Vector) -> tuple[Vector, NDArray[np.intp]]:
    """Centres ``(K, s)`` after Lloyd's iteration from ``centres``, and the nearest of every point ``(n,)``.

    A centre to which no point ``z (n, s)`` is nearest stays where it is.

    Examples
    --------
    >>> lloyd(np.array([[0.0], [2.0], [9.0]]), np.array([1.0, 3.0, 1.0]), np.array([[0.0], [10.0]]))
    (array([[1.5], [9. ]]), array([0, 0, 1]))
    """
    labels = np.full(len(z), -1)
    for _ in range(_ITERATIONS):
        nearest = squared_distances(z, centres).argmin(axis=1)
        if (nearest == labels).all():
            break
        labels = nearest
        member = np.zeros((len(centres), len(z)))
        member[labels, np.arange(len(z))] = weights
        mass = member.sum(axis=1, keepdims=True)
        centres = np.where(mass > 0.0, member @ z / np.where(mass > 0.0, mass, 1.0), centres)
    return centres, labels


def follow(z: Vector, weights: Vector, centres: Vector, *, margin: float) -> Vector:
    """Centres ``(K, s)`` that have followed the points ``z (n, s)`` to where they are now, in no particular order.

    What is made small is the sum of squares ``J`` from the points to their nearest centres. Lloyd's iteration leaves
    every centre among the points around it, but brings none to points that appear far from all, and takes none from
    where one less would do. So one cluster is split and two are merged, again and again, while the split saves more
    than ``margin`` times what the merger costs. Both are in ``J``: for clusters ``a`` and ``b`` of masses ``m`` it is
    ``m_a m_b / (m_a + m_b) |c_a - c_b|²`` (Ward 1963).

    Examples
    --------
    Of the points near 0 one centre is enough, and those at 9 get the other.

    >>> z = np.array([[0.0], [0.2], [0.4], [5.0], [9.0], [9.1]])
    >>> follow(z, np.ones(6), np.array([[0.1], [0.5], [5.5]]), margin=2.0).round(2).tolist()
    [[0.2], [5.0], [9.05]]
    """
    for _ in range(len(centres)):
        centres, labels = lloyd(z, weights, centres)
        halves = [_halves(z[labels == k], weights[labels == k]) for k in range(len(centres))]
        split = int(np.argmax([saved for saved, _ in halves]))
        saved, (half, other_half) = halves[split]
        mass = np.bincount(labels, weights, minlength=len(centres)).astype(np.float64)
        cost, one, other = _cheapest_merger(mass, centres, barred=split)
        if not saved > margin * cost:
            break
        merged = (mass[one] * centres[one] + mass[other] * centres[other]) / (mass[one] + mass[other] or 1.0)
        centres = centres.copy()
        centres[[one, split, other]] = merged, half, other_half
    return lloyd(z, weights, centres)[0]


def in_old_rows(centres: Vector, old: Vector) -> tuple[Vector, NDArray[np.bool_]]:
    """The centres in the rows of the ``old`` ones ``(K, s)``, and which of them are new ``(K,)``.

    A cluster in which old centres lie is in the row of the nearest of them. The others are new, and take what is left.

    Examples
    --------
    >>> in_old_rows(np.array([[9.0], [5.2], [0.0]]), np.array([[0.1], [-0.2], [5.0]]))
    (array([[0. ], [9. ], [5.2]]), array([False,  True, False]))
    """
    distances = squared_distances(old, centres)
    rows = np.full(len(centres), -1)
    for row in np.argsort(-distances.min(axis=1), kind="stable"):  # the nearest last: it has the last word
        rows[distances[row].argmin()] = row
    left = np.setdiff1d(np.arange(len(old)), rows)
    rows[rows < 0] = left
    order = np.argsort(rows)
    return centres[order], np.isin(np.arange(len(old)), left)


def _halves(z: Vector, weights: Vector) -> tuple[float, Vector]:
    """Return what a split of these points would save, and the centres of the halves ``(2, s)``."""
    mean = weights @ z / (weights.sum() or 1.0)
    scaled = np.sqrt(weights)[:, None] * (z - mean)
    side = (z - mean) @ np.linalg.eigh(scaled.T @ scaled)[1][:, -1] > 0.0
    if side.all() or not side.any():  # all points are one
        return 0.0, np.array([mean, mean])
    start = np.array([weights[part] @ z[part] / weights[part].sum() for part in (side, ~side)])
    halves, labels = lloyd(z, weights, start)
    mass = np.bincount(labels, weights, minlength=2)
    return float(mass.prod() / mass.sum() * ((halves[0] - halves[1]) ** 2).sum()), halves


def _cheapest_merger(mass: Vector, centres: Vector, *, barred: int) -> tuple[float, int, int]:
    """The least cost of a merger of two clusters, none of them ``barred``, and which two."""
    cost = squared_distances(centres, centres) * np.outer(mass, mass) / np.maximum(mass[:, None] + mass, 1e-300)
    cost[np.tril_indices(len(mass))] = np.inf
    cost[barred] = cost[:, barred] = np.inf
    one, other = np.unravel_index(cost.argmin(), cost.shape)
    return float(cost[one, other]), int(one), int(other)
