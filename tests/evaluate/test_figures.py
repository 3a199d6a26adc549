"""Regret, ranking scores, calibration and the use of arms: by hand, and beside published figures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute import InvalidInputError, Preference
from banditroute.evaluate import (
    arm_use,
    calibration,
    cost_of_pass,
    cumulative_regret,
    router_arena_score,
)
from banditroute.logs import OutcomeTable
from banditroute.simulate.metrics import references, summarize
from banditroute.simulate.replay import Trace


class TestRegret:
    TABLE = OutcomeTable(
        name="toy",
        prompts=("a", "b", "c", "d"),
        tasks=("sums", "odes", "sums", "odes"),
        arms=("cheap", "dear"),
        outcomes={
            "quality": np.array([[0.0, 1.0], [1.0, 0.5], [0.25, 1.0], [0.0, 1.0]]),
            "cost_usd": np.array([[0.0, 0.02]] * 4),
        },
    )
    PREFER = Preference(quality=1.0, cost_usd=10.0)

    def test_cumulative_regret_equals_the_hand_computed_one(self):
        # Utilities (0, .8), (1, .3), (.25, .8), (0, .8). Best arm: dear. Sums: dear; odes: dear (1.1 against 1).
        trace = Trace(policy="p", seed=0, rows=np.array([3, 1, 0, 2]), chosen=np.array([0, 0, 1, 0]))
        found = cumulative_regret(self.TABLE, self.PREFER, trace)
        np.testing.assert_allclose(found["best arm"], np.cumsum([0.8, 0.3 - 1.0, 0.0, 0.8 - 0.25]))
        np.testing.assert_allclose(found["best arm per task"], found["best arm"])
        np.testing.assert_allclose(found["oracle"], np.cumsum([0.8, 0.0, 0.0, 0.55]))

    def test_ends_where_the_report_does(self):
        rng = np.random.default_rng(0)
        table = OutcomeTable(
            name="any", prompts=("",) * 50, tasks=tuple(rng.choice(list("abc"), 50)), arms=("x", "y", "z"),
            outcomes={"quality": rng.random((50, 3))},
        )  # fmt: skip
        preference = Preference(quality=1.0)
        trace = Trace(policy="p", seed=0, rows=rng.permutation(50), chosen=rng.integers(3, size=50))
        found = cumulative_regret(table, preference, trace)
        assert found["best arm"][-1] == pytest.approx(summarize(table, preference, "p", [trace]).regret.mean)
        rows = {row.policy: row.utility.mean * 50 for row in references(table, preference)}
        had = trace.outcome(table.outcomes["quality"]).sum()
        assert found["best arm per task"][-1] == pytest.approx(rows["best arm per task"] - had)
        assert found["oracle"][-1] == pytest.approx(rows["oracle per query"] - had)


class TestRouterArena:
    @pytest.mark.parametrize(
        ("accuracy", "cost", "score"),
        [(0.6688, 0.15, 66.89), (0.6809, 0.54, 66.66), (0.7396, 10.02, 64.32), (0.1818, 0.0518, 19.53)],
        ids=["MIRT-BERT", "Azure", "GPT-5", "A3M"],
    )
    def test_router_arena_score_equals_the_published_ones(self, accuracy, cost, score):
        """They are rounded: to a cent, and accuracy to a hundredth of a point."""
        assert 100.0 * router_arena_score(accuracy=accuracy, cost_usd_per_1000=cost) == pytest.approx(score, abs=0.02)

    def test_router_arena_score_equals_the_hand_computed_one(self):
        middle = math.sqrt(200.0 * 0.0044)  # C = 1/2
        expected = 1.1 * 0.8 * 0.5 / (0.08 + 0.5)
        assert router_arena_score(accuracy=0.8, cost_usd_per_1000=middle) == pytest.approx(expected)
        assert router_arena_score(accuracy=0.8, cost_usd_per_1000=middle, beta=1.0) == pytest.approx(0.8 / 1.3)

    def test_router_arena_score_is_one_at_best_and_zero_at_worst(self):
        assert router_arena_score(accuracy=1.0, cost_usd_per_1000=0.0) == pytest.approx(1.0)
        assert router_arena_score(accuracy=1.0, cost_usd_per_1000=500.0) == 0.0
        assert router_arena_score(accuracy=0.0, cost_usd_per_1000=200.0) == 0.0

    @pytest.mark.parametrize(
        "given",
        [
            {"accuracy": 66.0, "cost_usd_per_1000": 1.0},
            {"accuracy": math.nan, "cost_usd_per_1000": 1.0},
            {"accuracy": 0.5, "cost_usd_per_1000": -1.0},
            {"accuracy": 0.5, "cost_usd_per_1000": True},
            {"accuracy": 0.5, "cost_usd_per_1000": 1.0, "beta": 0.0},
        ],
    )
    def test_router_arena_score_refuses_bad_numbers(self, given):
        with pytest.raises(InvalidInputError):
            router_arena_score(**given)


def test_cost_of_pass_counts_wrong_answers_and_leaves_out_what_is_unknown():
    assert cost_of_pass(np.array([1.0, 0.5, 0.0]), np.array([3.0, 3.0, 6.0])) == pytest.approx(8.0)
    assert cost_of_pass(np.array([1.0, math.nan, 1.0]), np.array([3.0, 9.0, math.nan])) == pytest.approx(3.0)
    assert cost_of_pass(np.zeros(2), np.ones(2)) == math.inf
    assert cost_of_pass([1.0, 0.0], [1.0, 2.0]) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("quality", "costs", "match"),
    [
        ([1.0, 1.0], [1.0], r"quality has shape \(2,\) and costs \(1,\)"),
        ([[1.0]], [[1.0]], "give one number of each request"),
        (["good"], [1.0], "must hold numbers"),
    ],
)
def test_cost_of_pass_refuses_what_is_not_one_number_of_each_request(quality, costs, match):
    with pytest.raises(InvalidInputError, match=match):
        cost_of_pass(quality, costs)


class TestCalibration:
    def test_calibration_equals_the_hand_computed_one(self):
        predicted = np.array([0.9, 0.1, 0.3, 0.5, 0.8])
        observed = np.array([1.0, 0.0, 1.0, 0.0, np.nan])
        found = calibration(predicted, observed, bins=2)
        np.testing.assert_allclose(found.predicted, [0.2, 0.7])
        np.testing.assert_allclose(found.observed, [0.5, 0.5])
        assert found.rows.tolist() == [2, 2]
        assert found.error == pytest.approx((0.3 + 0.2) / 2)
        assert found.bias == pytest.approx(1.8 / 4 - 0.5)

    def test_unknown_outcomes_are_in_no_bin(self):
        found = calibration(np.array([0.1, 0.9, 0.5]), np.array([0.0, np.nan, 1.0]))
        assert (found.predicted.tolist(), found.observed.tolist(), found.rows.tolist()) == ([0.1, 0.5], [0, 1], [1, 1])

    def test_calibrated_predictions_have_little_error(self):
        rng = np.random.default_rng(0)
        p = rng.random(20_000)
        observed = (rng.random(20_000) < p).astype(float)
        assert calibration(p, observed).error < 0.02
        assert calibration(p**2, observed).error == pytest.approx(1 / 6, abs=0.02)  # the integral of p - p^2

    @pytest.mark.parametrize(
        ("predicted", "observed", "bins"),
        [(np.zeros(3), np.zeros(2), 1), (np.zeros((2, 2)), np.zeros((2, 2)), 1), (np.zeros(3), np.zeros(3), 0),
         (np.zeros(3), np.full(3, np.nan), 1)],
    )  # fmt: skip
    def test_calibration_refuses_bad_arrays(self, predicted, observed, bins):
        with pytest.raises(InvalidInputError):
            calibration(predicted, observed, bins=bins)


class TestArmUse:
    def test_arm_use_equals_the_hand_computed_one(self):
        use = arm_use(np.array([0, 0, 0, 2]), ["a", "b", "c"], last=2)
        assert use.shares == {"a": 0.75, "b": 0.0, "c": 0.25}
        assert use.entropy_nats == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
        assert use.effective_arms == pytest.approx(math.exp(use.entropy_nats))
        assert use.recently == pytest.approx(2.0)
        assert use.alarm is None

    def test_collapse_to_one_arm_raises_the_alarm(self):
        varied, one = np.arange(500) % 4, np.full(1000, 2)
        one[::100] = 0
        use = arm_use(np.concatenate([varied, one]), list("abcd"))
        assert use.alarm is not None
        expected = (
            "99.0% of the last 1,000 decisions are 'c', where traffic was distributed as over 4.0 equally used arms "
            "before"
        )
        assert expected in use.alarm
        assert "exploration floor" in use.alarm

    @pytest.mark.parametrize(
        "chosen", [np.full(150, 1), np.arange(3000) % 2, np.append(np.full(2000, 1), np.arange(1000) % 4)]
    )
    def test_no_alarm_where_nothing_collapsed(self, chosen):
        assert arm_use(chosen, list("abcd")).alarm is None

    def test_traffic_on_one_arm_from_the_start_raises_the_alarm(self):
        chosen = np.full(2500, 1)
        chosen[::125] = 0
        use = arm_use(chosen, list("abcd"))
        assert use.alarm is not None
        assert use.alarm.startswith("99.2% of the last 1,000 decisions are 'b', from the start; check")
        assert arm_use(chosen * 0, ["a"]).alarm is None  # nothing else could be chosen
        assert use.jain == pytest.approx(1.0 / (4.0 * (0.992**2 + 0.008**2)))

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
    def test_between_one_arm_and_all(self, chosen):
        use = arm_use(np.array(chosen), list("abcd"), last=5)
        assert 1.0 - 1e-12 <= use.effective_arms <= len(set(chosen)) + 1e-9
        assert sum(use.shares.values()) == pytest.approx(1.0)

    @pytest.mark.parametrize("chosen", [np.array([], dtype=int), np.array([4]), np.array([-1]), np.array([0.5])])
    def test_arm_use_refuses_bad_positions(self, chosen):
        with pytest.raises(InvalidInputError, match="positions from 0 to 3"):
            arm_use(chosen, list("abcd"))
        with pytest.raises(InvalidInputError, match="last is 0"):
            arm_use(np.array([0]), list("abcd"), last=0)
