"""Arms, preferences, requests, feedback, and a decision that explains itself."""

import math

import numpy as np
import pytest

from banditroute.core.arm import Arm
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidFeedbackError, InvalidRequestError


def decided(**changes):
    return Decision(
        **{
            "id": "00" * 16,
            "arm": "mid",
            "propensity": 0.25,
            "reason": "policy",
            "decided_at": 0.0,
            "arms": ("big", "mid", "low"),
            "probabilities": np.array([0.5, 0.25, 0.25]),
            "objectives": ("quality", "cost_usd"),
            "means": np.array([[0.9, 0.8, 0.5], [0.02, 0.01, 0.001]]),
            "stds": np.array([[0.1, 0.2, 0.25], [0.001, 0.002, 0.0]]),
            "utilities": np.array([-0.1, 0.3, 0.45]),
            "utility_stds": np.array([0.1, 0.2, 0.25]),
            "penalties": np.array([0.0, 0.125, 0.0]),
            "x": np.ones(2),
            "preference": Preference(quality=1.0, cost_usd=50.0),
            "policy": "Greedy",
            **changes,
        }
    )


def test_an_arm_is_named_by_its_model_and_its_effort():
    assert Arm(model="o4", effort="high").name == "o4:high"
    assert Arm(model="o4").name == "o4"
    assert Arm(name="mine", model="o4", effort="high").name == "mine"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "a", "effort": "high"}, "has the effort 'high' and no model; give model="),
        ({"model": ""}, "model of an arm"),
        ({"model": "o4", "effort": 3}, "effort of an arm"),
        ({}, "Arm\\(name="),
    ],
)
def test_factors_of_an_arm_are_checked(given, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Arm(**given)


def test_an_arm_has_both_prices_or_none():
    assert not Arm(name="a").priced
    assert Arm(name="a", input_usd_per_million_tokens=0, output_usd_per_million_tokens=0).priced
    for price in ("input", "output"):
        with pytest.raises(InvalidConfigurationError, match="'a' has one token price of two; give both, or neither"):
            Arm(name="a", **{f"{price}_usd_per_million_tokens": 1.0})


@pytest.mark.parametrize("price", [-1.0, math.nan, math.inf, True, "1"])
def test_bad_prices_are_refused(price):
    with pytest.raises(InvalidConfigurationError, match=r"^price of arm 'a' is "):
        Arm(name="a", input_usd_per_million_tokens=1.0, output_usd_per_million_tokens=price)


@pytest.mark.parametrize("name", ["", "x" * 256, None, 5, "\x00", "\ud800"])
def test_bad_names_are_refused(name):
    with pytest.raises(InvalidConfigurationError, match=r"^Arm\(name=...\) "):
        Arm(name=name)


def test_a_preference_is_a_mapping():
    preference = Preference(quality=1, cost_usd=50)
    assert dict(preference) == {"quality": 1.0, "cost_usd": 50.0}
    assert len(preference) == 2
    assert "latency_seconds" not in preference
    assert preference.get("latency_seconds", 0.0) == 0.0
    assert {**preference} == preference
    assert repr(preference) == "Preference(quality=1, cost_usd=50)"
    assert all(isinstance(weight, float) for weight in preference.values())
    with pytest.raises(TypeError):
        preference["quality"] = 2.0
    with pytest.raises(AttributeError):
        preference.note = "no room"


def test_equal_preferences_are_one_key_whatever_their_order():
    one, other = Preference(quality=1, cost_usd=50), Preference(cost_usd=50.0, quality=1.0)
    assert one == other
    assert hash(one) == hash(other)
    assert {one: "found"}[other] == "found"
    assert one != Preference(quality=1, cost_usd=51)


@pytest.mark.parametrize("weights", [{}, {"quality": 0.0}, {"quality": 0, "cost_usd": 0}])
def test_a_preference_needs_a_weight(weights):
    with pytest.raises(
        InvalidConfigurationError, match=r"needs a weight above 0.*for example Preference\(quality=1.0\)"
    ):
        Preference(**weights)


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf, 1e51, True, np.True_, "1", None])
def test_bad_weights_are_refused(weight):
    with pytest.raises(InvalidConfigurationError, match=r"^preference cost_usd is "):
        Preference(quality=1.0, cost_usd=weight)


@pytest.mark.parametrize("given", [{}, {"text": "both", "features": np.zeros(2)}])
def test_a_request_is_text_or_features(given):
    with pytest.raises(InvalidRequestError, match="give exactly one of them"):
        Request(**given)


def test_an_empty_text_is_a_text():
    assert Request(text="").text == ""


def test_feedback_has_an_outcome():
    with pytest.raises(InvalidFeedbackError, match=r"decision 'abc' has no outcome; give at least one"):
        Feedback(decision_id="abc", values={}, received_at=0.0)


def test_the_ranking_is_the_chosen_arm_then_the_others_by_utility():
    assert decided().ranking == ("mid", "low", "big")
    assert decided(arm="big").ranking == ("big", "low", "mid")
    assert decided(utilities=np.zeros(3)).ranking == ("mid", "big", "low")


def test_a_decision_tells_a_fallback():
    assert not decided().fell_back
    assert decided(reason="fallback: the disk is full").fell_back


def test_explain_has_a_row_for_every_arm_in_the_order_of_the_ranking():
    explanation = decided().explain()
    assert [row.arm for row in explanation.rows] == ["mid", "low", "big"]
    row = explanation.rows[0]
    assert (row.probability, row.utility, row.utility_std, row.penalty) == (0.25, 0.3, 0.2, 0.125)
    assert dict(row.predictions) == {"quality": (0.8, 0.2), "cost_usd": (0.01, 0.002)}


def test_explain_prints_a_table():
    assert str(decided().explain()).splitlines() == [
        "mid with probability 0.250 by Greedy (reason: policy), Preference(quality=1, cost_usd=50)",
        "arm  probability  utility      penalty  quality     cost_usd",
        "mid  0.250        0.3 ± 0.2    0.125    0.8 ± 0.2   0.01 ± 0.002",
        "low  0.250        0.45 ± 0.25  0        0.5 ± 0.25  0.001 ± 0",
        "big  0.500        -0.1 ± 0.1   0        0.9 ± 0.1   0.02 ± 0.001",
    ]


def test_a_fallback_explains_itself_without_predictions():
    nothing = np.zeros((0, 3))
    decision = decided(reason="fallback: x", objectives=(), means=nothing, stds=nothing, utilities=np.zeros(3))
    assert str(decision.explain()).splitlines()[0].endswith("(reason: fallback: x), Preference(quality=1, cost_usd=50)")
    assert [dict(row.predictions) for row in decision.explain().rows] == [{}, {}, {}]


@pytest.mark.parametrize(("value", "field"), [(Arm(name="a"), "name"), (Request(text="t"), "text"), (decided(), "arm")])
def test_values_that_cross_rooms_are_frozen(value, field):
    with pytest.raises(AttributeError):
        setattr(value, field, "b")
