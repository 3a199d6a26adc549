"""Principal directions against ones found by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.errors import InvalidConfigurationError
from banditroute.features._whitening import whitening


def test_whitening_equals_the_hand_computed_one():
    # Along (1, 1) / sqrt(2) the rows lie at -2, 0, 2 from their mean (a standard deviation of sqrt(8 / 3)), along the
    # other diagonal nowhere.
    half = np.sqrt(2.0)
    mean, projection = whitening(np.array([[0.0, 0.0], [half, half], [2 * half, 2 * half]]), 1)
    assert mean == pytest.approx([half, half])
    assert projection[:, 0] == pytest.approx(np.array([1.0, 1.0]) / np.sqrt(2.0) / np.sqrt(8.0 / 3.0))


@given(st.integers(0, 2**32 - 1))
def test_rows_come_out_centred_and_white(seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(40, 5)) @ rng.normal(size=(5, 5)) + rng.normal(size=5)
    mean, projection = whitening(rows, 3)
    x = (rows - mean) @ projection
    assert x.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    assert x.T @ x / 40 == pytest.approx(np.eye(3), abs=1e-6)
    assert (np.take_along_axis(projection, np.abs(projection).argmax(axis=0)[None], axis=0) > 0).all()


@pytest.mark.parametrize("rows", [np.zeros((0, 3)), np.ones((1, 3)), np.ones((9, 3)), np.eye(3)[:2]])
def test_too_few_directions_are_refused(rows):
    with pytest.raises(InvalidConfigurationError, match="give more prompts, or a smaller dimension"):
        whitening(rows, 2)
