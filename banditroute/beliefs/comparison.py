"""Comparisons: turn "answer A was better than answer B" into outcomes that a belief can learn."""

from __future__ import annotations

import math

WEIGHT = math.pi**2 / 12.0
"""Weight of each of the two outcomes of a comparison; a measured outcome has the weight 1."""


def outcomes(winner_mean: float, loser_mean: float, noise: float) -> tuple[float, float]:
    """Return pseudo-outcomes for the winner and the loser of a pairwise comparison: a Bradley-Terry step.

    Single outcomes have the standard deviation ``noise``, so the difference of two has ``noise sqrt(2)``. The logistic
    distribution with that standard deviation has the scale ``s = noise sqrt(6) / pi``. The first answer is therefore
    preferred with probability ``p = 1 / (1 + exp(-(winner_mean - loser_mean) / s))``.

    A parabola of curvature ``1 / (4 s^2)`` bounds the log-likelihood of the preference from below (Böhning and Lindsay
    1988). Its maximum lies at a difference that is ``4 s (1 - p)`` larger than predicted. The pseudo-outcomes move each
    arm by half of that, in opposite directions. With the weight ``WEIGHT`` they put the same parabola on the
    difference, and the average of the two arms does not change.

    Parameters
    ----------
    winner_mean, loser_mean
        Expected quality of the preferred answer, and of the other.
    noise
        Standard deviation of the quality of single answers, above 0.

    Returns
    -------
    tuple of float
        Pseudo-outcome of the winner and of the loser. They may lie outside the range of quality.

    References
    ----------
    R. A. Bradley and M. E. Terry 1952, "Rank analysis of incomplete block designs"; D. Böhning and B. G. Lindsay 1988,
    "Monotonicity of quadratic-approximation algorithms".

    Examples
    --------
    >>> [round(outcome, 3) for outcome in outcomes(0.5, 0.5, noise=0.4)]  # 0.5 +- 0.4 sqrt(6) / pi
    [0.812, 0.188]
    >>> [round(outcome, 3) for outcome in outcomes(0.9, 0.1, noise=0.2)]  # as was to be expected
    [0.902, 0.098]
    """
    scale = noise * math.sqrt(6.0) / math.pi
    surprise = 0.5 - 0.5 * math.tanh((winner_mean - loser_mean) / (2.0 * scale))
    step = 2.0 * scale * surprise
    return winner_mean + step, loser_mean - step
