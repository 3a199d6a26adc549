"""Calibration: whether what was expected is what came, judged before each outcome was learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from banditroute.beliefs.base import BeliefSpec, Prior
from banditroute.rewards.objectives import QUALITY
from banditroute.types import Vector


def foreseen(spec: BeliefSpec, arms: Sequence[str], x: Vector, chosen: NDArray[np.intp], quality: Vector) -> Vector:
    """The quality that a belief expected of each answer before it learned it ``(n,)``.

    Parameters
    ----------
    spec
        Which belief.
    arms
        Names of the K arms.
    x
        Contexts, last entry 1 ``(n, d)``.
    chosen, quality
        Position of the arm that answered, and how good the answer was, NaN where it is not known: ``(n,)``.
    """
    belief = spec.start(
        arms=list(arms),
        dimension=x.shape[1],
        priors={"quality": Prior(mean=QUALITY.prior_mean, noise=QUALITY.prior_noise)},
        statistics={},
    )
    belief.watch(["quality"])
    expected = np.empty(len(x))
    for i, (context, k, value) in enumerate(zip(x, chosen, quality, strict=True)):
        expected[i] = belief.predict(context).means[0, k]
        if not np.isnan(value):
            belief.update(arms[k], context, {"quality": float(value)}, ordinal=i)
    return expected


def binned(expected: Vector, observed: Vector, *, bins: int = 10) -> tuple[Vector, Vector, Vector]:
    """Mean expectation, mean outcome and number of rows of each of ``bins`` equally filled bins ``(bins,)``.

    Examples
    --------
    >>> binned(np.array([0.2, 0.9, 0.4, 0.7]), np.array([0.0, 1.0, 1.0, 1.0]), bins=2)
    (array([0.3, 0.8]), array([0.5, 1. ]), array([2., 2.]))
    """
    known = ~np.isnan(observed)
    order = np.argsort(expected[known], kind="stable")
    parts = np.array_split(np.stack([expected[known], observed[known]])[:, order], bins, axis=1)
    filled = [part for part in parts if part.shape[1]]
    means = np.array([part.mean(axis=1) for part in filled])
    return means[:, 0], means[:, 1], np.array([float(part.shape[1]) for part in filled])


def calibration_error(expected: Vector, observed: Vector, counts: Vector) -> float:
    """Expected calibration error: the mean distance of bins from the diagonal, by their size.

    Source: Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning".

    Examples
    --------
    >>> round(calibration_error(np.array([0.3, 0.8]), np.array([0.5, 1.0]), np.array([1.0, 3.0])), 3)
    0.2
    """
    return float(np.average(np.abs(expected - observed), weights=counts))
