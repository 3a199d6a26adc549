"""Asymptotic bounds of a mean that hold at all times at once, for values without a range."""

from __future__ import annotations

import numpy as np

from banditroute.core.arrays import Vector
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
    alpha = number(alpha, name="alpha", low=0.0, high=1.0, error=InvalidConfigurationError)
    if alpha in (0.0, 1.0):
        raise InvalidConfigurationError(f"alpha is {alpha:g}; give a probability of missing above 0 and below 1")
    if not values.ndim or not np.isfinite(values).all():
        raise InvalidInputError(f"values have shape {values.shape}, or are not finite; give finite numbers (..., n)")
    from scipy.special import lambertw  # here, so that importing banditroute does not load scipy

    scale = (-lambertw(-(alpha**2) / np.e, -1).real - 1.0) / whole(
        tightest_at, name="tightest_at", error=InvalidConfigurationError
    )  # rho^2
    t = np.arange(1, values.shape[-1] + 1)
    middle = values.mean(axis=-1, keepdims=True)  # taken off for the sake of rounding
    off, second, third, fourth = (np.cumsum((values - middle) ** power, axis=-1) / t for power in (1, 2, 3, 4))
    variance = np.maximum(second - off**2, 0.0)
    tails = fourth - 4.0 * off * third + 6.0 * off**2 * second - 3.0 * off**4  # the fourth central moment
    known = (tails > 0.0) & (t * variance**2 >= DECISIVE_ROWS * tails)
    radius = np.sqrt(variance * (t * scale + 1.0) / (t**2 * scale) * np.log((t * scale + 1.0) / alpha**2))
    radius[~known] = np.inf
    return middle + off - radius, middle + off + radius
