"""Mark arms that cost more than the best conceivable outcome could be worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.objectives.objective import Objective
from banditroute.router.candidates import Candidates

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
        low, high = (np.array([getattr(each, end) for each in objectives]) for end in ("low", "high"))
        upward = np.array([each.higher_is_better for each in objectives], dtype=bool)
        self._best, self._worst = (np.where(upward, *ends)[:, None] for ends in ((high, low), (low, high)))
        self._ranged = [each.ranged for each in objectives]
        self._stated = np.array([[arm.expected.get(name, np.nan) for arm in arms] for name in self._names])

    def mark(self, candidates: Candidates, signed: Vector) -> Candidates:
        """Return candidates of which the dominated arms are marked, for signed weights ``(m,)``.

        An arm that cannot be judged by a limit yet dominates no arm: it may turn out to break the limit.
        """
        arms, left = candidates.arms, candidates.positions
        judged = [k for k in left if not candidates.unjudged.get(arms[k])]
        if len(left) < 2 or not judged:
            return candidates
        best, surely = self._bounds(candidates, signed)
        needed = surely[judged].max()
        dominated = tuple(arms[k] for k in left if best[k] < needed)
        return candidates._replace(dominated=dominated) if dominated else candidates

    def _bounds(self, candidates: Candidates, signed: Vector) -> tuple[Vector, Vector]:
        """Return the utility of each arm at best, and what it surely reaches, both less its penalty so far ``(K,)``."""
        rows = signed.nonzero()[0]
        weights, means = np.abs(signed[rows])[:, None], candidates.means[rows]
        errors = _BOUND_STDS * candidates.stds[rows]
        better, worse = errors.copy(), np.minimum(errors, np.abs(self._worst[rows] - means))
        for i, j in enumerate(rows):
            if self._ranged[j]:
                better[i] = np.abs(self._best[j] - means[i])
                continue
            stated, counts = self._stated[j], candidates.counts(self._names[j])
            unknown = np.isnan(stated) & (counts == 0.0)
            known = ~np.isnan(stated) | np.isinf(counts)
            means[i] = np.where(np.isnan(stated), means[i], np.clip(stated, means[i] - errors[i], means[i] + errors[i]))
            better[i] = np.where(known, 0.0, np.minimum(better[i], np.abs(self._best[j] - means[i])))
            worse[i][known] = 0.0
            better[i][unknown] = worse[i][unknown] = np.inf
        expected = signed[rows] @ means - candidates.penalties
        return expected + (weights * better).sum(axis=0), expected - (weights * worse).sum(axis=0)
