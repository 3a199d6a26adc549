"""Arms state outcomes of known objectives, within their ranges, and of a usual size."""

from decimal import Decimal

import pytest

from banditroute import Arm, InvalidConfigurationError, Objective, Router

HELPFUL = Objective(name="helpfulness", higher_is_better=True, low=1.0, high=5.0, prior_mean=3.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"expected": {"qualty": 0.7}}, r"the unknown objective 'qualty' \(expected\); known objectives: .*quality"),
        ({"expected": {"quality": 7.0}}, r"quality of arm 'a' \(expected\) is 7.0; it must be between 0 and 1"),
        ({"expected": {"cost_usd": -1.0}}, "it must be at least 0"),
        ({"expected": {"helpfulness": 0.5}}, "it must be between 1 and 5"),
        ({"profile": {"speed": {"x0": 1.0}}}, r"the unknown objective 'speed' \(profile\)"),
        ({"profile": {"quality": {"x0": 1.5}}}, r"quality of arm 'a' \(profile, 'x0'\) is 1.5"),
    ],
)
def test_stated_outcome_that_cannot_be_is_refused_by_router_and_add_arm(given, message):
    arm = Arm(name="a", **given)
    with pytest.raises(InvalidConfigurationError, match=message):
        Router(arms=[arm, "b"], features=1, objectives=[HELPFUL])
    router = Router(arms=["b"], features=1, objectives=[HELPFUL])
    with pytest.raises(InvalidConfigurationError, match=message):
        router.add_arm(arm)
    assert [arm.name for arm in router.arms] == ["b"]
    assert not router.route([0.5]).fell_back


@pytest.mark.parametrize(
    "given",
    [
        {"expected": {"cost_usd": 1e155}},
        {"profile": {"cost_usd": {"x0": 1e155}}},
        {"descriptors": {"size": -1e155}},
        {"max_cost_usd": 1e155},
        {"input_usd_per_million_tokens": 1e155, "output_usd_per_million_tokens": 1.0},
    ],
)
def test_absurd_number_is_refused_with_the_arm(given):
    with pytest.raises(InvalidConfigurationError, match=r"1e\+155; it must be between"):
        Arm(name="a", **given)


@pytest.mark.parametrize(
    "given",
    [
        {"expected": {"cost_usd": 1e50}},
        {"expected": {"cost_usd": 0.002, "helpfulness": 4.0}},
        {"input_usd_per_million_tokens": 1e50, "output_usd_per_million_tokens": 1e50},
    ],
)
def test_largest_number_that_is_taken_can_be_routed(given):
    arms = [Arm(name="a", **given), Arm(name="b")]
    preference = {"quality": 1, "cost_usd": 1e50}
    with Router(arms=arms, features=1, objectives=[HELPFUL], preference=preference, seed=0) as router:
        decisions = [router.route([0.5], input_tokens=1_000) for _ in range(3)]
        assert not any(decision.fell_back for decision in decisions)


def test_decimals_of_a_profile_become_floats():
    arm = Arm(name="a", profile={"quality": {"x0": Decimal("0.5")}})
    assert type(arm.profile["quality"]["x0"]) is float
