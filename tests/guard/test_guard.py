"""The guard: what cannot be one, and what a router makes of one: evidence, rollback, restart, other processes."""

import math

import numpy as np
import pytest

from banditroute.budgets import Budget
from banditroute.core.arm import Arm
from banditroute.core.preference import Preference
from banditroute.errors import IncompatibleStoreError, InvalidConfigurationError, StoreError
from banditroute.guard import Guard
from banditroute.learners import EpsilonGreedy, Learner
from banditroute.limits import Limits, Share
from banditroute.objectives import Objective, Scaled
from banditroute.policies import Mixture, Uniform
from banditroute.router import Router
from banditroute.store import MemoryStore, SQLStore
from tests.support import remember


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"baseline": 3}, "baseline is 3; give an arm, or arms with shares"),
        ({"baseline": ["a"]}, r"baseline is \['a'\]; give an arm, or arms with shares"),
        ({"baseline": {}}, "a baseline needs a share above 0, got {}"),
        ({"baseline": {"a": 0.0}}, "a baseline needs a share above 0"),
        ({"baseline": {"a": math.nan}}, "share of 'a' in the baseline is nan"),
        ({"baseline": {"a": -1.0}}, "share of 'a' in the baseline is -1.0"),
        ({"baseline": ""}, "arm of the baseline has 0 characters"),
        ({"shares": []}, r"shares is \[\]; give a list of shares"),
        ({"shares": 0.5}, "shares is 0.5; give a list of shares"),
        ({"shares": [0.0, 0.5]}, r"shares are \(0.0, 0.5\); give them above 0 and rising"),
        ({"shares": [0.5, 0.5]}, "give them above 0 and rising"),
        ({"shares": [0.5, 1.5]}, "share of the learner is 1.5; it must be at most 1"),
        ({"shares": [True]}, "share of the learner is True"),
        ({"tolerance": -0.1}, "tolerance is -0.1; it must be at least 0"),
        ({"tolerance": math.inf}, "tolerance is inf"),
        ({"alpha": 0.0}, "alpha is 0; give a probability above 0 and below 1"),
        ({"alpha": 1}, "alpha is 1; give a probability"),
        ({"alpha": "small"}, "alpha is 'small'"),
        ({"utility_range": (1.0, 0.0)}, r"utility_range is \(1.0, 0.0\); give the least before the most"),
        ({"utility_range": 1.0}, "utility_range is 1.0; give the least and the most"),
        ({"utility_range": (0.0, math.nan)}, "utility_range is nan"),
        ({"mode": "on"}, "mode is 'on'; give 'apply', 'observe' or 'bypass'"),
        ({"mode": []}, r"mode is \[\]"),
    ],
)
def test_bad_guard_settings_are_refused(given, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Guard(**{"baseline": "a", **given})


def test_the_callers_shares_are_its_own():
    shares = {"a": 1.0, "b": 3.0, "c": 0.0}
    guard = Guard(baseline=shares)
    shares["a"] = 9.0
    assert guard.mixture == {"a": 0.25, "b": 0.75}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def router(**settings):
    settings = {"arms": ["a", "b", "c"], "learner": Learner(policy=Mixture(shares={"b": 1.0})), **settings}
    return Router(**{"features": 1, "seed": 0, "clock": Clock(), "guard": Guard(baseline="a"), **settings})


def serve(routes, qualities, n):
    """The mean quality of n requests, and the share of each arm."""
    rng = np.random.default_rng(1)
    chosen = []
    for _ in range(n):
        decision = routes.route([0.0])
        chosen.append(decision.arm)
        routes.feedback(decision.id, quality=float(rng.random() < qualities[decision.arm]))
    assert routes.status().fallbacks == 0
    return {arm: chosen.count(arm) / n for arm in qualities}


class TestRouter:
    def test_a_worse_learner_costs_its_first_share_at_most(self):
        routes = router()
        shares = serve(routes, {"a": 0.8, "b": 0.3}, 2000)
        assert routes.status().rollout.share == 0.05
        assert shares["b"] <= 0.05 + 4.0 * math.sqrt(0.05 * 0.95 / 2000)

    def test_a_better_learner_is_promoted_and_a_fallen_one_rolled_back(self):
        routes = router(guard=Guard(baseline="a", shares=[0.2, 0.9]))
        serve(routes, {"a": 0.1, "b": 0.9}, 400)
        assert routes.status().rollout.share == 0.9
        serve(routes, {"a": 0.9, "b": 0.1}, 1000)
        assert routes.status().rollout.share == 0.2

    def test_the_propensity_is_what_was_drawn_from(self):
        routes = router(guard=Guard(baseline={"a": 1.0, "c": 1.0}, shares=[0.2]))
        decisions = [routes.route([0.0]) for _ in range(3000)]
        for decision in decisions:
            np.testing.assert_allclose(decision.probabilities, [0.4, 0.2, 0.4])
            assert decision.propensity == decision.probabilities[decision.arms.index(decision.arm)]
            assert decision.reason == "guard: the learner decides 0.2 of the requests"
        found = [np.mean([d.arm == arm for d in decisions]) for arm in "abc"]
        np.testing.assert_allclose(found, [0.4, 0.2, 0.4], atol=0.036)

    def test_shares_of_the_traffic_hold_of_the_mixture(self):
        traffic = {"b": Share(at_most=0.1), "c": Share(at_least=0.3)}
        routes = router(guard=Guard(baseline="a", shares=[0.5]), traffic=traffic)
        # learner: b .1, then a and c .45 each; baseline: a .7, c .3
        np.testing.assert_allclose(routes.route([0.0]).probabilities, [0.575, 0.05, 0.375])

    def test_learns_what_the_learner_is_worth_from_both(self):
        routes = router(learner=EpsilonGreedy(epsilon=0.1), guard=Guard(baseline="a", shares=[0.2, 0.9]))
        serve(routes, {"a": 0.2, "b": 0.9, "c": 0.2}, 1500)
        assert routes.status().rollout.share == 0.9
        np.testing.assert_allclose(routes.route([0.0]).means[0], [0.2, 0.9, 0.2], atol=0.1)

    def test_learner_serves_where_the_baseline_may_not(self):
        decision = router().route([0.0], exclude=["a"])
        np.testing.assert_array_equal(decision.probabilities, [1.0, 0.0])
        assert decision.reason == "guard: no arm of the baseline is eligible; the learner decides"

    def test_limits_come_before_the_guard(self):
        arms = [Arm(name="a", context_window_tokens=10), Arm(name="b", context_window_tokens=20), "c"]
        routes = router(arms=arms, limits=Limits(max_cost_usd=0.1))
        assert routes.route([0.0], input_tokens=30).arms == ("c",)
        assert routes.route([0.0], input_tokens=5).reason.startswith("limits: max_cost_usd cannot be judged yet")

    def test_bypass_is_an_instant_rollback_that_outlives_a_restart(self):
        store = MemoryStore()
        guard = Guard(baseline="a", shares=[0.2, 0.9])
        with router(store=store, guard=guard) as routes:
            serve(routes, {"a": 0.1, "b": 0.9}, 400)
            assert routes.status().rollout.share == 0.9
            routes.set_guard_mode("bypass")
            np.testing.assert_array_equal(routes.route([0.0]).probabilities, [1.0, 0.0, 0.0])
        with router(store=store, guard=guard) as routes:
            assert routes.status().rollout.mode == "bypass"
            assert routes.route([0.0]).reason == "guard: mode bypass"
            routes.set_guard_mode("apply")
            assert routes.status().rollout.share == 0.2
        with router(store=store, guard=guard) as routes:
            assert (routes.status().rollout.mode, routes.status().rollout.share) == ("apply", 0.2)

    def test_evidence_outlives_a_restart(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'routes.db'}"
        with router(store=SQLStore(url)) as routes:
            serve(routes, {"a": 0.5, "b": 0.6}, 30)
            before = routes.status().rollout
        assert before.decisions == 30
        with router(store=SQLStore(url)) as routes:
            assert routes.status().rollout == before

    def test_another_process_follows_a_rollback(self, tmp_path, until):
        url = f"sqlite:///{tmp_path / 'routes.db'}"
        clock = Clock()
        with router(store=SQLStore(url), clock=clock) as here, router(store=SQLStore(url), clock=clock) as there:
            here.set_guard_mode("bypass")

            def followed():
                serve(here, {"a": 0.5, "b": 0.6}, 1)
                return there.status().rollout.mode == "bypass"

            until(followed)

    def test_cost_follows_from_the_prices_of_tokens(self):
        arms = [
            Arm(name=name, input_usd_per_million_tokens=0.0, output_usd_per_million_tokens=price)
            for name, price in (("a", 1.0), ("b", 9.0))
        ]
        guard = Guard(baseline="a", shares=[0.2, 0.8], utility_range=(-1.0, 1.0))
        routes = router(arms=arms, guard=guard, preference=Preference(quality=1.0, cost_usd=100.0))
        for _ in range(800):
            decision = routes.route([0.0], input_tokens=10)
            routes.feedback(decision.id, quality=0.5, output_tokens=1000)
        assert routes.status().rollout.decisions == 800
        assert -1.0 < routes.status().rollout.lower < -0.8 < routes.status().rollout.upper < -0.6  # $0.008 more

    def test_a_failure_is_as_bad_as_a_worthless_answer(self):
        routes = router(guard=Guard(baseline="a", shares=[0.5, 0.9]), breaker=None)
        for _ in range(300):
            decision = routes.route([0.0])
            if decision.arm == "a":
                routes.feedback(decision.id, failed=True)
            else:
                routes.feedback(decision.id, quality=0.9)
        assert routes.status().rollout.share == 0.9

    def test_works_beside_a_budget(self):
        routes = router(learner=Learner(policy=Uniform()), budgets=[Budget(usd=0.01)])
        for _ in range(50):
            decision = routes.route([0.0])
            routes.feedback(decision.id, quality=1.0, cost_usd=0.001)
        assert routes.status().rollout.decisions == 50
        assert routes.status().fallbacks == 0

    def test_a_rollback_holds_even_where_it_cannot_be_recorded(self):
        class Full(MemoryStore):
            def flush(self):
                raise StoreError("the disk is full")

        routes = router(store=Full())
        with pytest.raises(StoreError, match="the disk is full"):
            routes.set_guard_mode("bypass")
        np.testing.assert_array_equal(routes.route([0.0]).probabilities, [1.0, 0.0, 0.0])

    def test_a_request_may_prefer_otherwise(self):
        routes = router()
        decision = routes.route([0.0], preference={"quality": 1.0, "latency_seconds": 0.1})
        routes.feedback(decision.id, quality=0.5)
        assert routes.status().rollout.decisions == 0
        routes.feedback(decision.id, latency_seconds=2.0)
        assert routes.status().rollout.decisions == 1

    def test_outcomes_of_sessions_and_comparisons_are_no_evidence(self):
        routes = router()
        first = routes.route([0.0], session="s")
        second = routes.route([0.0], exclude=[first.arm], session="s")
        routes.compare([first.id, second.id])
        routes.session_feedback("s", quality=1.0)
        assert routes.status().rollout.decisions == 0

    def test_router_without_a_guard_has_no_rollout(self):
        routes = router(guard=None)
        assert routes.status().rollout is None
        with pytest.raises(InvalidConfigurationError, match="the router has no guard; make it with Router"):
            routes.set_guard_mode("bypass")

    def test_an_unknown_mode_changes_nothing(self):
        routes = router()
        with pytest.raises(InvalidConfigurationError, match="mode is 'off'; give 'apply', 'observe' or 'bypass'"):
            routes.set_guard_mode("off")
        assert routes.status().rollout.since is None

    def test_the_last_arm_of_the_baseline_stays(self):
        routes = router(guard=Guard(baseline={"a": 0.5, "c": 0.5}))
        routes.remove_arm("c")
        with pytest.raises(InvalidConfigurationError, match="'a' is the last arm of the guard's baseline"):
            routes.remove_arm("a")
        np.testing.assert_allclose(routes.route([0.0]).probabilities, [0.95, 0.05])

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"guard": "a"}, "guard is 'a'; give Guard"),
            ({"guard": Guard(baseline="x")}, "the baseline names an unknown arm 'x'; known arms: a, b, c"),
            ({"traffic": {"a": Share(at_most=0.5)}}, "gives 'a' 1 of the requests, and traffic at most 0.5"),
            ({"preference": {"quality": 1.0, "cost_usd": 50.0}}, "no range for the guard; give it one"),
            ({"preference": Scaled(weights={"quality": 1.0, "cost_usd": 1.0})}, "gives the utility no range"),
        ],
    )  # fmt: skip
    def test_guard_that_does_not_fit_the_router_is_refused(self, settings, message):
        with pytest.raises(InvalidConfigurationError, match=message):
            router(**settings)

    def test_the_range_follows_from_the_preference(self):
        helpful = Objective(name="helpfulness", higher_is_better=True, low=1.0, high=5.0, prior_mean=3.0)
        waste = Objective(name="waste", higher_is_better=False, low=0.0, high=1.0, prior_mean=0.5)
        routes = router(objectives=[helpful, waste], preference={"helpfulness": 0.5, "waste": 2.0})
        assert (routes.status().rollout.lower, routes.status().rollout.upper) == (-4.0, 4.0)  # .5 x 1 - 2 x 1 to .5 x 5

    def test_a_cap_below_the_baseline_is_refused_later_too(self):
        routes = router()
        with pytest.raises(InvalidConfigurationError, match="the baseline gives 'a' 1 of the requests"):
            routes.set_traffic({"a": Share(at_most=0.5)})

    @pytest.mark.parametrize("name", ["guard", "guard_evidence"])
    def test_a_damaged_state_is_refused_and_the_store_let_go(self, name):
        for blob in (b"\xff", b"{", b"[]"):
            store = MemoryStore()
            remember(store, name, blob)
            with pytest.raises(IncompatibleStoreError, match="the stored state '" + name + "' is damaged"):
                router(store=store)
            assert store.trouble is not None
