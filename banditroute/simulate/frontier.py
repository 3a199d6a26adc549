"""Quality against cost: the non-decreasing convex hull of what was reached, and figures that sum it up.

Tossing a coin between two routers, or two settings of one, reaches every point between theirs. A user who may spend
more may also spend less. So what a set of points can do is the least concave, non-decreasing line above them.

Source: Hu et al. 2024, "RouterBench: a benchmark for multi-LLM routing system", section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from banditroute.core.arrays import Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """A non-decreasing convex hull; made by :func:`frontier`.

    Attributes
    ----------
    corners : (n,)
        Positions of the points that are its corners, cheapest first.
    cost, quality : (n,)
        Of the corners; both rise.
    """

    corners: Sequence[int]
    cost: Vector
    quality: Vector

    def at(self, cost: float) -> float:
        """Return the best quality at a mean cost of at most ``cost``; 0 where even the cheapest point costs more."""
        return float(np.interp(cost, self.cost, self.quality, left=0.0))

    def cost_of(self, quality: float) -> float:
        """Return the least mean cost at which ``quality`` is reached; infinite where it is not."""
        if quality <= self.quality[0]:
            return float(self.cost[0])
        return float(np.interp(quality, self.quality, self.cost, right=np.inf))

    def aiq(self, *, low: float, high: float) -> float:
        """Return the average improvement in quality: the mean height of the hull over costs from ``low`` to ``high``.

        ``integral of at(c) dc / (high - low)``. With the least and the largest cost of all that is compared, it is the
        paper's; with ``low=0``, what RouterBench's program computes. Only figures over the same costs compare.
        """
        knots = np.unique(np.clip([low, *self.cost, high], low, high))
        heights = np.interp(knots, self.cost, self.quality)
        knots = np.maximum(knots, min(self.cost[0], high))  # to the left of the cheapest point the height is 0
        area = np.diff(knots) @ (heights[1:] + heights[:-1]) / 2.0
        return float(area / (high - low))


def frontier(cost: Sequence[float] | Vector, quality: Sequence[float] | Vector) -> Frontier:
    """Return the non-decreasing convex hull of points ``(n,)``.

    Examples
    --------
    >>> line = frontier([1.0, 2.0, 3.0, 5.0], [0.5, 0.5, 0.9, 0.7])
    >>> line.corners, line.at(2.0), line.cost_of(0.8), line.aiq(low=1.0, high=5.0)
    ((0, 2), 0.7, 2.5, 0.8)
    """
    cost, quality = np.asarray(cost, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    hull: list[int] = []
    for k in np.lexsort((-quality, cost)):
        if hull and quality[k] <= quality[hull[-1]]:
            continue
        while len(hull) > 1 and _slope(cost, quality, hull[-1], k) >= _slope(cost, quality, hull[-2], hull[-1]):
            hull.pop()
        hull.append(int(k))
    return Frontier(corners=tuple(hull), cost=cost[hull], quality=quality[hull])


def _slope(cost: Vector, quality: Vector, a: int, b: int) -> float:
    """Return the quality per dollar between two points, of which the second costs more."""
    return float((quality[b] - quality[a]) / (cost[b] - cost[a]))
