"""Hard limits: an arm that breaks them is not chosen, what is not known is allowed, and both are said."""

import math

import numpy as np
import pytest

from banditroute.core.arm import Arm
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.learners import EpsilonGreedy, Learner
from banditroute.limits import Limits
from banditroute.limits.constraints import excess
from banditroute.objectives.presets import CHEAPEST
from banditroute.policies import Uniform
from banditroute.router import Router
from tests.support import belief_of, spoil

MANY = np.full(3, 9.0)


class TestLimits:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"max_cost_usd": 0.0}, "max_cost_usd is 0.0; give a number above 0, or None for no limit"),
            ({"max_cost_usd": -1}, "max_cost_usd is -1; give a number above 0"),
            ({"max_cost_usd": "1"}, r"max_cost_usd is '1' \(str\); give a number"),
            ({"max_latency_seconds": math.nan}, "max_latency_seconds is nan; give a finite number"),
            ({"min_quality": 1.5}, "min_quality is 1.5; it must be at most 1"),
            ({"min_quality": True}, r"min_quality is True \(bool\)"),
            ({"requires": "eu"}, "requires is the string 'eu'; give a collection of strings"),
            ({"requires": 3}, r"requires is 3 \(int\); give a collection of strings"),
            ({"requires": [3]}, r"one of requires is 3 \(int\); give a string"),
        ],
    )
    def test_bad_limits_are_refused(self, given, message):
        with pytest.raises(InvalidConfigurationError, match=message):
            Limits(**given)

    def test_repr_shows_only_the_given_limits(self):
        assert repr(Limits()) == "Limits()"
        assert repr(Limits(min_quality=0.8, requires=["eu"])) == "Limits(min_quality=0.8, requires=('eu',))"

    def test_is_hashable_whatever_sequence_it_was_made_of(self):
        assert hash(Limits(requires=["eu"])) == hash(Limits(requires=("eu",)))


class TestExcess:
    def test_excess_equals_the_hand_computed_one(self):
        means = {"cost_usd": np.array([1.0, 2.0, 5.0]), "latency_seconds": np.array([6.0, 1.0, 1.0])}
        stds = {name: np.full(3, 9.0) for name in means}  # of no account: these are judged by expectation
        found = excess(Limits(max_cost_usd=2.0, max_latency_seconds=4.0), means, stds, dict.fromkeys(means, MANY))
        assert found.total == pytest.approx([0.5, 0.0, 1.5])  # 6 is .5 of 4 beyond 4; 5 is 1.5 of 2 beyond 2

    def test_quality_is_judged_by_its_lower_bound(self):
        # .9 - 1.645 x .1 = .7355; .9 - 1.645 x .2 = .571, which is .229 / .8 short of .8
        means, stds = np.array([0.9, 0.9, 0.9]), np.array([0.01, 0.1, 0.2])
        found = excess(Limits(min_quality=0.8), {"quality": means}, {"quality": stds}, {"quality": MANY})
        assert found.total == pytest.approx([0.0, 0.0645 / 0.8, 0.229 / 0.8])

    def test_an_arm_is_judged_from_its_fifth_outcome(self):
        counts = np.array([0.0, 4.0, 5.0])
        dear = {"cost_usd": np.full(3, 9.0)}
        found = excess(Limits(max_cost_usd=1.0), dear, dear, {"cost_usd": counts})
        assert found.total.tolist() == [0.0, 0.0, 8.0]
        assert found.unknown["max_cost_usd"].tolist() == [True, True, False]


def taught(outcomes, *, count=30, **settings):
    """A router that has heard ``count`` times of each arm what is given for it."""
    arms = [arm if isinstance(arm, Arm) else Arm(name=arm) for arm in settings.pop("arms", "abc")]
    router = Router(arms=arms, features=1, seed=0, **{"learner": Learner(policy=Uniform()), **settings})
    for name, values in outcomes.items():
        for _ in range(count):
            router.feedback(router.route([0.0], arms=[name], limits=Limits()).id, **values)
    return router


COSTS = {"a": {"cost_usd": 0.001}, "b": {"cost_usd": 0.004}, "c": {"cost_usd": 0.02}}


