"""Calibrate a cheap signal online: learn the expected quality for each of its values, per arm, and its error."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.validation import label, number
from banditroute.graders.signal import Signal

_BINS = 101  # a signal counts to the nearest hundredth, so memory is bounded
_PRIOR_ANSWERS = 20.0  # of the pooled curve in the curve of an arm, and of the mean in the pooled curve
_MIN_ANSWERS = 20  # before a signal is judged


@dataclass(slots=True)
class _Sums:
    """Graded answers of one arm, or of all."""

    counts: Vector = field(default_factory=lambda: np.zeros(_BINS))
    qualities: Vector = field(default_factory=lambda: np.zeros(_BINS))
    squared_error: float = 0.0
    squared_error_of_mean: float = 0.0
    curve: Vector | None = None

    @property
    def answers(self) -> float:
        return float(self.counts.sum())

    @property
    def mean(self) -> float:
        return float(self.qualities.sum()) / self.answers if self.answers else 0.5


class SignalCalibration:
    """The expected quality for each value of a signal, learned from graded answers one by one.

    The curve is an isotonic regression: a higher signal never means a lower quality. The curve of an arm is mixed with
    that of all arms, which counts for 20 answers, and that with the mean quality, which counts for 20. Each answer is
    predicted before it is learned, so ``error`` is honest. If a signal predicts no better than the mean, ``apply``
    returns no quality.

    Examples
    --------
    >>> calibration = SignalCalibration()
    >>> for looks_good in [0.0, 1.0] * 100:
    ...     calibration.add("small", Signal(quality=looks_good), quality=0.2 + 0.5 * looks_good)
    >>> round(calibration.apply("small", Signal(quality=1.0)).quality, 1)
    0.7
    >>> calibration.error("small") < calibration.error_of_mean("small")
    True

    Notes
    -----
    Zadrozny and Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates".
    """

    def __init__(self) -> None:
        self._all = _Sums()
        self._arms: dict[str, _Sums] = {}

    def add(self, arm: str, signal: Signal, quality: float) -> None:
        """Learn from an answer of ``arm`` whose quality is known; a signal without a quality teaches nothing.

        Raises
        ------
        InvalidInputError
            If the quality is not a number in [0, 1], or the arm is not a name.
        """
        label(arm, name="arm")
        actual = number(quality, name="quality", low=0.0, high=1.0)
        if signal.quality is None:
            return
        bin = round(float(signal.quality) * (_BINS - 1))
        predicted = self._predict(arm, bin)
        for sums in (self._all, self._arms.setdefault(arm, _Sums())):
            sums.squared_error += (predicted - actual) ** 2
            sums.squared_error_of_mean += (sums.mean - actual) ** 2
            sums.counts[bin] += 1.0
            sums.qualities[bin] += actual
            sums.curve = None

    def apply(self, arm: str, signal: Signal) -> Signal:
        """Return the expected quality of an answer of ``arm`` with this signal, or the reason why it is not known."""
        if signal.quality is None:
            return signal
        judged = self._judged(arm)
        if judged.answers < _MIN_ANSWERS:
            return Signal(quality=None, reason=f"the signal is calibrated on {judged.answers:.0f} answers; it needs 20")
        if judged.squared_error >= judged.squared_error_of_mean:
            return Signal(quality=None, reason="the signal predicts the quality no better than its mean")
        return Signal(quality=self._predict(arm, round(float(signal.quality) * (_BINS - 1))), reason=signal.reason)

    def answers(self, arm: str) -> int:
        """Return the number of graded answers of ``arm``."""
        return int(self._arms[arm].answers) if arm in self._arms else 0

    def error(self, arm: str) -> float | None:
        """Return the root mean squared error of the predictions, of ``arm`` or of all; None without answers.

        That of ``arm`` is returned from 20 answers on.
        """
        judged = self._judged(arm)
        return (judged.squared_error / judged.answers) ** 0.5 if judged.answers else None

    def error_of_mean(self, arm: str) -> float | None:
        """Return the error that predicting the mean quality has, for comparison."""
        judged = self._judged(arm)
        return (judged.squared_error_of_mean / judged.answers) ** 0.5 if judged.answers else None

    def _judged(self, arm: str) -> _Sums:
        own = self._arms.get(arm)
        return self._all if own is None or own.answers < _MIN_ANSWERS else own

    def _predict(self, arm: str, bin: int) -> float:
        pooled = self._mixed(self._all, np.full(_BINS, self._all.mean))
        own = self._arms.get(arm)
        return float((pooled if own is None else self._mixed(own, pooled))[bin])

    @staticmethod
    def _mixed(sums: _Sums, prior: Vector) -> Vector:
        """Return the curve of ``sums`` ``(101,)``, mixed with ``prior``, which counts for 20 answers."""
        if not sums.answers:
            return prior
        if sums.curve is None:
            sums.curve = _isotonic(sums.counts, sums.qualities)
        weight = sums.answers / (sums.answers + _PRIOR_ANSWERS)
        mixed: Vector = weight * sums.curve + (1.0 - weight) * prior
        return mixed


def _isotonic(counts: Vector, qualities: Vector) -> Vector:
    """Return the curve that never falls and fits the means of the bins best; straight between bins with answers."""
    from scipy.optimize import isotonic_regression

    seen = np.flatnonzero(counts)
    heights = isotonic_regression(qualities[seen] / counts[seen], weights=counts[seen]).x
    curve: Vector = np.interp(np.arange(_BINS), seen, np.clip(heights, 0.0, 1.0))
    return curve
