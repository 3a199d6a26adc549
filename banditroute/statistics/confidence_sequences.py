"""Confidence sequences: bounds of a mean that hold at every moment at once, however early or late one looks.

An interval for a fixed number of rows is wrong if one looks again until it is narrow enough. A confidence
sequence ``(lower_t, upper_t)`` covers the mean at all t together with probability ``1 - alpha``, so that one may stop
whenever it says enough, and it needs no independence: a log whose propensities were learned on the way is as good.

Source: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", theorem 2 (the
predictable plug-in empirical Bernstein sequence); Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro 2022,
"Anytime-valid off-policy inference for contextual bandits" (its doubly robust pseudo-outcomes are bounded on the one
side that a bound needs, so weights need no limit).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from banditroute.core.validation import number
from banditroute.errors import InvalidConfigurationError, InvalidInputError

_LARGEST_BET = 0.5  # lambda: a single outcome must not decide


@dataclass(slots=True)
class Side:
    """Bounds a mean in [0, 1] from below, from values of at least ``1 - scale``, both in units of ``scale``."""

    total: float = 0.0  # sum of the values
    deviation: float = 0.0  # sum of (value - running mean)^2
    bets: float = 0.0  # sum of lambda
    won: float = 0.0  # sum of lambda x value
    paid: float = 0.0  # sum of psi(lambda) (value - mean before)^2

    def add(self, value: float, *, t: int, scale: float, log_odds: float) -> None:
        value /= scale
        before = min((0.5 / scale + self.total) / t, 1.0 / scale)
        variance = (0.25 / scale**2 + self.deviation) / t
        bet = min(math.sqrt(2.0 * log_odds / (variance * t * math.log1p(t))), _LARGEST_BET)
        self.bets += bet
        self.won += bet * value
        self.paid += (-math.log1p(-bet) - bet) * (value - before) ** 2
        self.total += value
        self.deviation += (value - min((0.5 / scale + self.total) / (t + 1), 1.0 / scale)) ** 2

    def add_all(self, values: NDArray[np.float64], *, t: int, scale: float, log_odds: float) -> NDArray[np.float64]:
        """Take values ``(n,)``, of which the first is the t-th of all, and return the bound after each."""
        if not len(values):
            return values
        values = values / scale
        times = np.arange(t, t + len(values))
        means = np.minimum((0.5 / scale + self.total + np.cumsum(values)) / (times + 1), 1.0 / scale)
        before = np.append(min((0.5 / scale + self.total) / t, 1.0 / scale), means[:-1])
        deviations = self.deviation + np.cumsum((values - means) ** 2)
        variances = (0.25 / scale**2 + np.append(self.deviation, deviations[:-1])) / times
        bets = np.minimum(np.sqrt(2.0 * log_odds / (variances * times * np.log1p(times))), _LARGEST_BET)
        sum_of_bets = self.bets + np.cumsum(bets)
        won = self.won + np.cumsum(bets * values)
        paid = self.paid + np.cumsum((-np.log1p(-bets) - bets) * (values - before) ** 2)
        self.total += float(values.sum())
        self.deviation, self.bets, self.won, self.paid = (
            float(sums[-1]) for sums in (deviations, sum_of_bets, won, paid)
        )
        return np.clip(scale * (won - paid - log_odds) / sum_of_bets, 0.0, 1.0)

    def bound(self, *, scale: float, log_odds: float) -> float:
        if not self.bets:
            return 0.0
        return min(max(scale * (self.won - self.paid - log_odds) / self.bets, 0.0), 1.0)


class ConfidenceSequence:
    """Bounds of a mean, renewed in constant time with every outcome, that hold at all times at once.

    With ``x_t`` in [0, 1], ``psi(l) = -log(1 - l) - l`` and a bet ``l_t`` that follows from earlier outcomes alone,

    ``lower_t = (sum l_i x_i - sum psi(l_i) (x_i - mean_{i-1})^2 - log(2 / alpha)) / sum l_i``

    and ``upper_t`` likewise of ``1 - x_t``; ``l_t = min(sqrt(2 log(2 / alpha) / (variance_{t-1} t log(1 + t))), 1/2)``.
    Where the mean moves, what is covered is the mean weighted by the bets.

    Parameters
    ----------
    low, high
        The range of an outcome, ``low < high``; the bounds never leave it.
    alpha
        The probability, in (0, 1), that the bounds ever miss the mean.
    truncation
        How far pseudo-outcomes may leave the range on the side that is bounded, in units of the range; see
        :func:`pseudo_outcomes`.

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range.

    Examples
    --------
    >>> sequence = ConfidenceSequence(low=0.0, high=1.0)
    >>> for k in range(1000):
    ...     sequence.add(k % 2)
    >>> round(sequence.lower, 3), round(sequence.upper, 3)
    (0.436, 0.562)
    """

    def __init__(self, *, low: float, high: float, alpha: float = 0.05, truncation: float = 0.0) -> None:
        self.low: float
        self.high: float
        self.alpha: float
        self.truncation: float
        self.low, self.high, self.alpha, self.truncation = _checked(low, high, alpha, truncation)
        self.n: int = 0
        self._below, self._above = Side(), Side()

    def __repr__(self) -> str:
        return f"ConfidenceSequence(low={self.low:g}, high={self.high:g}, alpha={self.alpha:g}, n={self.n})"

    @property
    def lower(self) -> float:
        """The lower bound of the mean."""
        return self.low + (self.high - self.low) * self._below.bound(scale=self._scale, log_odds=self._log_odds)

    @property
    def upper(self) -> float:
        """The upper bound of the mean."""
        return self.high - (self.high - self.low) * self._above.bound(scale=self._scale, log_odds=self._log_odds)

    def add(self, value: float, above: float | None = None) -> None:
        """Take one outcome in ``[low, high]``; or the two pseudo-outcomes that bound the mean from below and above.

        Raises
        ------
        InvalidInputError
            If a value is not a number or out of range; nothing is changed then.
        """
        range_ = self.high - self.low
        reach = self.truncation * range_
        if above is None:
            value = above = number(value, name="value", low=self.low, high=self.high)
        value = number(value, name="value", low=self.low - reach)
        above = number(above, name="above", high=self.high + reach)
        self.n += 1
        self._below.add((value - self.low) / range_, t=self.n, scale=self._scale, log_odds=self._log_odds)
        self._above.add((self.high - above) / range_, t=self.n, scale=self._scale, log_odds=self._log_odds)

    def add_all(self, values: ArrayLike, above: ArrayLike | None = None) -> None:
        """Take outcomes ``(n,)``, or pairs of pseudo-outcomes, in their order, as :meth:`add` takes each.

        Raises
        ------
        InvalidInputError
            If a value is not finite or out of range; nothing is changed then.

        Examples
        --------
        >>> sequence = ConfidenceSequence(low=0.0, high=1.0)
        >>> sequence.add_all(np.arange(1000) % 2)
        >>> round(sequence.lower, 3), round(sequence.upper, 3)
        (0.436, 0.562)
        """
        reach = 0.0 if above is None else self.truncation * (self.high - self.low)
        self._take(*_pairs(values, above, low=self.low - reach, high=self.high + reach))

    def to_dict(self) -> dict[str, float | dict[str, float]]:
        """Return the whole state as numbers that JSON can hold.

        Examples
        --------
        >>> sequence = ConfidenceSequence(low=0.0, high=1.0)
        >>> sequence.add(1.0)
        >>> ConfidenceSequence.from_dict(sequence.to_dict()).n
        1
        """
        settings = {name: getattr(self, name) for name in ("low", "high", "alpha", "truncation", "n")}
        return {**settings, "below": asdict(self._below), "above": asdict(self._above)}

    @classmethod
    def from_dict(cls, state: Mapping[str, object]) -> ConfidenceSequence:
        """Return the sequence whose ``to_dict`` this is.

        Raises
        ------
        InvalidInputError
            If ``to_dict`` cannot have given it.
        """
        try:
            settings = {name: state[name] for name in ("low", "high", "alpha", "truncation")}
            sequence = cls(**settings)  # type: ignore[arg-type]
            sequence.n = int(number(state["n"], name="n", low=0.0))
            sequence._below, sequence._above = (
                Side(**{name: number(value, name=name) for name, value in dict(state[side]).items()})  # type: ignore[call-overload]
                for side in ("below", "above")
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(
                f"{state!r:.200} is not what ConfidenceSequence.to_dict() gives ({error!r}); begin a new sequence"
            ) from error
        return sequence

    def _take(
        self, values: NDArray[np.float64], above: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Take checked values ``(n,)``, and return the bounds after each."""
        range_, t = self.high - self.low, self.n + 1
        self.n += len(values)
        lower, upper = (
            side.add_all(shares, t=t, scale=self._scale, log_odds=self._log_odds)
            for side, shares in (
                (self._below, (values - self.low) / range_),
                (self._above, (self.high - above) / range_),
            )
        )
        return self.low + range_ * lower, self.high - range_ * upper

    @property
    def _scale(self) -> float:
        return 1.0 + self.truncation

    @property
    def _log_odds(self) -> float:
        return math.log(2.0 / self.alpha)


