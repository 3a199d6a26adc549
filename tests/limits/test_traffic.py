"""Traffic shares: what cannot be one, by hand, against brute force, and in a router."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from banditroute.errors import InvalidConfigurationError
from banditroute.learners import EpsilonGreedy, Learner
from banditroute.limits import Share
from banditroute.limits.traffic import check_shares, shaped
from banditroute.policies import Mixture, Uniform
from banditroute.router import Router

ARMS = ["a", "b", "c", "d"]


def never(positions):
    raise AssertionError("the policy is asked again for nothing")


def again(probabilities):
    """A policy that keeps proportions where some arms cannot be chosen."""

    def redraw(positions):
        left = np.asarray(probabilities)[positions]
        return left / left.sum()

    return redraw


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"at_least": -0.1}, "at_least is -0.1; it must be between 0 and 1"),
        ({"at_most": 1.5}, "at_most is 1.5; it must be between 0 and 1"),
        ({"at_most": math.nan}, "at_most is nan; give a finite number"),
        ({"at_least": True}, "at_least is True"),
        ({"at_most": "1"}, "at_most is '1'"),
        ({"at_least": 0.3, "at_most": 0.2}, "at_least is 0.3 and at_most 0.2; give at_least <= at_most"),
    ],
)
def test_bad_share_is_refused(given, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Share(**given)


class TestTogether:
    def test_floors_above_all(self):
        with pytest.raises(InvalidConfigurationError, match=r"at least 1.2 of the traffic together; lower at_least"):
            check_shares({"a": Share(at_least=0.6), "b": Share(at_least=0.6)}, ["a", "b"])

    def test_caps_below_all(self):
        caps = {"a": Share(at_most=0.6), "b": Share(at_most=0.3)}
        with pytest.raises(InvalidConfigurationError, match=r"at most 0.9 of the traffic together; raise at_most"):
            check_shares(caps, ["a", "b"])
        check_shares(caps, ["a", "b", "c"])

    def test_thirds_are_a_whole(self):
        check_shares(dict.fromkeys("abc", Share(at_least=1 / 3, at_most=1 / 3)), ["a", "b", "c"])


class TestByHand:
    def test_probabilities_within_the_shares_stay_unchanged(self):
        p = np.array([0.7, 0.2, 0.1])
        q, trouble = shaped(p, {"a": Share(at_most=0.7), "c": Share(at_least=0.1)}, ARMS[:3], never)
        assert q is p
        assert trouble is None

    def test_probability_above_a_cap_goes_where_the_policy_goes_without_the_arm(self):
        q, _ = shaped(np.array([0.9, 0.05, 0.05]), {"a": Share(at_most=0.2)}, ARMS[:3], lambda _: np.array([0.0, 1.0]))
        np.testing.assert_allclose(q, [0.2, 0.05, 0.75])

    def test_the_second_best_may_be_capped_too(self):
        asked = []

        def greedy(positions):
            asked.append(positions)
            return np.eye(len(positions))[0]

        caps = {"a": Share(at_most=0.2), "b": Share(at_most=0.3)}
        q, _ = shaped(np.array([1.0, 0.0, 0.0, 0.0]), caps, ARMS, greedy)
        np.testing.assert_allclose(q, [0.2, 0.3, 0.5, 0.0])
        assert asked == [[1, 2, 3], [2, 3]]

    def test_a_floor_is_taken_of_the_others_in_proportion(self):
        q, _ = shaped(np.array([0.6, 0.4, 0.0]), {"c": Share(at_least=0.1)}, ARMS[:3], never)
        np.testing.assert_allclose(q, [0.54, 0.36, 0.1])

    def test_filling_one_floor_may_reach_another(self):
        # .3 of c leaves .7 x (.8, .2) = (.56, .14), below b's .18; then a has the rest
        q, _ = shaped(np.array([0.8, 0.2, 0.0]), {"b": Share(at_least=0.18), "c": Share(at_least=0.3)}, ARMS[:3], never)
        np.testing.assert_allclose(q, [0.52, 0.18, 0.3])

    def test_cap_and_floor(self):
        traffic = {"a": Share(at_most=0.5), "c": Share(at_least=0.2)}
        q, _ = shaped(np.array([1.0, 0.0, 0.0]), traffic, ARMS[:3], lambda _: np.array([1.0, 0.0]))
        np.testing.assert_allclose(q, [0.4, 0.4, 0.2])

    def test_an_arm_may_get_a_fixed_share_and_another_nothing(self):
        traffic = {"a": Share(at_least=0.25, at_most=0.25), "b": Share(at_most=0.0)}
        q, _ = shaped(np.array([0.0, 0.6, 0.4]), traffic, ARMS[:3], again([0.0, 0.6, 0.4]))
        np.testing.assert_allclose(q, [0.25, 0.0, 0.75])

    def test_caps_that_leave_no_room_are_exceeded_by_one_factor(self):
        caps = {"a": Share(at_most=0.1), "b": Share(at_most=0.3)}
        q, trouble = shaped(np.array([0.5, 0.5]), caps, ["a", "b"], never)
        np.testing.assert_allclose(q, [0.25, 0.75])
        assert trouble == "traffic: the eligible arms may get 0.4 of the traffic together; their caps are exceeded"

    def test_policy_decides_where_all_caps_are_zero(self):
        p = np.array([0.4, 0.6])
        q, trouble = shaped(p, dict.fromkeys("ab", Share(at_most=0.0)), ["a", "b"], never)
        np.testing.assert_array_equal(q, p)
        assert "may get 0 of the traffic" in trouble


def closest(p, least, most):
    """The distribution within the bounds that is closest to ``p`` by relative entropy, by brute force."""
    found = minimize(
        lambda q: float(np.sum(q * np.log(np.maximum(q, 1e-300) / p))),
        np.clip(p, least, most),
        bounds=list(zip(least, most, strict=True)),
        constraints={"type": "eq", "fun": lambda q: q.sum() - 1.0},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert found.success
    return found.x


positive = st.lists(st.floats(0.02, 1.0), min_size=4, max_size=4).map(lambda some: np.array(some) / sum(some))
share = st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)).map(lambda s: Share(at_least=min(s) / 4.0, at_most=max(s)))


class TestAgainstBruteForce:
    @given(positive, st.lists(st.floats(0.0, 0.25), min_size=4, max_size=4))
    def test_floors_give_the_closest_probabilities(self, p, least):
        q, _ = shaped(p, {a: Share(at_least=each) for a, each in zip(ARMS, least, strict=True)}, ARMS, never)
        np.testing.assert_allclose(q, closest(p, least, np.ones(4)), atol=2e-4)

    @given(positive, st.lists(st.floats(0.25, 1.0), min_size=4, max_size=4))
    def test_caps_where_the_policy_keeps_proportions(self, p, most):
        q, _ = shaped(p, {a: Share(at_most=each) for a, each in zip(ARMS, most, strict=True)}, ARMS, again(p))
        np.testing.assert_allclose(q, closest(p, np.zeros(4), most), atol=2e-4)


@given(
    st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4).filter(any),
    st.dictionaries(st.sampled_from(ARMS), share, max_size=4),
    st.integers(0, 3),
)
def test_the_shares_are_kept_whatever_the_policy_does(weights, traffic, favourite):
    """A policy that has one favourite, and the last arm after it."""

    def redraw(positions):
        return np.eye(len(positions))[positions.index(favourite) if favourite in positions else -1]

    p = np.array(weights) / sum(weights)
    q, trouble = shaped(p, traffic, ARMS, redraw)
    assert q.sum() == pytest.approx(1.0, abs=1e-12)
    assert (q >= 0.0).all()
    for arm, each in zip(ARMS, q, strict=True):
        bounds = traffic.get(arm, Share())
        assert each >= bounds.at_least - 1e-9
        assert each <= bounds.at_most + 1e-9 or trouble is not None
    np.testing.assert_allclose(shaped(q, traffic, ARMS, redraw)[0], q, atol=1e-9)


def router(**settings):
    return Router(features=1, seed=0, **{"arms": ["a", "b", "c"], "learner": Learner(policy=Uniform()), **settings})


class TestRouter:
    def test_the_propensity_is_what_was_drawn_from(self):
        routes = router(traffic={"a": Share(at_most=0.1), "b": Share(at_least=0.6)})
        decisions = [routes.route([0.0]) for _ in range(3000)]
        for decision in decisions:
            np.testing.assert_allclose(decision.probabilities, [0.1 * 0.4 / 0.55, 0.6, 0.45 * 0.4 / 0.55])
            assert decision.propensity == decision.probabilities[decision.arms.index(decision.arm)]
            assert decision.reason == "policy"
        shares = [np.mean([d.arm == arm for d in decisions]) for arm in "abc"]
        np.testing.assert_allclose(shares, decisions[0].probabilities, atol=0.035)  # 4 standard errors

    def test_the_second_best_takes_what_a_canary_may_not(self):
        routes = router(learner=EpsilonGreedy(epsilon=0.0), traffic={"c": Share(at_most=0.2)})
        for arm, quality in {"a": 0.2, "b": 0.6, "c": 0.9}.items():
            for _ in range(30):
                routes.feedback(routes.route([0.0], arms=[arm]).id, quality=quality)
        np.testing.assert_allclose(routes.route([0.0]).probabilities, [0.0, 0.8, 0.2])

    def test_eligible_arms_share_the_rest_and_the_reason_says_what_was_exceeded(self):
        routes = router(traffic={"a": Share(at_most=0.2), "b": Share(at_least=0.7)})
        np.testing.assert_allclose(routes.route([0.0], exclude=["b"]).probabilities, [0.2, 0.8])
        decision = routes.route([0.0], arms=["a"])
        assert (decision.arm, decision.propensity) == ("a", 1.0)
        assert decision.reason.startswith("traffic: the eligible arms may get 0.2 of the traffic together")

    def test_a_policy_that_gives_no_distribution_is_not_mended(self):
        class Half:
            def probabilities(self, means, stds, *, arms, information):
                return np.full(len(arms), 0.5 / len(arms))

        routes = router(learner=Learner(policy=Half()), traffic={"b": Share(at_most=0.1), "c": Share(at_least=0.3)})
        assert routes.route([0.0]).fell_back

    def test_a_newcomer_comes_with_its_share_and_keeps_it_for_its_return(self):
        routes = router(learner=Learner(policy=Mixture(shares={"d": 1.0})))
        routes.add_arm("d", traffic=Share(at_most=0.1))
        assert routes.route([0.0]).probabilities[3] == pytest.approx(0.1)
        routes.remove_arm("d")
        routes.add_arm("e")
        routes.add_arm("d")
        assert routes.route([0.0]).probabilities[4] == pytest.approx(0.1)
        routes.set_traffic({"d": Share(at_most=0.5)})
        assert routes.route([0.0]).probabilities[4] == pytest.approx(0.5)
        routes.set_traffic({})
        assert routes.route([0.0]).probabilities[4] == 1.0

    @pytest.mark.parametrize(
        ("traffic", "message"),
        [
            (0.2, "traffic is 0.2; give shares of arms"),
            ({"a": 0.2}, "traffic is {'a': 0.2}; give shares of arms"),
            ({"x": Share(at_most=0.2)}, "traffic names an unknown arm 'x'; known arms: a, b, c"),
            (dict.fromkeys("abc", Share(at_most=0.2)), "at most 0.6 of the traffic together"),
            (dict.fromkeys("ab", Share(at_least=0.6)), "at least 1.2 of the traffic together"),
        ],
    )
    def test_infeasible_shares_are_refused_and_change_nothing(self, traffic, message):
        with pytest.raises(InvalidConfigurationError, match=message):
            router(traffic=traffic)
        routes = router(traffic={"a": Share(at_most=0.1)})
        with pytest.raises(InvalidConfigurationError, match=message):
            routes.set_traffic(traffic)
        assert routes.route([0.0]).probabilities[0] == pytest.approx(0.1)

    def test_arms_that_leave_too_little_room_cannot_go_nor_come(self):
        routes = router(traffic={"a": Share(at_most=0.3), "b": Share(at_most=0.6, at_least=0.6)})
        with pytest.raises(InvalidConfigurationError, match=r"at most 0.9 of the traffic together"):
            routes.remove_arm("c")
        with pytest.raises(InvalidConfigurationError, match=r"at least 1.1 of the traffic together"):
            routes.add_arm("d", traffic=Share(at_least=0.5))
        with pytest.raises(InvalidConfigurationError, match="traffic is"):
            routes.add_arm("d", traffic=0.5)
        assert routes.route([0.0]).arms == ("a", "b", "c")
