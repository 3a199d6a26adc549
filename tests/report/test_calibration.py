"""Calibration, before each outcome is learned."""

import numpy as np
import pytest

from banditroute.beliefs import Linear
from banditroute.report.calibration import binned, calibration_error, foreseen


def test_an_outcome_is_learned_only_after_it_was_foreseen():
    x = np.ones((4, 1))
    spec = Linear(intercept_precision=1.0)
    expected = foreseen(spec, ["a", "b"], x, np.array([0, 0, 1, 0]), np.array([1.0, np.nan, 0.0, 0.0]))
    np.testing.assert_allclose(expected, [0.5, 0.75, 0.5, 0.75])  # (1 x .5 + 1) / 2 after the first


def test_what_is_not_known_is_in_no_bin():
    mean, came, counts = binned(np.array([0.1, 0.9, 0.5]), np.array([0.0, np.nan, 1.0]), bins=10)
    assert (mean.tolist(), came.tolist(), counts.tolist()) == ([0.1, 0.5], [0.0, 1.0], [1.0, 1.0])


def test_a_calibrated_forecast_has_no_error():
    rng = np.random.default_rng(0)
    expected = rng.random(200_000)
    observed = (rng.random(200_000) < expected).astype(float)
    assert calibration_error(*binned(expected, observed)) < 0.005
    assert calibration_error(*binned(expected, 1.0 - observed)) == pytest.approx(0.5, abs=0.01)
