"""Estimators of a policy's mean outcome from a log of another's decisions.

Each returns one term per logged row. The mean of the terms is the estimate; their standard deviation gives its error to
first order. All estimators share the code for intervals, differences and sessions. Outcomes are ``(n,)``, or
``(n, m)`` of m objectives that share their weights; terms have their shape.

========================================  =====================================================================
estimator                                 is
========================================  =====================================================================
IPS                                       ``ips(y, w)``
clipped IPS                               ``ips(y, clipped(w, most=...))``
SNIPS                                     ``snips(y, w)``
DM                                        ``direct_method(target, predicted)``
DR                                        ``doubly_robust(y, w, chosen, target, predicted)``
SNDR                                      ``self_normalized_doubly_robust(y, w, chosen, target, predicted)``
SWITCH-DR                                 ``doubly_robust(y, switched(w, most=...), chosen, target, predicted)``
DRos, DR with optimistic shrinkage        ``doubly_robust(y, shrunk(w, strength=...), chosen, target, predicted)``
replay by rejection sampling              ``snips(y, accepted)``
========================================  =====================================================================
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError


def ips(outcomes: ArrayLike, weights: ArrayLike) -> Vector:
    """Return the terms of the inverse propensity score: ``w y``.

    Unbiased where every arm that the target takes could be chosen. Source: Horvitz and Thompson 1952.

    Examples
    --------
    >>> float(ips([1.0, 0.0, 1.0], [2.0, 0.0, 0.5]).mean().round(4))  # (2 + 0 + .5) / 3
    0.8333
    """
    y, w = _checked(outcomes, weights)
    return w * y


def snips(outcomes: ArrayLike, weights: ArrayLike) -> Vector:
    """Return the terms of self-normalised IPS: ``v + w (y - v) / mean(w)`` with ``v = sum w y / sum w``.

    Consistent; never outside the range of the outcomes, and the same for outcomes shifted by a constant.

    Source: Swaminathan and Joachims 2015, "The self-normalized estimator for counterfactual learning".

    Examples
    --------
    >>> float(snips([1.0, 0.0, 1.0], [2.0, 1.0, 1.0]).mean())  # 3 / 4
    0.75
    """
    y, w = _checked(outcomes, weights)
    return _normalised(y, w)


def direct_method(target: ArrayLike, predicted: ArrayLike) -> Vector:
    """Return the direct method's terms: ``sum over arms of target x predicted``. As wrong as the predictions are.

    Parameters
    ----------
    target
        Probability of every arm under the target policy ``(n, K)``.
    predicted
        Expected outcome of every arm ``(n, K)`` or ``(n, K, m)``, from a model that did not see the row.

    Examples
    --------
    >>> direct_method([[0.25, 0.75]], [[0.0, 1.0]])
    array([0.75])
    """
    under: Vector = np.einsum("nk,nk...->n...", np.asarray(target, float), np.asarray(predicted, float))
    return under


def doubly_robust(
    outcomes: ArrayLike, weights: ArrayLike, chosen: NDArray[np.intp], target: ArrayLike, predicted: ArrayLike
) -> Vector:
    """Return the doubly robust terms: ``direct method + w (y - predicted[chosen])``.

    Unbiased; the better the predictions, the smaller the error. Source: Dudik, Langford and Li 2011, "Doubly
    robust policy evaluation and learning", equation 2.

    Parameters
    ----------
    outcomes, weights
        ``(n,)`` or ``(n, m)``, and ``(n,)``.
    chosen
        Position of the logged arm ``(n,)``.
    target, predicted
        See :func:`direct_method`.

    Examples
    --------
    >>> doubly_robust([1.0], [2.0], np.array([1]), [[0.0, 1.0]], [[0.0, 0.8]]).round(2)  # .8 + 2 x .2
    array([1.2])
    """
    y, w, expected = _with_predictions(outcomes, weights, chosen, target, predicted)
    return expected + w * y


def self_normalized_doubly_robust(
    outcomes: ArrayLike, weights: ArrayLike, chosen: NDArray[np.intp], target: ArrayLike, predicted: ArrayLike
) -> Vector:
    """Doubly robust with its correction self-normalised: ``direct method + sum w (y - predicted[chosen]) / sum w``.

    Source: Thomas and Brunskill 2016, "Data-efficient off-policy policy evaluation for reinforcement learning"
    (weighted doubly robust), for one step. Parameters as of :func:`doubly_robust`.

    Examples
    --------
    >>> target, predicted = [[1.0, 0.0]] * 2, [[0.5, 0.0]] * 2
    >>> terms = self_normalized_doubly_robust([1.0, 0.0], [3.0, 1.0], np.array([0, 0]), target, predicted)
    >>> float(terms.mean())  # .5 + (3 x .5 - 1 x .5) / 4
    0.75
    """
    y, w, expected = _with_predictions(outcomes, weights, chosen, target, predicted)
    return expected + _normalised(y, w)


def _checked(outcomes: ArrayLike, weights: ArrayLike) -> tuple[Vector, Vector]:
    """Return finite outcomes, and weights in a shape that multiplies them."""
    y, w = np.asarray(outcomes, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if y.ndim not in (1, 2) or w.shape != y.shape[:1] or not len(y):
        raise InvalidInputError(f"outcomes have shape {y.shape}, weights {w.shape}; give (n,) or (n, m), and (n,)")
    if not (np.isfinite(y).all() and np.isfinite(w).all() and (w >= 0.0).all()):
        raise InvalidInputError("outcomes or weights hold NaN, an infinity or a weight below 0; leave such rows out")
    return y, w.reshape(-1, *[1] * (y.ndim - 1))


def _normalised(y: Vector, w: Vector) -> Vector:
    mean = w.mean()
    if mean == 0.0:
        raise InvalidInputError("all weights are 0: the target policy does nothing of what was logged; log some of it")
    value = (w * y).mean(axis=0) / mean
    terms: Vector = value + w * (y - value) / mean
    return terms


def _with_predictions(
    outcomes: ArrayLike, weights: ArrayLike, chosen: NDArray[np.intp], target: ArrayLike, predicted: ArrayLike
) -> tuple[Vector, Vector, Vector]:
    """Return the errors of the predictions, their weights, and the direct method's terms."""
    y, w = _checked(outcomes, weights)
    q = np.asarray(predicted, dtype=np.float64)
    if q.shape != (*np.shape(target), *y.shape[1:]) or len(q) != len(y):
        raise InvalidInputError(
            f"predictions have shape {q.shape}; for outcomes {y.shape} and target {np.shape(target)} give (n, K) or "
            "(n, K, m)"
        )
    return y - q[np.arange(len(q)), chosen], w, direct_method(target, q)
