"""Calibration: compare mean predictions with mean outcomes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError
from banditroute.statistics.bounded import betting_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Predictions and outcomes of b bins, by rising prediction; made by :func:`calibration`.

    Attributes
    ----------
    predicted, observed : (b,)
        Mean prediction and mean outcome of each bin.
    lower, upper : (b,)
        95% betting bounds of the mean outcome of each bin; NaN where no range was given.
    rows : (b,)
        Number of predictions in each bin.
    error
        Mean distance of the two, weighted by rows: the expected calibration error, in the outcome's unit.
    bias
        Mean prediction minus mean outcome.
    """

    predicted: Vector
    observed: Vector
    lower: Vector
    upper: Vector
    rows: NDArray[np.intp]
    error: float
    bias: float


def calibration(
    predicted: Vector, observed: Vector, *, bins: int = 10, low: float = -np.inf, high: float = np.inf
) -> Calibration:
    """Compare predictions ``(n,)`` with outcomes ``(n,)``, in bins of equally many rows.

    Source: Nguyen and O'Connor 2015, "Posterior calibration and exploratory analysis for natural language processing
    models" (adaptive binning).

    Parameters
    ----------
    predicted
        Expected outcome of the chosen arm, such as its entry of ``decision.means``.
    observed
        Outcome; rows where it is NaN are left out.
    bins
        Largest number of bins, at least 1.
    low, high
        The range that no outcome leaves, such as 0 and 1 for quality; then each bin's mean outcome gets bounds.

    Raises
    ------
    InvalidInputError
        If the arrays do not fit each other, ``bins`` is below 1, or no outcome is known.

    Examples
    --------
    >>> found = calibration(np.array([0.1, 0.2, 0.7, 0.9]), np.array([0.0, 0.0, 1.0, 1.0]), bins=2)
    >>> found.predicted.round(2), found.observed, round(found.error, 3)  # (.15 + .2) / 2
    (array([0.15, 0.8 ]), array([0., 1.]), 0.175)
    """
    if predicted.shape != observed.shape or predicted.ndim != 1:
        raise InvalidInputError(f"predictions have shape {predicted.shape}, outcomes {observed.shape}; give (n,) twice")
    known = np.isfinite(predicted) & np.isfinite(observed)
    predicted, observed = predicted[known], observed[known]
    if bins < 1 or not len(predicted):
        raise InvalidInputError(f"bins is {bins}, and {len(predicted)} outcomes are known; both must be at least 1")
    parts = np.array_split(np.argsort(predicted, kind="stable"), min(bins, len(predicted)))
    rows = np.array([len(part) for part in parts])
    expected, reached = (np.array([values[part].mean() for part in parts]) for values in (predicted, observed))
    lower = upper = np.full(len(parts), np.nan)
    if np.isfinite([low, high]).all():
        bounds = [betting_interval(observed[part], low=low, high=high) for part in parts]
        lower, upper = np.array([each.lower for each in bounds]), np.array([each.upper for each in bounds])
    return Calibration(
        predicted=expected,
        observed=reached,
        lower=lower,
        upper=upper,
        rows=rows,
        error=float(rows @ np.abs(expected - reached) / rows.sum()),
        bias=float((predicted - observed).mean()),
    )
