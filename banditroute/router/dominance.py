"""Mark arms that cost more than the best conceivable outcome could be worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.objectives.objective import Objective
from banditroute.router.candidates import Candidates

_Weighed: TypeAlias = Sequence[tuple[int, float]]
"""Position and signed weight of each objective that a preference weighs."""

_BOUND_STDS = 2.0  # standard deviations between an expectation and what it may be at best or at worst


class Dominance:
    """Finds arms that no quality could make worth their cost. It holds arrays for K arms and m objectives.

    For an objective with a range, such as quality, the best and the worst conceivable outcomes are the ends of the
    range, or two standard deviations from the expectation where an arm is asked what it surely reaches. A cost is known
    where the arm states it (``Arm(expected={"cost_usd": ...})``) or token prices give it: then the expectation counts.
    A learned cost may be two standard deviations better or worse. With signed weights ``w_j``, an arm k is dominated by
    arm i at a request if

        sum_j w_j best_jk < sum_j w_j surely_ji

    An arm whose cost is unknown is never dominated, and dominates no arm.

    Parameters
    ----------
    arms, objectives
        The K arms and the m believed objectives, in the order of the predictions.

    Examples
    --------
    >>> from banditroute import Router
    >>> arms = [Arm(name=name, expected={"cost_usd": cost}) for name, cost in (("small", 0.001), ("huge", 0.5))]
    >>> decision = Router(arms=arms, features=1, preference={"quality": 1, "cost_usd": 3}).route([0.5])
    >>> decision.arms, decision.probabilities.tolist(), decision.dominated
    (('small', 'huge'), [1.0, 0.0], ('huge',))
    """

    def __init__(self, *, arms: Sequence[Arm], objectives: Sequence[Objective]) -> None:
        self._names = [each.name for each in objectives]
        self._ends = [
            (each.high, each.low) if each.higher_is_better else (each.low, each.high) for each in objectives
        ]  # the best and the worst conceivable outcome
        self._ranged = [each.ranged for each in objectives]
        stated = [np.array([arm.expected.get(name, np.nan) for arm in arms]) for name in self._names]
        self._stated = [None if np.isnan(row).all() else row for row in stated]

    def mark(self, candidates: Candidates, signed: Vector) -> Candidates:
        """Return candidates of which the dominated arms are marked, for signed weights ``(m,)``.

        An arm that cannot be judged by a limit yet dominates no arm: it may turn out to break the limit.
        """
        weighed = [(j, weight) for j, weight in enumerate(signed.tolist()) if weight]
        if len(candidates.positions) < 2 or not self._possible(candidates, weighed):
            return candidates
        arms, left = candidates.arms, candidates.positions
        judged = [k for k in left if not candidates.unjudged.get(arms[k])]
        if not judged:
            return candidates
        best, surely = self._bounds(candidates, weighed)
        needed = surely[judged].max()
        dominated = tuple(arms[k] for k in left if best[k] < needed)
        return candidates._replace(dominated=dominated) if dominated else candidates

    def _possible(self, candidates: Candidates, weighed: _Weighed) -> bool:
        """Return False if the expected costs are too close for any arm to be dominated; a fast answer."""
        lead = 0.0  # an upper bound of what the best arm surely reaches, less a lower bound of what another has at best
        for j, weight in weighed:
            worth = candidates.means[j] * weight
            high = float(worth.max())
            if self._ranged[j]:
                lead += high - weight * self._ends[j][0]
                continue
            low, stated = float(worth.min()), self._stated[j]
            if stated is not None:
                high, low = max(high, float(np.nanmax(weight * stated))), min(low, float(np.nanmin(weight * stated)))
            lead += high - low
        if candidates.turn is not None:  # the only stage before this one that adds penalties
            penalties = candidates.penalties
            lead += float(penalties[penalties.argmax()] - penalties[penalties.argmin()])  # faster than np.ptp
        return lead > 0.0

    def _bounds(self, candidates: Candidates, weighed: _Weighed) -> tuple[Vector, Vector]:
        """Return the utility of each arm at best, and what it surely reaches, both less its penalty so far ``(K,)``."""
        best, surely = -candidates.penalties, -candidates.penalties
        for j, weight in weighed:
            mean, error = candidates.means[j], _BOUND_STDS * candidates.stds[j]
            at_best, at_worst = self._ends[j]
            if self._ranged[j]:
                best += weight * at_best
                surely += weight * mean - abs(weight) * np.minimum(error, np.abs(at_worst - mean))
                continue
            stated, counts = self._stated[j], candidates.counts(self._names[j])
            known = np.isinf(counts)
            if stated is not None:
                given = ~np.isnan(stated)
                mean = np.where(given, np.clip(stated, mean - error, mean + error), mean)
                known |= given
            unknown = ~known & (counts == 0.0)
            better = np.where(known, 0.0, np.minimum(error, np.abs(at_best - mean)))
            worse = np.where(known, 0.0, np.minimum(error, np.abs(at_worst - mean)))
            better[unknown] = worse[unknown] = np.inf
            best += weight * mean + abs(weight) * better
            surely += weight * mean - abs(weight) * worse
        return best, surely
