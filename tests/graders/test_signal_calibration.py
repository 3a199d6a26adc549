"""Online calibration: against a known truth, and silent where a signal says nothing."""

import numpy as np
import pytest

from banditroute import InvalidInputError
from banditroute.graders import Signal, SignalCalibration


def truth(arm, signal):
    return 0.2 + 0.6 * signal**2 if arm == "small" else 0.5 + 0.4 * signal


def learned(arms=("small", "large"), answers=1000, seed=0, truth=truth):
    rng = np.random.default_rng(seed)
    calibration = SignalCalibration()
    for _ in range(answers):
        arm, signal = arms[rng.integers(len(arms))], rng.random()
        calibration.add(arm, Signal(quality=signal), quality=float(rng.random() < truth(arm, signal)))
    return calibration


def test_learns_a_curve_of_each_arm():
    calibration = learned(answers=5000)
    for arm in ("small", "large"):
        for signal in (0.1, 0.5, 0.9):
            assert calibration.apply(arm, Signal(quality=signal)).quality == pytest.approx(truth(arm, signal), abs=0.1)


def test_curves_never_fall():
    calibration = learned(answers=300)
    qualities = [calibration.apply("small", Signal(quality=k / 20)).quality for k in range(21)]
    assert qualities == sorted(qualities)


def test_an_arm_without_answers_has_the_pooled_curve():
    calibration = learned(arms=("large",))
    assert calibration.apply("new", Signal(quality=0.9)).quality == pytest.approx(0.86, abs=0.1)
    assert calibration.answers("new") == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_signal_that_says_nothing_is_switched_off(seed):
    calibration = learned(truth=lambda arm, signal: 0.7, seed=seed)
    errors = calibration.error("small"), calibration.error_of_mean("small")
    assert errors[0] == pytest.approx(errors[1], rel=0.05)
    off = calibration.apply("small", Signal(quality=0.9))
    assert off.quality is None or off.quality == pytest.approx(0.7, abs=0.15)


def test_most_signals_that_say_nothing_are_switched_off():
    off = [
        learned(truth=lambda arm, signal: 0.7, seed=seed).apply("small", Signal(quality=0.9)).quality is None
        for seed in range(20)
    ]
    assert sum(off) >= 16


def test_a_signal_that_says_something_is_on():
    on = [learned(answers=400, seed=seed).apply("small", Signal(quality=0.9)).quality is not None for seed in range(20)]
    assert sum(on) >= 19


def test_error_is_made_before_learning():
    calibration = SignalCalibration()
    calibration.add("a", Signal(quality=1.0), quality=1.0)
    assert calibration.error("a") == 0.5  # nothing was known: one half was predicted


def test_signals_with_too_few_answers_are_not_calibrated():
    calibration = SignalCalibration()
    calibration.add("a", Signal(quality=None, reason="no score"), quality=1.0)
    assert calibration.answers("a") == 0
    assert calibration.error("a") is None
    assert calibration.apply("a", Signal(quality=0.5)).reason == "the signal is calibrated on 0 answers; it needs 20"
    assert calibration.apply("a", Signal(quality=None, reason="no score")).reason == "no score"


@pytest.mark.parametrize("quality", [2.0, -1.0, None, "good", True])
def test_other_qualities_are_refused(quality):
    with pytest.raises(InvalidInputError):
        SignalCalibration().add("a", Signal(quality=0.5), quality=quality)