def confidence_sequence(
    values: ArrayLike,
    above: ArrayLike | None = None,
    *,
    low: float,
    high: float,
    alpha: float = 0.05,
    truncation: float = 0.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and upper bound after each of n outcomes, as :class:`ConfidenceSequence` gives them one by one.

    Parameters
    ----------
    values
        Outcomes ``(..., n)`` of one or many sequences, in the range; or the pseudo-outcomes that bound the mean from
        below, with ``above`` those that bound it from above.
    low, high, alpha, truncation
        See :class:`ConfidenceSequence`.

    Returns
    -------
    lower, upper : (..., n)
        After each outcome.

    Raises
    ------
    InvalidConfigurationError
        For a setting out of range.
    InvalidInputError
        For values that are not finite, or out of range.

    Examples
    --------
    >>> lower, upper = confidence_sequence(np.arange(1000) % 2, low=0.0, high=1.0)
    >>> float(lower[-1].round(3)), float(upper[-1].round(3))
    (0.436, 0.562)
    """
    settings = dict(zip(("low", "high", "alpha", "truncation"), _checked(low, high, alpha, truncation), strict=True))
    reach = 0.0 if above is None else settings["truncation"] * (settings["high"] - settings["low"])
    below, over = _pairs(values, above, low=settings["low"] - reach, high=settings["high"] + reach)
    bounds = np.empty((2, *below.shape))
    for at in np.ndindex(below.shape[:-1]):
        bounds[(slice(None), *at)] = ConfidenceSequence(**settings)._take(below[at], over[at])
    return bounds[0], bounds[1]


def _pairs(
    values: ArrayLike, above: ArrayLike | None, *, low: float, high: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return checked pseudo-outcomes ``(..., n)`` for both sides."""
    from_below = np.asarray(values, dtype=np.float64)
    from_above = from_below if above is None else np.asarray(above, dtype=np.float64)
    if not (np.isfinite(from_below).all() and np.isfinite(from_above).all()):
        raise InvalidInputError("the values hold NaN or an infinity; leave out rows whose outcome is not known")
    if from_below.shape != from_above.shape or not from_below.ndim:
        raise InvalidInputError(f"values have shape {from_below.shape}, above {from_above.shape}; give (..., n) twice")
    outside = (from_below < low) | (from_above > high)
    if outside.any():
        raise InvalidInputError(
            f"{int(outside.sum())} of {outside.size} values are beyond [{low:g}, {high:g}]; give the range that no "
            "outcome leaves"
        )
    return from_below, from_above


def pseudo_outcomes(
    outcomes: ArrayLike,
    chosen: ArrayLike,
    *,
    target: ArrayLike,
    logged: ArrayLike,
    predicted: ArrayLike,
    low: float,
    high: float,
    truncation: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return pseudo-outcomes of another policy for each row: one never far below the range, one never far above.

    With outcomes and predictions ``q`` in [0, 1] and ``w = target / logged``,
    ``below = w (outcome - min(q, k / w)) + sum over arms of target min(q, k / w)`` has the mean of the target policy
    and is at least ``-k``; ``above`` is 1 less the same of ``1 - outcome`` and ``1 - q``. ``k = 0`` is importance
    weighting without predictions. The predictions of a row must not depend on its outcome or a later one.

    Parameters
    ----------
    outcomes, chosen
        Observed outcome in [low, high] and position of the chosen arm, each ``(n,)``.
    target, logged
        Probability of each arm under the target policy and when it was logged ``(n, K)``.
    predicted
        Expected outcome of each arm ``(n, K)``; beyond the range it is taken to its edge.
    low, high
        The range of an outcome.
    truncation
        ``k``, at least 0: more keeps more of the predictions, and takes more rows to pay off.

    Returns
    -------
    below, above : (n,)
        For ``ConfidenceSequence.add`` and :func:`confidence_sequence` with the same range and truncation.

    Examples
    --------
    >>> row = {"target": [[0.0, 1.0]], "logged": [[0.5, 0.5]], "predicted": [[0.5, 0.5]], "low": 0.0, "high": 1.0}
    >>> pseudo_outcomes([1.0], [1], **row, truncation=0.0)  # 2 x 1; 1 - 2 x 0
    (array([2.]), array([1.]))
    >>> pseudo_outcomes([1.0], [1], **row, truncation=1.0)  # 2 x (1 - .5) + .5; 1 - (2 x (0 - .5) + .5)
    (array([1.5]), array([1.5]))
    """
    y, q = ((np.asarray(values, dtype=np.float64) - low) / (high - low) for values in (outcomes, predicted))
    pi, p = (np.asarray(values, dtype=np.float64) for values in (target, logged))
    q = np.clip(q, 0.0, 1.0)
    at = (np.arange(len(y)), np.asarray(chosen, dtype=np.intp))
    weight = pi[at] / p[at]
    most = np.full(pi.shape, np.inf)
    np.divide(truncation * p, pi, out=most, where=pi > 0.0)

    def corrected(y: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
        kept = np.minimum(q, most)
        estimate: NDArray[np.float64] = weight * (y - kept[at]) + (pi * kept).sum(axis=1)
        return np.maximum(estimate, -truncation)  # it is, but for rounding

    unit = high - low
    return low + unit * corrected(y, q), high - unit * corrected(1.0 - y, 1.0 - q)


def _checked(low: float, high: float, alpha: float, truncation: float) -> tuple[float, float, float, float]:
    """Return the settings of a sequence; raise InvalidConfigurationError for a number out of range."""
    low, high = (number(v, name=name, error=InvalidConfigurationError) for name, v in (("low", low), ("high", high)))
    if not low < high:
        raise InvalidConfigurationError(f"an outcome ranges from low={low:g} to high={high:g}; give low < high")
    alpha = number(alpha, name="alpha", low=0.0, high=1.0, error=InvalidConfigurationError)
    if alpha in (0.0, 1.0):
        raise InvalidConfigurationError(f"alpha is {alpha:g}; give a probability of missing above 0 and below 1")
    return low, high, alpha, number(truncation, name="truncation", low=0.0, error=InvalidConfigurationError)
