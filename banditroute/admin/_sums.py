"""The sums in an arm's statistics, by objective, so that two of them can be compared."""

from __future__ import annotations

import math

import numpy as np

from banditroute.beliefs.statistics import ArmStatistics
from banditroute.core.arrays import Vector


def sums(blob: bytes | None) -> dict[str, Vector]:
    """Return objective -> count, then ``S``, ``B`` and the sum of squares, as one vector."""
    return {} if blob is None else _sums_of(ArmStatistics.from_bytes(blob))


def difference(one: bytes | None, other: bytes | None, *, half_life: float | None) -> float:
    """Return the largest difference between the sums of two arms, relative to the largest of the same objective.

    Sums that fade are compared as of the same moment.
    """
    both = [ArmStatistics.from_bytes(blob) for blob in (one, other) if blob is not None]
    for each in both:
        each.half_life = half_life
        each.advance(max(statistics.clock for statistics in both))
    first, second = ({} if blob is None else _sums_of(both.pop(0)) for blob in (one, other))
    worst = 0.0
    for name in {*first, *second}:
        if name not in first or name not in second:
            return math.inf
        scale = max(float(np.abs(first[name]).max()), float(np.abs(second[name]).max()))
        worst = max(worst, float(np.abs(first[name] - second[name]).max()) / scale)
    return worst


def _sums_of(statistics: ArmStatistics) -> dict[str, Vector]:
    return {
        name: np.concatenate([[group.n], group.s.ravel(), group.b[j], group.yy[j : j + 1]])
        for group in statistics.groups
        for j, name in enumerate(group.objectives)
    }
