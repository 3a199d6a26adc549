"""k-means over weighted points, and an update that moves cluster centres to new points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector

_MOST_ITERATIONS = 1000  # a few dozen suffice; the limit ends a cycle that rounding may cause


def squared_distances(z: Vector, centres: Vector) -> Vector:
    """Return the squared distance from every point to every centre ``(n, K)``, at least 0."""
    squares = (z**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    result: Vector = np.maximum(squares - 2.0 * z @ centres.T, 0.0)
    return result


def lloyd(z: Vector, weights: Vector, centres: Vector) -> tuple[Vector, NDArray[np.intp]]:
    """Run Lloyd's iteration from ``centres``; return the new centres ``(K, s)`` and each point's nearest one ``(n,)``.

    A centre that is not the nearest of any point ``z (n, s)`` stays where it is.

    Examples
    --------
    >>> lloyd(np.array([[0.0], [2.0], [9.0]]), np.array([1.0, 3.0, 1.0]), np.array([[0.0], [10.0]]))
    (array([[1.5], [9. ]]), array([0, 0, 1]))
    """
    labels = np.full(len(z), -1)
    for _ in range(_MOST_ITERATIONS):
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
    """Move centres to the points ``z (n, s)``, and return them ``(K, s)`` in no particular order.

    The update reduces ``J``, the sum of squared distances from the points to their nearest centres. Lloyd's iteration
    alone cannot move a centre to a distant new group of points, nor away from a group that has one too many. So this
    splits one cluster and merges two others, while the split saves more than ``margin`` times the cost of the merger.
    Both are changes of ``J``. For clusters ``a`` and ``b`` of masses ``m`` the change is
    ``m_a m_b / (m_a + m_b) |c_a - c_b|²`` (Ward 1963).

    Examples
    --------
    The points near 0 need only one centre, so the points at 9 get the other.

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
    """Put the centres into the rows of the ``old`` ones; return them ``(K, s)`` and a mask of the new ones ``(K,)``.

    A cluster that contains old centres gets the row of the nearest of them. Other clusters are new and get the
    remaining rows.

    Examples
    --------
    >>> in_old_rows(np.array([[9.0], [5.2], [0.0]]), np.array([[0.1], [-0.2], [5.0]]))
    (array([[0. ], [9. ], [5.2]]), array([False,  True, False]))
    """
    distances = squared_distances(old, centres)
    rows = np.full(len(centres), -1)
    for row in np.argsort(-distances.min(axis=1), kind="stable"):  # the nearest old centre comes last and wins
        rows[distances[row].argmin()] = row
    left = np.setdiff1d(np.arange(len(old)), rows)
    rows[rows < 0] = left
    order = np.argsort(rows)
    return centres[order], np.isin(np.arange(len(old)), left)


def _halves(z: Vector, weights: Vector) -> tuple[float, Vector]:
    """Split points in two; return the reduction of ``J`` and the centres of the halves ``(2, s)``."""
    mean = weights @ z / (weights.sum() or 1.0)
    scaled = np.sqrt(weights)[:, None] * (z - mean)
    side = (z - mean) @ np.linalg.eigh(scaled.T @ scaled)[1][:, -1] > 0.0
    if side.all() or not side.any():  # all points are equal
        return 0.0, np.array([mean, mean])
    start = np.array([weights[part] @ z[part] / weights[part].sum() for part in (side, ~side)])
    halves, labels = lloyd(z, weights, start)
    mass = np.bincount(labels, weights, minlength=2)
    return float(mass.prod() / mass.sum() * ((halves[0] - halves[1]) ** 2).sum()), halves


def _cheapest_merger(mass: Vector, centres: Vector, *, barred: int) -> tuple[float, int, int]:
    """Find the cheapest merger of two clusters other than ``barred``; return its cost and the two positions."""
    cost = squared_distances(centres, centres) * np.outer(mass, mass) / np.maximum(mass[:, None] + mass, 1e-300)
    cost[np.tril_indices(len(mass))] = np.inf
    cost[barred] = cost[:, barred] = np.inf
    one, other = np.unravel_index(cost.argmin(), cost.shape)
    return float(cost[one, other]), int(one), int(other)
