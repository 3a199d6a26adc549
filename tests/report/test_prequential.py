"""What is expected before each outcome is learned."""

import numpy as np

from banditroute.beliefs import Linear
from banditroute.report.prequential import prequential_predictions


def test_an_outcome_is_learned_only_after_it_was_foreseen():
    x = np.ones((4, 1))
    spec = Linear(intercept_precision=1.0)
    expected = prequential_predictions(spec, ["a", "b"], x, np.array([0, 0, 1, 0]), np.array([1.0, np.nan, 0.0, 0.0]))
    np.testing.assert_allclose(expected, [0.5, 0.75, 0.5, 0.75])  # (1 x .5 + 1) / 2 after the first
