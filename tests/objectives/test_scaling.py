"""Scaled weights: quartiles by hand, what must not move them, and what a restart keeps."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.core.preference import Preference
from banditroute.core.state import StateSlot
from banditroute.errors import InvalidConfigurationError
from banditroute.objectives import Objective, Scaled
from banditroute.objectives.scaling import Scales, interquartile_range
from banditroute.objectives.utility import merge_objectives

STARS = Objective(name="stars", higher_is_better=True, low=1.0, high=5.0)


def scales(*, kept=None, arms=("a", "b", "c")):
    kept = {} if kept is None else kept
    slot = StateSlot(
        name="scales", stored=kept.get("scales"), save=lambda name, blob, merge: kept.__setitem__(name, blob)
    )
    made = Scales(objectives=merge_objectives([STARS]), slot=slot)
    made.set_arms(arms)
    return made


def weight_of(made, objective="energy_joules"):
    """The rate of an objective of weight 1, beside a quality of weight 1."""
    return made.rates(Scaled(weights={"quality": 1.0, objective: 1.0})).get(objective)


class TestQuartiles:
    def test_interquartile_range_equals_the_hand_computed_one(self):
        assert interquartile_range([[4.0, 1.0, 3.0, 2.0]]) == 2.0  # 1, then 3
        assert interquartile_range([list(range(100))]) == 50.0  # 24, then 74

    def test_every_sample_weighs_the_same(self):
        # 0 has a third of the weight, 1 and 9 too: the quartiles are 0 and 9
        assert interquartile_range([[0.0] * 60, [1.0], [9.0] * 3]) == 9.0

    def test_outliers_do_not_move_it(self):
        values = [*np.linspace(0.0, 1.0, 50)]
        assert interquartile_range([[*values, 1e9]]) == pytest.approx(interquartile_range([values]), rel=0.1)

    def test_range_replaces_an_interquartile_range_of_zero(self):
        assert interquartile_range([[1.0] * 20, [1.0] * 20, [1.0] * 20, [1.0] * 20, [3.0]]) == 2.0

    @given(
        st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), min_size=1, max_size=6), st.floats(1.0, 1e3)
    )
    def test_interquartile_range_has_the_unit_of_the_values(self, samples, unit):
        std = interquartile_range(samples)
        assert std >= 0.0
        assert interquartile_range([[unit * v for v in sample] for sample in samples]) == pytest.approx(
            unit * std, rel=1e-9, abs=1e-6
        )


class TestScales:
    def test_objective_with_a_range_is_scaled_by_it(self):
        assert scales().rates(Scaled(weights={"quality": 0.5, "stars": 1.0})) == {"quality": 0.5, "stars": 0.25}

    def test_objective_with_an_unknown_scale_is_left_out(self):
        made = scales()
        for value in range(7):
            made.add("a", {"energy_joules": float(value)})
        assert made.rates(Scaled(weights={"quality": 0.6, "energy_joules": 0.4})) == {"quality": 0.6}
        made.add("a", {"energy_joules": 7.0})
        assert made.rates(Scaled(weights={"quality": 0.6, "energy_joules": 0.4})) == {
            "quality": 0.6,
            "energy_joules": 0.1,  # the quartiles are 1 and 5
        }

    def test_weights_are_the_rates_where_no_scale_is_known(self):
        assert scales().rates(Scaled(weights={"energy_joules": 0.4})) == {"energy_joules": 0.4}

    def test_objective_that_never_varied_has_no_scale(self):
        made = scales()
        for _ in range(50):
            made.add("a", {"energy_joules": 3.0})
        assert weight_of(made) is None

    def test_a_reference_is_taken_instead(self):
        made = scales()
        for value in range(50):
            made.add("a", {"energy_joules": float(value)})
        scaled = Scaled(
            weights={"quality": 1.0, "energy_joules": 1.0}, reference={"energy_joules": 4.0, "quality": 2.0}
        )
        assert made.rates(scaled) == {"quality": 0.5, "energy_joules": 0.25}

    def test_scale_does_not_depend_on_the_shares_of_the_traffic(self):
        """A router that leaves the dear arms must not find the cheap ones ever dearer."""
        even, skewed = scales(), scales()
        rng = np.random.default_rng(0)
        for step in range(3000):
            draws = {"a": rng.normal(10.0, 1.0), "b": rng.normal(50.0, 1.0), "c": rng.normal(90.0, 1.0)}
            for arm, value in draws.items():
                even.add(arm, {"energy_joules": value})
                if arm == "a" or step < 64:
                    skewed.add(arm, {"energy_joules": value})
        assert weight_of(skewed) == pytest.approx(weight_of(even), rel=0.05)

    def test_scale_follows_a_change_of_the_outcomes(self):
        made = scales()
        rng = np.random.default_rng(0)
        for value in rng.normal(10.0, 1.0, 2000):
            made.add("a", {"energy_joules": value})
        before = weight_of(made)
        for value in rng.normal(100.0, 10.0, 6000):
            made.add("a", {"energy_joules": value})
        assert weight_of(made) == pytest.approx(before / 10.0, rel=0.4)

    def test_stored_samples_are_bounded(self):
        kept = {}
        made = scales(kept=kept)
        weight_of(made)
        for value in np.random.default_rng(0).random(5000):
            made.add("a", {"energy_joules": value, "quality": value})
        samples = json.loads(kept["scales"])
        assert set(samples["energy_joules"]) == {"a"}
        assert "quality" not in samples
        assert len(samples["energy_joules"]["a"][0]) == 64

    def test_a_restart_keeps_it(self):
        kept = {}
        made = scales(kept=kept)
        weight_of(made)
        for value in np.random.default_rng(0).random(1024):
            made.add("a", {"energy_joules": value})
        assert weight_of(scales(kept=kept)) == weight_of(made)
        assert weight_of(scales(kept=kept, arms=["another"])) is None

    def test_unused_scales_are_not_stored(self):
        kept = {}
        made = scales(kept=kept)
        for value in range(200):
            made.add("a", {"energy_joules": float(value)})
        assert kept == {}

    def test_equal_outcomes_make_equal_scales(self):
        one, other = scales(), scales()
        for value in np.random.default_rng(0).random(3000):
            for made in (one, other):
                made.add("a", {"energy_joules": value})
        assert weight_of(one) == weight_of(other)


class TestScaled:
    def test_scaled_copies_the_given_weights(self):
        weights = {"quality": 0.6, "energy_joules": 0.4}
        scaled = Scaled(weights=weights)
        weights["quality"] = 9.0
        assert scaled.weights == Preference(quality=0.6, energy_joules=0.4)
        assert scaled == Scaled(weights={"quality": 0.6, "energy_joules": 0.4})

    @pytest.mark.parametrize(
        ("settings", "complaint"),
        [
            ({"weights": {}}, "a preference needs a weight above 0"),
            ({"weights": {"quality": -1.0}}, "preference quality is -1.0"),
            ({"weights": {"quality": 1.0}, "reference": {"energy_joules": 0.0}}, "reference of 'energy_joules' is 0"),
            ({"weights": {"quality": 1.0}, "reference": {"energy_joules": math.nan}}, "reference of 'energy_joules'"),
            ({"weights": {"quality": 1.0}, "reference": {"energy_joules": True}}, "reference of 'energy_joules'"),
        ],
    )
    def test_bad_settings_are_refused(self, settings, complaint):
        with pytest.raises(InvalidConfigurationError, match=complaint):
            Scaled(**settings)
