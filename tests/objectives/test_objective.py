"""Objectives: units, ranges, direction and priors."""

import math

import numpy as np
import pytest

from banditroute.errors import InvalidConfigurationError, InvalidFeedbackError
from banditroute.objectives import STANDARD_OBJECTIVES, Objective

STANDARD = {objective.name: objective for objective in STANDARD_OBJECTIVES}


def test_the_standard_objectives():
    directions = {name: objective.higher_is_better for name, objective in STANDARD.items()}
    assert directions == {
        "quality": True,
        "cost_usd": False,
        "energy_joules": False,
        "latency_seconds": False,
        "output_tokens": False,
        "availability": True,
    }
    assert (STANDARD["quality"].low, STANDARD["quality"].high) == (0.0, 1.0)
    assert all(objective.low == 0.0 for objective in STANDARD.values())
    assert all(objective.sign == (1.0 if objective.higher_is_better else -1.0) for objective in STANDARD.values())


@pytest.mark.parametrize("name", STANDARD)
def test_the_ends_of_the_range_are_possible(name):
    objective = STANDARD[name]
    assert objective.check(objective.low) == objective.low
    highest = min(objective.high, 1e50)
    assert objective.check(highest) == highest
    with pytest.raises(InvalidFeedbackError, match=rf"^{name} is .*; it must be between"):
        objective.check(np.nextafter(highest, math.inf))
    with pytest.raises(InvalidFeedbackError, match=rf"^{name} is .*; it must be between 0 and"):
        objective.check(-5e-324)


def test_an_objective_without_limits_takes_what_can_be_squared():
    change = Objective(name="change", higher_is_better=True)
    assert [change.check(value) for value in (-1e50, 0, 1e50)] == [-1e50, 0.0, 1e50]
    for value in (-1.1e50, 1.1e50):
        with pytest.raises(InvalidFeedbackError, match=r"it must be between -1e\+50 and 1e\+50"):
            change.check(value)


@pytest.mark.parametrize("name", ["two words", "1st", "a-b", "class", "self", "decision_id", "", None])
def test_a_name_is_a_free_keyword_of_feedback(name):
    with pytest.raises(InvalidConfigurationError, match=r"cannot be a keyword of feedback\(\)|^Objective\(name=...\) "):
        Objective(name=name, higher_is_better=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"low": 1.0, "prior_mean": 0.0}, r"^prior_mean of objective 'x' is 0.0; it must be at least 1$"),
        ({"low": 1.0, "high": 5.0, "prior_mean": 6.0}, r"is 6.0; it must be between 1 and 5$"),
        ({"low": 2.0, "high": 1.0, "prior_mean": 1.5}, r"^objective 'x' ranges from low=2.0 to high=1.0; give low"),
        ({"low": math.nan}, r"^objective 'x' ranges from low=nan"),
        ({"prior_mean": True}, r"is True \(bool\)"),
        ({"prior_mean": math.nan}, r"is nan; give a finite number"),
        ({"prior_noise": -1.0}, r"^prior_noise of 'x' is -1.0; it must be at least 0$"),
        ({"prior_noise": 0.0}, r"prior_noise of objective 'x' is 0; give a standard deviation above 0, or None$"),
        ({"prior_noise": "1"}, r"is '1' \(str\)"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Objective(**{"name": "x", "higher_is_better": True, **settings})