class TestRouter:
    def test_only_arms_that_keep_the_limit_are_chosen(self):
        router = taught(COSTS, limits=Limits(max_cost_usd=0.005))
        decisions = [router.route([0.0]) for _ in range(40)]
        assert {decision.arms for decision in decisions} == {("a", "b")}
        assert {decision.arm for decision in decisions} == {"a", "b"}
        assert {decision.reason for decision in decisions} == {"policy"}

    def test_a_requests_limits_only_tighten_the_routers(self):
        router = taught(COSTS, limits=Limits(max_cost_usd=0.005))
        assert router.route([0.0], limits=Limits(max_cost_usd=0.002)).arms == ("a",)
        assert router.route_many([[0.0]], limits=Limits(max_cost_usd=0.002))[0].arms == ("a",)
        assert router.route([0.0], limits=Limits(max_cost_usd=1.0)).arms == ("a", "b")
        assert router.route([0.0], limits=Limits()).arms == ("a", "b")

    def test_replace_limits_takes_the_place_of_the_routers(self):
        router = taught(COSTS, limits=Limits(max_cost_usd=0.005))
        assert router.route([0.0], replace_limits=Limits()).arms == ("a", "b", "c")
        both = router.route([0.0], replace_limits=Limits(), limits=Limits(max_cost_usd=0.002))
        assert both.arms == ("a",)

    def test_a_latency_limit_keeps_what_the_router_requires(self):
        arms = [Arm(name="eu", capabilities={"zone:eu"}), Arm(name="us")]
        router = Router(arms=arms, features=1, limits=Limits(requires=["zone:eu"]), seed=0)
        assert router.route([0.0], limits=Limits(max_latency_seconds=5.0)).arms == ("eu",)
        assert router.route([0.0], deadline_seconds=5.0).arms == ("eu",)

    def test_requires_asks_for_capabilities(self):
        arms = [Arm(name="a", capabilities={"tools", "vision"}), Arm(name="b", capabilities={"tools"}), Arm(name="c")]
        router = Router(arms=arms, features=1, seed=0)
        assert router.route([0.0], requires={"tools"}).arms == ("a", "b")
        assert [each.arms for each in router.route_many([[0.0]], requires={"tools", "vision"})] == [("a",)]
        with pytest.raises(InvalidRequestError, match=r"no arm is left: .*requires=\['audio'\]"):
            router.route([0.0], requires={"audio"})
        with pytest.raises(InvalidRequestError, match="requires is the string 'tools'"):
            router.route([0.0], requires="tools")
        with pytest.raises(InvalidRequestError, match="deadline_seconds is 0; give a number above 0"):
            router.route([0.0], deadline_seconds=0)

    def test_arms_whose_quality_cannot_be_judged_get_a_tenth_while_another_keeps_it(self):
        router = Router(arms=["a", "b"], features=1, preference=CHEAPEST, limits=Limits(min_quality=0.8), seed=0)
        for _ in range(60):
            for arm, cost in (("a", 0.005), ("b", 0.01)):
                router.feedback(router.route([0.0], arms=[arm]).id, quality=0.9, cost_usd=cost)
        router.add_arm(Arm(name="new", expected={"cost_usd": 0.0001}))
        decisions = [router.route([0.0]) for _ in range(500)]
        assert 20 <= sum(decision.arm == "new" for decision in decisions) <= 80
        assert all(decision.probabilities[decision.arms.index("new")] <= 0.1 + 1e-9 for decision in decisions)

    def test_arms_that_cannot_be_judged_are_tried_while_no_known_arm_is_good_enough(self):
        prices = {"small": 0.001, "large": 0.01}
        for seed in range(6):
            router = Router(
                arms=list(prices), features=1, preference=CHEAPEST, limits=Limits(min_quality=0.8), seed=seed
            )
            for _ in range(60):
                decision = router.route([0.0])
                router.feedback(decision.id, quality=float(decision.arm == "large"), cost_usd=prices[decision.arm])
            assert router.route([0.0]).arms == ("large",)

    def test_several_limits_hold_together(self):
        outcomes = {
            "a": {"quality": 0.2, "latency_seconds": 1.0},
            "b": {"quality": 0.9, "latency_seconds": 9.0},
            "c": {"quality": 0.9, "latency_seconds": 1.0},
        }
        router = taught(outcomes, limits=Limits(min_quality=0.5, max_latency_seconds=3.0))
        assert router.route([0.0]).arms == ("c",)

    def test_nearest_arm_is_used_where_no_arm_keeps_the_limits(self):
        router = taught(COSTS, limits=Limits(max_cost_usd=0.0005))
        decision = router.route([0.0])
        assert decision.arm == "a"
        assert decision.reason == (
            "limits: no arm is believed to keep Limits(max_cost_usd=0.0005); the one that breaks it least is used"
        )
        assert not decision.fell_back
        assert router.status().fallbacks == 0
        assert router.route([0.0], exclude=["a"]).arm == "b"

    def test_arm_with_unknown_cost_is_allowed_and_the_reason_given(self):
        router = taught({"a": COSTS["a"], "c": COSTS["c"]}, limits=Limits(max_cost_usd=0.005))
        decisions = [router.route([0.0]) for _ in range(40)]
        assert {decision.arms for decision in decisions} == {("a", "b")}
        reasons = {(decision.arm, decision.reason) for decision in decisions}
        assert reasons == {("a", "policy"), ("b", "limits: max_cost_usd cannot be judged yet of 'b'")}

    def test_arms_are_all_allowed_before_any_feedback(self):
        router = Router(arms=["a", "b"], features=1, limits=Limits(min_quality=0.9))
        assert router.route([0.0]).arms == ("a", "b")

    def test_a_computed_cost_is_judged_before_any_feedback(self):
        arms = [
            Arm(name="cheap", input_usd_per_million_tokens=1.0, output_usd_per_million_tokens=1.0),
            Arm(name="dear", input_usd_per_million_tokens=100.0, output_usd_per_million_tokens=1.0),
        ]
        router = Router(arms=arms, features=1, limits=Limits(max_cost_usd=0.01))
        decision = router.route([0.0], input_tokens=1000)  # $0.001 and $0.1, and 256 tokens of output
        assert (decision.arms, decision.reason) == (("cheap",), "policy")
        assert router.route([0.0]).arms == ("cheap", "dear")  # tokens that nobody counted

    def test_limits_leave_the_beliefs_alone(self):
        router = taught(COSTS)
        free, limited = router.route([0.0]), router.route([0.0], limits=Limits(max_cost_usd=0.005))
        assert np.array_equal(limited.means, free.means[:, :2])
        assert limited.probabilities.tolist() == [0.5, 0.5]

    def test_a_belief_that_is_not_finite_still_falls_back(self):
        router = taught(COSTS, limits=Limits(max_cost_usd=0.005))
        spoil(belief_of(router))
        assert router.route([0.0]).reason.startswith("fallback: the belief is not finite")


