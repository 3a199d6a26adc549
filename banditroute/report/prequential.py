"""Prequential predictions: what a belief expected of each answer before it learned it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from banditroute.beliefs.base import BeliefSpec, Prior
from banditroute.core.arrays import Vector
from banditroute.objectives.objective import QUALITY


def prequential_predictions(
    spec: BeliefSpec, arms: Sequence[str], x: Vector, chosen: NDArray[np.intp], quality: Vector
) -> Vector:
    """Return the quality that a belief expected of each answer before it learned it ``(n,)``.

    Parameters
    ----------
    spec
        The belief.
    arms
        Names of the K arms.
    x
        Contexts, last entry 1 ``(n, d)``.
    chosen, quality
        Position of the arm that answered, and the quality of its answer, NaN where unknown ``(n,)``.
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
