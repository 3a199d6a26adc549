"""Calibration: whether outcomes are, on average, what they were predicted to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Predictions and outcomes of b bins, by rising prediction; made by :func:`calibration`.

    Attributes
    ----------
    predicted, observed : (b,)
        Their means.
    rows : (b,)
        Predictions in each bin.
    error
        Mean distance of the two, weighted by rows: the expected calibration error, in the outcome's unit.
    bias
        Mean prediction less mean outcome.
    """

    predicted: Vector
    observed: Vector
    rows: NDArray[np.intp]
    error: float
    bias: float


def calibration(predicted: Vector, observed: Vector, *, bins: int = 10) -> Calibration:
    """Compare predictions ``(n,)`` with what was observed ``(n,)``, in bins of as many rows each, none of them empty.

    Source: Nguyen and O'Connor 2015, "Posterior calibration and exploratory analysis for natural language processing
    models" (adaptive binning).

    Parameters
    ----------
    predicted
        What was expected of the chosen arm, such as ``decision.means``.
    observed
        What came; rows where it is NaN are left out.
    bins
        How many at most, at least 1.

    Raises
    ------
    InvalidInputError
        For arrays that do not fit each other, ``bins`` below 1, and no outcome at all.

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
    means, had = (np.array([values[part].mean() for part in parts]) for values in (predicted, observed))
    return Calibration(
        predicted=means,
        observed=had,
        rows=rows,
        error=float(rows @ np.abs(means - had) / rows.sum()),
        bias=float((predicted - observed).mean()),
    )
