"""Comparisons: which of two answers was better, as outcomes that a belief about each arm can learn."""

from __future__ import annotations

import math

WEIGHT = math.pi**2 / 12.0
"""Weight of each of the two outcomes of a comparison, where a measured outcome has weight 1."""


def outcomes(winner_mean: float, loser_mean: float, noise: float) -> tuple[float, float]:
    """The two outcomes that teach what a comparison does: a Bradley-Terry step.

    Outcomes that scatter by ``noise`` differ by ``noise sqrt(2)``, so of two answers the first is preferred with
    probability ``p = 1 / (1 + exp(-(winner_mean - loser_mean) / s))``, where the logistic distribution with that
    standard deviation has ``s = noise sqrt(6) / pi``. The log-likelihood of the preference is bounded from below by a
    parabola of curvature ``1 / (4 s^2)`` (Böhning and Lindsay 1988), whose top lies at a difference ``4 s (1 - p)``
    larger than believed. Two outcomes that are half of it apart from what was believed, each counting ``WEIGHT``
    of one, put the same parabola on the difference; the average of the two arms stays as it is believed.

    Parameters
    ----------
    winner_mean, loser_mean
        The quality that was expected of the answer that was preferred, and of the other.
    noise
        Standard deviation of the quality of single answers, above 0.

    Returns
    -------
    tuple of float
        What to learn of the winner and of the loser; it may lie outside the range of quality, as an expectation may.

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