class TestRequiredTags:
    ARMS = (Arm(name="a", capabilities=("eu", "tools")), Arm(name="b", capabilities=("eu",)), Arm(name="c"))

    def test_only_arms_with_all_required_capabilities_are_chosen(self):
        router = Router(arms=self.ARMS, features=1, limits=Limits(requires=["eu"]))
        assert router.route([0.0]).arms == ("a", "b")
        assert router.route([0.0], limits=Limits(requires=["tools", "eu"])).arms == ("a",)
        assert router.route([0.0], exclude=["a"]).arms == ("b",)

    def test_tags_that_leave_nothing_are_the_callers_mistake(self):
        router = Router(arms=self.ARMS, features=1, limits=Limits(requires=["tools"]))
        message = r"no arm is left: arms=None, exclude=\['a'\], requires=\['tools'\] of a, b, c; leave at least one"
        with pytest.raises(InvalidRequestError, match=message):
            router.route([0.0], exclude=["a"])
        with pytest.raises(InvalidRequestError, match="no arm is left"):
            router.route_many([[0.0]], limits=Limits(requires=["us"]))
        with pytest.raises(InvalidConfigurationError, match=r"no arm is left: .*requires=\['us'\]"):
            Router(arms=self.ARMS, features=1, limits=Limits(requires=["us"]))

    @pytest.mark.parametrize("limits", [{"requires": ["eu"]}, "eu", 3])
    def test_limits_of_another_type_are_refused(self, limits):
        with pytest.raises(InvalidConfigurationError, match=r"limits is .*; give Limits\(...\)"):
            Router(arms=self.ARMS, limits=limits)
        with pytest.raises(InvalidRequestError, match=r"limits is .*; give Limits\(...\)"):
            Router(arms=self.ARMS, features=1).route([0.0], limits=limits)


class TestContextWindow:
    ARMS = (Arm(name="a", context_window_tokens=8_000), Arm(name="b", context_window_tokens=128_000), Arm(name="c"))

    def test_a_request_goes_only_where_it_fits(self):
        router = Router(arms=self.ARMS, features=1)
        assert router.route([0.0], input_tokens=8_000).arms == ("a", "b", "c")
        assert router.route([0.0], input_tokens=8_001).arms == ("b", "c")
        assert router.route([0.0], input_tokens=200_000).arms == ("c",)
        assert router.route([0.0]).arms == ("a", "b", "c")

    def test_largest_context_window_is_used_where_the_prompt_fits_nowhere(self):
        decision = Router(arms=self.ARMS[:2], features=1).route([0.0], input_tokens=200_000)
        assert (decision.arm, decision.propensity) == ("b", 1.0)
        assert decision.reason == "limits: no context window holds 200000 tokens; the largest is used"


def test_exploration_stays_within_the_limits():
    router = taught(COSTS, limits=Limits(max_cost_usd=0.005), learner=EpsilonGreedy(epsilon=1.0))
    assert {router.route([0.0]).arm for _ in range(60)} == {"a", "b"}
