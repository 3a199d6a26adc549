"""Inverse-gap weighting: the further an arm is behind the best one, the less often it is tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from banditroute.core.arrays import Vector
from banditroute.core.validation import number, plain_numbers
from banditroute.errors import InvalidConfigurationError
from banditroute.policies.base import greedy

_FIXED_POINT_STEPS = 8  # each at least halves the error of log gamma: 2% of it may remain
_NEGLIGIBLE_STD_PER_GAP = 1e-50  # with a smaller ratio of std to gap, only the best arm is chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseGap:
    """The policy in which an arm's probability falls with its gap to the best arm: SquareCB (Foster and Rakhlin 2020).

    Let ``gap_k`` be the difference between the best expected utility and that of arm k, of ``K`` arms. Then (algorithm
    1, with ``mu = K``)

        p_k = 1 / (K + gamma gap_k)      for all but the best arm, which gets the rest; ties share the rest

    The learning rate ``gamma`` needs no schedule. It minimises the paper's bound on the regret of one request (lemma
    3), with the posterior variance in place of the squared error of each expectation. The bound is
    ``2 K / gamma + gamma / 4 sum_k p_k std_k^2``; its minimum is at ``gamma^2 sum_k p_k std_k^2 = 8 K``. The variance
    shrinks like ``1 / n``, so gamma grows like ``sqrt(n)``, the paper's rate.

    Every arm keeps a probability above 0, so the log can evaluate other policies without an exploration floor.

    Parameters
    ----------
    scale
        Factor on gamma, at least 0. 1 is for the worst case of the theory, more explores less, 0 is uniform.

    Examples
    --------
    >>> import numpy as np
    >>> InverseGap(scale=1.0).probabilities(  # gamma = 40, since 40^2 x .1^2 = 8 x 2; 1 / (2 + 40 x .05) = .25
    ...     np.array([0.5, 0.45]), np.array([0.1, 0.1]), arms=["a", "b"], information=lambda: np.zeros(2)
    ... ).round(12)
    array([0.75, 0.25])
    """

    scale: float = 10.0

    def __post_init__(self) -> None:
        plain_numbers(self)
        number(self.scale, name="scale", low=0.0, error=InvalidConfigurationError)

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector]
    ) -> Vector:
        """Return the probability of each eligible arm ``(K,)``; see :class:`banditroute.policies.Policy`."""
        best = greedy(means)
        gaps = means.max() - means
        unit = float(stds.max())
        if unit <= _NEGLIGIBLE_STD_PER_GAP * gaps.max():
            return best
        gaps /= unit
        gamma = self.scale * _rate(gaps, (stds / unit) ** 2, best)
        probabilities: Vector = 1.0 / (len(arms) + gamma * gaps)
        probabilities += best * (1.0 - probabilities.sum())
        return probabilities


def _rate(gaps: Vector, variances: Vector, best: Vector) -> float:
    """Return the gamma with ``gamma^2 sum p_k variance_k = 8 K``, by fixed-point iteration.

    The iteration converges from any start: if log gamma changes by 1, the log of the next value changes by -1/4 to 1/2.
    """
    count = len(gaps)
    known = float(best @ variances)
    others = variances - known
    gamma = math.sqrt(8.0 * count / float(variances.mean()))
    for _ in range(_FIXED_POINT_STEPS):
        gamma = math.sqrt(8.0 * count / (known + float(others @ (1.0 / (count + gamma * gaps)))))
    return gamma
