"""Inverse-gap weighting: an arm is tried the less, the further it falls behind."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from banditroute.core.arrays import Vector
from banditroute.core.validation import number, plain_numbers
from banditroute.errors import InvalidConfigurationError
from banditroute.policies.base import greedy

_STEPS = 8  # each at least halves the error of log gamma: they leave 2% of it
_CERTAIN = 1e-50  # spreads below this part of the gaps leave nothing to explore


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseGap:
    """Each arm with a probability that falls with its gap to the best: SquareCB (Foster and Rakhlin 2020).

    With ``K`` arms and ``gap_k`` the expected utility that arm k lacks of the best (algorithm 1, their ``mu = K``),

        p_k = 1 / (K + gamma gap_k)      for all but the best, which has the rest; equally good ones share it

    The learning rate ``gamma`` needs no schedule: it is what makes the paper's bound on the regret of one request least
    (lemma 3), with the squared error of each expectation taken for its posterior variance. The bound is
    ``2 K / gamma + gamma / 4 sum_k p_k spread_k^2``, least where ``gamma^2 sum_k p_k spread_k^2 = 8 K``. As
    what is unknown shrinks like ``1 / n``, gamma grows like ``sqrt(n)``, the paper's rate.

    Every arm with a chance keeps a probability above 0, so no exploration floor is needed to judge by the log.

    Parameters
    ----------
    scale
        Multiplies gamma, at least 0: 1 is for the worst case of the theory, more explores less, 0 is uniform.

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
        if unit <= _CERTAIN * gaps.max():
            return best
        gaps /= unit
        gamma = self.scale * _rate(gaps, (stds / unit) ** 2, best)
        probabilities: Vector = 1.0 / (len(arms) + gamma * gaps)
        probabilities += best * (1.0 - probabilities.sum())
        return probabilities


def _rate(gaps: Vector, variances: Vector, best: Vector) -> float:
    """The gamma with ``gamma^2 sum p_k variance_k = 8 K``, by fixed-point iteration.

    It converges from anywhere: the logarithm of the right-hand side changes by -1/4 to 1/2 of that of gamma.
    """
    count = len(gaps)
    known = float(best @ variances)
    others = variances - known
    gamma = math.sqrt(8.0 * count / float(variances.mean()))
    for _ in range(_STEPS):
        gamma = math.sqrt(8.0 * count / (known + float(others @ (1.0 / (count + gamma * gaps)))))
    return gamma
