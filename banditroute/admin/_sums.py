"""The sums in an arm's statistics, by objective, so that two of them can be compared."""

from __future__ import annotations

import math

import numpy as np

from banditroute.beliefs.statistics import ArmStatistics
from banditroute.core.arrays import Vector


def sums(blob: bytes | None) -> dict[str, Vector]:
    """Return objective -> count, then ``S``, ``B`` and the sum of squares, as one vector."""
    if blob is None:
        return {}
    return {
        name: np.concatenate([[group.n], group.s.ravel(), group.b[j], group.yy[j : j + 1]])
        for group in ArmStatistics.from_bytes(blob).groups
        for j, name in enumerate(group.objectives)
    }


def difference(one: bytes | None, other: bytes | None) -> float:
    """Return the largest difference between the sums of two arms, relative to the largest of the same objective."""
    first, second = sums(one), sums(other)
    worst = 0.0
    for name in {*first, *second}:
        if name not in first or name not in second:
            return math.inf
        scale = max(float(np.abs(first[name]).max()), float(np.abs(second[name]).max()))
        worst = max(worst, float(np.abs(first[name] - second[name]).max()) / scale)
    return worst
