"""Multinomial logistic regression: deterministic, with a Gaussian prior on the slopes."""

from __future__ import annotations

import numpy as np

from banditroute.core.arrays import Vector


def softmax(scores: Vector) -> Vector:
    """Return probabilities over the last axis, in proportion to ``exp(scores)``.

    Examples
    --------
    >>> softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    grown = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: Vector = grown / grown.sum(axis=-1, keepdims=True)
    return result


def fit_softmax(x: Vector, classes: Vector, weights: Vector, *, precision: float) -> Vector:
    """Fit ``softmax(x @ slopes + intercepts)``; return slopes and, as the last row, intercepts ``(d + 1, C)``.

    L-BFGS minimises ``-sum_i weights_i ln p(class_i | x_i) + precision / 2 sum slopes^2``. The intercepts have a
    precision of only 1e-3, which makes the minimum unique.

    Parameters
    ----------
    x
        Inputs ``(n, d)`` of about unit variance.
    classes
        One-hot rows ``(n, C)``.
    weights
        Weight of each row ``(n,)``, above 0.
    precision
        Prior precision of each slope, above 0.
    """
    from scipy.optimize import minimize

    rows = np.hstack([x, np.ones((len(x), 1))])
    precisions = np.full((rows.shape[1], 1), precision)
    precisions[-1] = 1e-3
    shape = (rows.shape[1], classes.shape[1])

    def loss(flat: Vector) -> tuple[float, Vector]:
        found = flat.reshape(shape)
        scores = rows @ found
        scores -= scores.max(axis=1, keepdims=True)
        grown = np.exp(scores)
        total = grown.sum(axis=1, keepdims=True)
        value = weights @ (np.log(total[:, 0]) - (classes * scores).sum(axis=1))
        slope = rows.T @ (weights[:, None] * (grown / total - classes)) + precisions * found
        return float(value + 0.5 * (precisions * found**2).sum()), slope.ravel()

    best = minimize(loss, np.zeros(shape[0] * shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    result: Vector = best.x.reshape(shape)
    return result
