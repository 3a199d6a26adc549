"""Dollars are computed from tokens."""

import numpy as np
import pytest

from banditroute.core.arm import Arm
from banditroute.pricing import TokenPrices

ARMS = [
    Arm(name="small", input_usd_per_million_tokens=0.15, output_usd_per_million_tokens=0.6),
    Arm(name="own"),
    Arm(name="free", input_usd_per_million_tokens=0.0, output_usd_per_million_tokens=0.0),
]


def test_cost_by_hand():
    # 2000 x 0.15e-6 + 500 x 0.6e-6 = 0.0003 + 0.0003; 100 x 0.6e-6
    mean, std = TokenPrices(arms=ARMS).cost_usd(2000, np.full(3, 500.0), np.full(3, 100.0))
    assert mean == pytest.approx([0.0006, 0.0, 0.0], abs=1e-18)
    assert std == pytest.approx([0.00006, 0.0, 0.0], abs=1e-18)


def test_a_price_of_0_is_a_price():
    assert TokenPrices(arms=ARMS).priced.tolist() == [True, False, True]


def test_fewer_than_no_tokens_cost_nothing():
    mean, _ = TokenPrices(arms=ARMS[:1]).cost_usd(0, np.array([-300.0]), np.zeros(1))
    assert mean.tolist() == [0.0]


def test_the_expected_tokens_stay_as_they_were():
    tokens, stds = np.array([-1.0, 2.0, 3.0]), np.ones(3)
    TokenPrices(arms=ARMS).cost_usd(10, tokens, stds)
    assert tokens.tolist() == [-1.0, 2.0, 3.0]
    assert stds.tolist() == [1.0, 1.0, 1.0]
