"""Intervals of a mean of bounded values that hold for any number of rows, also where all of them happen to be equal.

An interval from the standard deviation of n values is empty where they do not differ, and too narrow where hardly any
of them differ. These intervals use the range that the values cannot leave.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import blocks, rows_of
from banditroute.core.validation import number
from banditroute.errors import InvalidInputError
from banditroute.statistics.intervals import Interval, sums_by_cluster, sums_of_groups

_LARGEST_LOSS = 0.75  # of the wealth at hand, by one bet
_FIRST_STD = 0.125  # of the range: the standard deviation that is assumed before any value
_EDGE = 1e-12  # of the range
_MOST_BETS = 2**18


def betting_interval(
    values: Vector,
    *,
    low: float,
    high: float,
    clusters: NDArray[np.intp] | None = None,
    alpha: float = 0.05,
    seed: int = 0,
) -> Interval:
    """Return the mean of values ``(n,)`` in ``[low, high]`` and bounds that miss it with probability ``alpha`` at most.

    A bet that the mean is above m multiplies the wealth with each value by ``1 + b (value - m)``. If m is the
    mean, wealth of ``2 / alpha`` is reached with probability ``alpha / 2`` at most, whatever n is. The lower bound is
    the least m at which it is not reached; the upper bound mirrors it. Bets are
    ``b = sqrt(2 log(2 / alpha) / (n variance))``, with the variance of the values drawn before, and never risk more
    than three quarters of the wealth. For many values the interval is 1.39 times as wide as a normal one.

    Values of a cluster, which depend on each other, are one bet: with ``T`` and ``k`` their sum and number, wealth is
    multiplied by ``1 + b (T - k m)``. More than 262,144 values or clusters are cut into as many bets at random.

    Source: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", section 4.

    Parameters
    ----------
    values
        Finite, within the range.
    low, high
        The range that no value can leave.
    clusters
        Number of the cluster of each value, such as its session ``(n,)``. None: each value is one of its own.
    alpha
        The probability of missing the mean, in (0, 1).
    seed
        Seed of the order in which values are drawn.

    Raises
    ------
    InvalidInputError
        If a value lies outside the range or is not finite, if there are no values, or ``alpha`` is out of range.

    Examples
    --------
    >>> [round(bound, 3) for bound in betting_interval(np.ones(120), low=0.0, high=1.0)]
    [1.0, 0.96, 1.0]
    >>> [round(bound, 2) for bound in betting_interval(np.arange(1000) % 2, low=0.0, high=1.0)]
    [0.5, 0.45, 0.54]
    """
    alpha = number(alpha, name="alpha", low=_EDGE, high=1.0 - _EDGE)
    total, size = sums_by_cluster(np.asarray(values, dtype=np.float64), clusters)
    slack = 1e-9 * (abs(low) + abs(high) + 1.0)
    outside = 0
    for at in blocks(len(total)):
        some, sizes = rows_of(total, at), size[at]
        outside += int(((some < (low - slack) * sizes) | (some > (high + slack) * sizes)).sum())
    if not len(total) or outside:
        raise InvalidInputError(
            f"{outside} of {len(total)} values are beyond [{low:g}, {high:g}]; give at least one value, and "
            "the range that no value leaves"
        )
    rng = np.random.default_rng(seed)
    if len(total) > _MOST_BETS:
        total, size = sums_of_groups(total, size, _MOST_BETS, rng)
    else:
        order = rng.permutation(len(total))
        total, size = total[order], size[order]
    mean = float(total.sum() / size.sum())
    if high - low <= slack:
        return Interval(mean, mean, mean)
    lower = _lower_bound(total, size, low, high, math.log(2.0 / alpha))
    upper = -_lower_bound(-total, size, -high, -low, math.log(2.0 / alpha))
    return Interval(mean, min(lower, mean), max(upper, mean))


def _lower_bound(total: Vector, size: Vector, low: float, high: float, log_odds: float) -> float:
    """Return the least mean that the bets do not exclude."""
    from scipy.optimize import brentq  # slow to import, and used here only

    count, unit = len(total), high - low
    first = (_FIRST_STD * unit * size.mean()) ** 2
    running_mean = np.cumsum(total) / np.cumsum(size)
    squares = np.concatenate([[0.0], np.cumsum((total - running_mean * size) ** 2)[:-1]])
    bets = np.sqrt(2.0 * log_odds * np.arange(1, count + 1) / (count * (first + squares)))

    def log_wealth(mean: float) -> float:
        allowed = np.minimum(bets, _LARGEST_LOSS / (size * (mean - low)))
        return float(np.log1p(allowed * np.maximum(total - mean * size, (low - mean) * size)).sum()) - log_odds

    least, most = low + _EDGE * unit, high - _EDGE * unit
    if log_wealth(least) <= 0.0:
        return low
    return high if log_wealth(most) >= 0.0 else float(brentq(log_wealth, least, most, xtol=1e-7 * unit))


def clopper_pearson_interval(successes: int, trials: int, *, alpha: float = 0.05) -> Interval:
    """Return the share of successes and its exact binomial bounds, for outcomes of 0 and 1 that all weigh the same.

    Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
    binomial".

    Parameters
    ----------
    successes, trials
        ``0 <= successes <= trials`` and ``trials >= 1``.
    alpha
        The probability of missing the mean, in (0, 1).

    Raises
    ------
    InvalidInputError
        If the counts do not fit each other or ``alpha`` is out of range.

    Examples
    --------
    >>> [round(bound, 4) for bound in clopper_pearson_interval(0, 225)]  # 1 - .025^(1/225)
    [0.0, 0.0, 0.0163]
    """
    alpha = number(alpha, name="alpha", low=_EDGE, high=1.0 - _EDGE)
    if not 0 <= successes <= trials or trials < 1:
        raise InvalidInputError(f"there are {successes} successes in {trials} trials; give 0 <= successes <= trials")
    from scipy.special import betaincinv  # here, so that importing banditroute does not load scipy

    lower = float(betaincinv(successes, trials - successes + 1, alpha / 2.0)) if successes else 0.0
    upper = float(betaincinv(successes + 1, trials - successes, 1.0 - alpha / 2.0)) if successes < trials else 1.0
    return Interval(successes / trials, lower, upper)
