"""Asymptotic bounds of a mean that hold at all times at once, for values without a range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import blocks, rows_of
from banditroute.core.validation import number, whole
from banditroute.errors import InvalidConfigurationError, InvalidInputError

DECISIVE_ROWS = 30.0
"""Fewest effective rows on which a normal approximation rests."""


def asymptotic_sequence(values: Vector, *, alpha: float = 0.05, tightest_at: int = 1000) -> tuple[Vector, Vector]:
    """Return an asymptotic confidence sequence of a mean: lower and upper bound after each of n values.

    With ``mean_t`` and ``s_t`` the mean and the standard deviation of the first t values,

    ``mean_t -+ s_t sqrt(2 (t rho^2 + 1) / (t^2 rho^2) log(sqrt(t rho^2 + 1) / alpha))``

    Dollars, joules and seconds have no upper end, and without one no bound holds exactly. This one holds at all times
    from a first on, with a probability that tends to ``1 - alpha`` as that first time grows: what the central limit
    theorem is to one interval. Values need not be independent: it suffices that each has the mean, given those before
    it, and that their average variance settles, as weighted outcomes of a log do whose policy learned on the way.

    Nothing is bounded while the deviation rests on fewer than 30 values, ``(sum d^2)^2 / sum d^4`` with ``d`` their
    distances from the mean, since it is then not known: of dollars, few large ones make most of it.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, "Time-uniform central limit theory and asymptotic
    confidence sequences", theorem 2.2; rho is what makes the bounds tightest at a time, ``t rho^2 = -W(-alpha^2 / e) -
    1`` with the lower branch of Lambert's W.

    Parameters
    ----------
    values
        ``(..., n)``, of one or many sequences.
    alpha
        The probability of ever missing the mean, in (0, 1).
    tightest_at
        The number of values at which the bounds are tightest, chosen before these are seen, at least 1.

    Returns
    -------
    lower, upper : (..., n)
        After each value; infinite where nothing is bounded.

    Raises
    ------
    InvalidConfigurationError
        If a setting is out of range.
    InvalidInputError
        If values are not finite.

    Examples
    --------
    >>> lower, upper = asymptotic_sequence(np.tile([0.0, 2.0], 500))
    >>> float(lower[-1].round(3)), float(upper[-1].round(3))  # 3.03 standard errors, where an interval has 1.96
    (0.904, 1.096)
    """
    scale = _scale(alpha, tightest_at)
    if not values.ndim or not np.isfinite(values).all():
        raise InvalidInputError(f"values have shape {values.shape}, or are not finite; give finite numbers (..., n)")
    t = np.arange(1, values.shape[-1] + 1)
    middle = values.mean(axis=-1, keepdims=True)  # taken off for the sake of rounding
    sums = (np.cumsum((values - middle) ** power, axis=-1) for power in (1, 2, 3, 4))
    mean, radius = _mean_and_radius(t, *sums, scale=scale, alpha=alpha)
    return middle + mean - radius, middle + mean + radius


def asymptotic_bounds(values: Vector, *, alpha: float = 0.05, tightest_at: int = 1000) -> tuple[float, float]:
    """Return the last bounds of :func:`asymptotic_sequence` of values ``(n,)``, without those before.

    Examples
    --------
    >>> [round(bound, 3) for bound in asymptotic_bounds(np.tile([0.0, 2.0], 500))]
    [0.904, 1.096]
    """
    scale = _scale(alpha, tightest_at)
    middle = sum(float(rows_of(values, at).sum()) for at in blocks(len(values))) / len(values)
    sums = np.zeros(4)
    for at in blocks(len(values)):
        off = rows_of(values, at) - middle
        squares = off * off
        sums += off.sum(), squares.sum(), squares @ off, squares @ squares
    mean, radius = _mean_and_radius(np.array(len(values)), *map(np.asarray, sums), scale=scale, alpha=alpha)
    return float(middle + mean - radius), float(middle + mean + radius)


def _scale(alpha: float, tightest_at: int) -> float:
    """Return ``rho^2`` of checked settings."""
    alpha = number(alpha, name="alpha", low=0.0, high=1.0, error=InvalidConfigurationError)
    if alpha in (0.0, 1.0):
        raise InvalidConfigurationError(f"alpha is {alpha:g}; give a probability of missing above 0 and below 1")
    from scipy.special import lambertw  # here, so that importing banditroute does not load scipy

    at = whole(tightest_at, name="tightest_at", error=InvalidConfigurationError)
    return float((-lambertw(-(alpha**2) / np.e, -1).real - 1.0) / at)


def _mean_and_radius(
    t: NDArray[np.intp], first: Vector, second: Vector, third: Vector, fourth: Vector, *, scale: float, alpha: float
) -> tuple[Vector, Vector]:
    """Return the mean and the radius after t values, from the sums of their first four powers."""
    off, second, third, fourth = first / t, second / t, third / t, fourth / t
    variance = np.maximum(second - off**2, 0.0)
    tails = fourth - 4.0 * off * third + 6.0 * off**2 * second - 3.0 * off**4  # the fourth central moment
    known = (tails > 0.0) & (t * variance**2 >= DECISIVE_ROWS * tails)
    radius = np.sqrt(variance * (t * scale + 1.0) / (t**2 * scale) * np.log((t * scale + 1.0) / alpha**2))
    return off, np.where(known, radius, np.inf)
