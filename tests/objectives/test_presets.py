"""Named preferences against the formulas that they are named for."""

import math

import numpy as np
import pytest

from banditroute.core.preference import Preference
from banditroute.errors import InvalidConfigurationError
from banditroute.objectives import JOULES_PER_TOKEN, Scaled, equal_worth, greenserv, willingness_to_pay
from banditroute.objectives.utility import merge_objectives, utility, weights


def value(preference, outcomes):
    """Utility of one arm with these certain outcomes."""
    names = list(outcomes)
    signed = weights(preference, names, merge_objectives([JOULES_PER_TOKEN]))
    means = np.array([[outcomes[name]] for name in names])
    return float(utility(signed, means, np.zeros_like(means))[0][0])


class TestEqualWorth:
    def test_the_amounts_are_worth_the_same(self):
        preference = equal_worth(quality=0.01, cost_usd=0.002, energy_joules=5.0)
        assert preference == pytest.approx({"quality": 1.0, "cost_usd": 5.0, "energy_joules": 0.002})
        assert value(preference, {"quality": 0.51, "cost_usd": 0.002, "energy_joules": 0.0}) == pytest.approx(0.5)
        assert value(preference, {"quality": 0.51, "cost_usd": 0.0, "energy_joules": 5.0}) == pytest.approx(0.5)

    @pytest.mark.parametrize(
        ("amounts", "complaint"),
        [
            ({}, "a preference needs a weight above 0"),
            ({"quality": 0.01, "cost_usd": 0.0}, "amount of cost_usd is 0, which is worth nothing"),
            ({"quality": 0.0}, "amount of quality is 0"),
            ({"quality": -0.01}, "amount of quality is -0.01"),
            ({"quality": math.inf}, "amount of quality is inf"),
        ],
    )
    def test_bad_amounts_are_refused(self, amounts, complaint):
        with pytest.raises(InvalidConfigurationError, match=complaint):
            equal_worth(**amounts)


def test_willingness_to_pay_is_that_times_quality_less_cost():
    preference = willingness_to_pay(0.02)
    assert value(preference, {"quality": 0.8, "cost_usd": 0.005}) == pytest.approx(0.02 * 0.8 - 0.005)
    assert willingness_to_pay(0.0) == {"quality": 0.0, "cost_usd": 1.0}
    with pytest.raises(InvalidConfigurationError):
        willingness_to_pay(-1.0)


class TestGreenServ:
    def test_greenserv_preference_equals_their_formula(self):
        """(1 - w) accuracy + w (1 - energy / range): the constant w apart, which no choice depends on."""
        scaled = greenserv(0.25, joules_per_token=2.0)
        rates = Preference(**{name: w / scaled.reference.get(name, 1.0) for name, w in scaled.weights.items()})
        assert value(rates, {"quality": 1.0, "joules_per_token": 0.5}) == pytest.approx(
            0.75 * 1.0 + 0.25 * (1.0 - 0.5 / 2.0) - 0.25
        )

    def test_their_default_weighs_both_alike(self):
        assert greenserv() == Scaled(weights={"quality": 0.5, "joules_per_token": 0.5})

    @pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan, True])
    def test_bad_weights_are_refused(self, weight):
        with pytest.raises(InvalidConfigurationError, match="energy_weight is "):
            greenserv(weight)
