"""Importance weights: how much more often the target policy chooses the logged arm."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import blocks, large_array, rows_of
from banditroute.errors import InvalidInputError


def importance_weights(chosen: NDArray[np.intp], propensities: ArrayLike, target: ArrayLike) -> Vector:
    """Return ``w = target[chosen] / propensity`` of each logged decision ``(n,)``; their expectation is 1.

    Parameters
    ----------
    chosen
        Position of the logged arm ``(n,)``.
    propensities
        The probability with which it was chosen ``(n,)``, in (0, 1].
    target
        Probability of every arm under the target policy ``(n, K)``; each row sums to 1.

    Raises
    ------
    InvalidInputError
        If arrays do not fit each other, or do not hold probabilities.

    Examples
    --------
    >>> importance_weights(np.array([0, 1]), [0.5, 0.8], [[1.0, 0.0], [0.6, 0.4]])
    array([2. , 0.5])
    """
    p, pi = np.asarray(propensities, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if p.shape != chosen.shape or pi.ndim != 2 or len(pi) != len(chosen):
        raise InvalidInputError(
            f"chosen has shape {chosen.shape}, propensities {p.shape}, target {pi.shape}; give (n,), (n,) and (n, K)"
        )
    wrong = ~((p > 0.0) & (p <= 1.0))
    if wrong.any():
        raise InvalidInputError(
            f"propensity of row {wrong.argmax()} is {p[wrong.argmax()]}; give the probability with which the arm was "
            "chosen, above 0 and at most 1"
        )
    for at in blocks(len(pi)):
        rows = rows_of(pi, at)
        wrong = ~((rows >= 0.0).all(axis=1) & (np.abs(rows.sum(axis=1) - 1.0) < 1e-6))
        if wrong.any():
            row = at.start + wrong.argmax()
            raise InvalidInputError(f"target probabilities of row {row} are {pi[row]}; give one per arm that sum to 1")
    if len(chosen) and not (chosen.dtype.kind in "iu" and 0 <= chosen.min() <= chosen.max() < pi.shape[1]):
        raise InvalidInputError(
            f"chosen is not all positions from 0 to {pi.shape[1] - 1}; give those of the target's arms"
        )
    weights: Vector = large_array((len(pi),))
    for at in blocks(len(pi)):
        rows = rows_of(pi, at)
        weights[at] = rows[np.arange(len(rows)), chosen[at]] / p[at]
    return weights


def clipped(weights: Vector, *, most: float) -> Vector:
    """Return ``min(w, most)``: less variance, and a bias towards 0 where outcomes are not negative.

    Source: Ionides 2008, "Truncated importance sampling".

    Examples
    --------
    >>> clipped(np.array([0.5, 20.0]), most=10.0)
    array([ 0.5, 10. ])
    """
    return np.minimum(weights, most)


def switched(weights: Vector, *, most: float) -> Vector:
    """Return ``w`` up to ``most``, and 0 beyond: there a doubly robust estimator relies on its predictions.

    Source: Wang, Agarwal and Dudik 2017, "Optimal and adaptive off-policy evaluation in contextual bandits"
    (SWITCH-DR).

    Examples
    --------
    >>> switched(np.array([0.5, 20.0]), most=10.0)
    array([0.5, 0. ])
    """
    return np.where(weights <= most, weights, 0.0)


def shrunk(weights: Vector, *, strength: float) -> Vector:
    """Return ``strength w / (w^2 + strength)``: the weights that minimise a bound of the squared error.

    Source: Su, Dimakopoulou, Krishnamurthy and Dudik 2020, "Doubly robust off-policy evaluation with shrinkage" (DRos).

    Examples
    --------
    >>> shrunk(np.array([1.0, 20.0]), strength=100.0).round(3)
    array([0.99, 4.  ])
    """
    return strength * weights / (weights * weights + strength)
