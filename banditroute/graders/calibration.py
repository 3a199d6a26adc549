"""Calibrate a judge: learn the expected quality for each of its scores, and how far the scores are off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.validation import number
from banditroute.errors import InvalidInputError
from banditroute.graders.signal import Signal

_MIN_LABELLED_ANSWERS = 20
_FOLDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCalibration:
    """A curve from a judge's score to the expected label; as :func:`calibrate_judge` makes it, it never falls.

    ``dataclasses.asdict`` gives what JSON can keep, and ``JudgeCalibration(**kept)`` takes it back.

    Attributes
    ----------
    scores, qualities
        The curve's points, scores rising; between them it is straight, beyond them flat.
    raw_error, error
        Root mean squared difference from the labels, of the score itself and of the calibrated score. The latter is
        cross-validated: each label was predicted by a curve made without it.
    answers
        Number of labelled answers.

    Raises
    ------
    InvalidInputError
        If there is not one quality in [0, 1] for each score, or scores do not rise.

    Examples
    --------
    >>> calibration = JudgeCalibration(
    ...     scores=(0.5, 1.0), qualities=(0.2, 0.8), raw_error=0.5, error=0.4, answers=20
    ... )
    >>> calibration.apply(Signal(quality=0.75)).quality
    0.5
    """

    scores: tuple[float, ...]
    qualities: tuple[float, ...]
    raw_error: float
    error: float
    answers: int

    def __post_init__(self) -> None:
        for name in ("scores", "qualities"):
            values = tuple(number(value, name=name, low=0.0, high=1.0) for value in getattr(self, name))
            object.__setattr__(self, name, values)
        if not 0 < len(self.scores) == len(self.qualities) or list(self.scores) != sorted(set(self.scores)):
            raise InvalidInputError(
                f"scores are {self.scores} and qualities {self.qualities}; give rising scores, and a quality for each"
            )

    def apply(self, signal: Signal) -> Signal:
        """Return the judge's signal, calibrated; a signal without a quality is returned as it is."""
        if signal.quality is None:
            return signal
        return Signal(quality=float(np.interp(signal.quality, self.scores, self.qualities)), reason=signal.reason)


def calibrate_judge(scores: Sequence[float], labels: Sequence[float]) -> JudgeCalibration:
    """Learn the expected quality for each score of a judge, from answers whose quality is known.

    The curve is an isotonic regression: it never falls, and has the least squared error.

    Parameters
    ----------
    scores
        Scores of the judge, as :func:`judge_score` returns them, in [0, 1]; at least 20.
    labels
        Quality of the same answers, in [0, 1], such as 0 and 1 given by people.

    Raises
    ------
    InvalidInputError
        If there are fewer than 20 answers, not as many labels as scores, or a number is out of range.

    Notes
    -----
    Zadrozny and Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates". The error
    is that of 10 folds, which are the same at every call.

    Examples
    --------
    This judge gives 0.9 to answers that are right half the time, and 0.3 to answers that never are:

    >>> calibration = calibrate_judge([0.9] * 20 + [0.3] * 20, [1.0, 0.0] * 10 + [0.0] * 20)
    >>> calibration.apply(Signal(quality=0.9)).quality
    0.5
    >>> round(calibration.raw_error, 2), round(calibration.error, 2)
    (0.5, 0.37)
    """
    if len(scores) != len(labels):
        raise InvalidInputError(f"there are {len(scores)} scores and {len(labels)} labels; give one label for each")
    if len(scores) < _MIN_LABELLED_ANSWERS:
        raise InvalidInputError(f"there are {len(scores)} labelled answers; give at least {_MIN_LABELLED_ANSWERS}")
    given = np.array([number(score, name="score", low=0.0, high=1.0) for score in scores])
    wanted = np.array([number(label, name="label", low=0.0, high=1.0) for label in labels])
    folds = np.random.default_rng(0).permutation(len(given)) % _FOLDS
    predicted = np.empty_like(wanted)
    for fold in range(_FOLDS):
        held = folds == fold
        predicted[held] = np.interp(given[held], *_curve(given[~held], wanted[~held]))
    points, heights = _curve(given, wanted)
    return JudgeCalibration(
        scores=tuple(points.tolist()),
        qualities=tuple(heights.tolist()),
        raw_error=_rmse(given - wanted),
        error=_rmse(predicted - wanted),
        answers=len(given),
    )


def _curve(scores: Vector, labels: Vector) -> tuple[Vector, Vector]:
    """Return the isotonic curve: distinct scores ``(m,)`` and their expected labels ``(m,)``."""
    from scipy.optimize import isotonic_regression

    points, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(which, weights=labels) / counts
    return points, np.clip(isotonic_regression(means, weights=counts).x, 0.0, 1.0)


def _rmse(difference: Vector) -> float:
    return float(np.sqrt(np.mean(np.square(difference))))
