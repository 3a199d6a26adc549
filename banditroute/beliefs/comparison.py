"""Comparisons: turn a ranking of answers into outcomes that a belief can learn."""

from __future__ import annotations

import math

import numpy as np

from banditroute.core.arrays import Vector

_PRIOR_OUTCOMES = 1.0  # that the prior mean counts as, in strengths
_MOST_STEPS = 10_000
_STILL = 1e-9  # quality that no strength moves by

WEIGHT = math.pi**2 / 12.0
"""Weight of each of the two outcomes of a comparison of two answers; a measured outcome has the weight 1."""


def weight(answers: int) -> float:
    """Return the weight of each of the two outcomes of one pair in a ranking of n answers.

    A ranking counts as all its pairs, each with ``4 (n - H_n) / (n (n - 1))`` of the weight that it has alone, where
    ``H_n = 1 + 1/2 + ... + 1/n``. For answers that are equally good, the pairs then hold as much information about the
    strength of each answer as a Plackett-Luce model finds in the ranking. Counted in full, they would hold more.

    Parameters
    ----------
    answers
        n, at least 2.

    References
    ----------
    C. Varin, N. Reid and D. Firth 2011, "An overview of composite likelihood methods"; H. Azari Soufiani, W. Chen, D.
    Parkes and L. Xia 2013, "Generalized method-of-moments for rank aggregation": all pairs are a consistent breaking of
    Plackett-Luce rankings.

    Examples
    --------
    >>> [round(weight(n) / WEIGHT, 3) for n in (2, 3, 4)]
    [1.0, 0.778, 0.639]
    """
    harmonic = sum(1.0 / k for k in range(1, answers + 1))
    return WEIGHT * 4.0 * (answers - harmonic) / (answers * (answers - 1))


def outcomes(winner_mean: float, loser_mean: float, noise: float, *, tied: bool = False) -> tuple[float, float]:
    """Return pseudo-outcomes for the winner and the loser of a pairwise comparison: a Bradley-Terry step.

    Single outcomes have the standard deviation ``noise``, so the difference of two has ``noise sqrt(2)``. The logistic
    distribution with that standard deviation has the scale ``s = noise sqrt(6) / pi``. The first answer is therefore
    preferred with probability ``p = 1 / (1 + exp(-(winner_mean - loser_mean) / s))``.

    A parabola of curvature ``1 / (4 s^2)`` bounds the log-likelihood of the preference from below (Böhning and Lindsay
    1988). Its maximum lies at a difference that is ``4 s (1 - p)`` larger than predicted. The pseudo-outcomes move each
    arm by half of that, in opposite directions. With the weight ``WEIGHT`` they put the same parabola on the
    difference, and the average of the two arms does not change. A tie counts as half a win of each.

    Parameters
    ----------
    winner_mean, loser_mean
        Expected quality of the preferred answer, and of the other.
    noise
        Standard deviation of the quality of single answers, above 0.
    tied
        Whether neither answer was preferred.

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
    >>> [round(outcome, 3) for outcome in outcomes(0.9, 0.1, noise=0.2, tied=True)]
    [0.746, 0.254]
    """
    scale = noise * math.sqrt(6.0) / math.pi
    surprise = (0.0 if tied else 0.5) - 0.5 * math.tanh((winner_mean - loser_mean) / (2.0 * scale))
    step = 2.0 * scale * surprise
    return winner_mean + step, loser_mean - step


def strengths(wins: Vector, *, mean: float, noise: float) -> Vector:
    """Return the quality of each arm that explains a log of comparisons best, by repeated Bradley-Terry steps.

    Parameters
    ----------
    wins : (K, K)
        How often each arm was preferred to each other one, a tie counting as half; weighted.
    mean
        Quality that is expected without comparisons; it counts as one outcome.
    noise
        Standard deviation of the quality of single answers, above 0.

    Examples
    --------
    >>> strengths(np.array([[0.0, 30.0], [10.0, 0.0]]), mean=0.5, noise=0.4).round(2)
    array([0.66, 0.34])
    """
    scale = noise * math.sqrt(6.0) / math.pi
    met = wins + wins.T
    known = _PRIOR_OUTCOMES + WEIGHT * met.sum(axis=1)
    means: Vector = np.full(len(wins), mean)
    for _ in range(_MOST_STEPS):
        expected = 0.5 + 0.5 * np.tanh((means[:, None] - means) / (2.0 * scale))
        surprise = (wins - met * expected).sum(axis=1)
        step = (_PRIOR_OUTCOMES * (mean - means) + WEIGHT * 2.0 * scale * surprise) / known
        means = means + step
        if np.abs(step).max() < _STILL:
            break
    return means
