"""Verdicts on logs without a difference, and with one: they are seldom wrong and still find what is there."""

from dataclasses import replace

import numpy as np
import pytest

from banditroute import Preference
from banditroute.evaluate import evaluate, reporting_weights
from banditroute.logs import DecisionLog


def two_arms(seed, *, rows, explored, old, new):
    """A log of an arm that serves most requests and one that serves the share ``explored``."""
    rng = np.random.default_rng(seed)
    is_new = rng.random(rows) < explored
    return DecisionLog(
        arms=("old", "new"),
        chosen=is_new.astype(int),
        eligible=np.ones((rows, 2), dtype=bool),
        propensities=np.where(is_new, explored, 1.0 - explored),
        contexts=np.ones((rows, 1)),
        outcomes={"quality": (rng.random(rows) < np.where(is_new, new, old)).astype(float)},
        decided_at=np.arange(float(rows)),
    )


def decided(verdict):
    return "been better" in verdict or "been worse" in verdict


@pytest.mark.parametrize("quality", [0.99, 0.0, 1.0, 0.01])
@pytest.mark.parametrize("against", ["old", "logged"])
def test_no_difference_is_shown_where_there_is_none(quality, against):
    logs = (two_arms(seed, rows=2_400, explored=0.05, old=quality, new=quality) for seed in range(30))
    assert sum(decided(evaluate(log, "new", against=against).verdict) for log in logs) <= 1  # 9 of 40 before


def test_equal_outcomes_have_intervals():
    found = evaluate(two_arms(0, rows=2_400, explored=0.05, old=1.0, new=1.0), "new", against="old").utility
    for each in (found.value, found.against, found.difference, *found.estimates.values()):
        assert each.upper - each.lower > 0.001
    assert found.difference.lower < -0.01
    assert found.value.upper <= 1.0


def test_a_gain_of_two_points_is_found():
    logs = [two_arms(seed, rows=20_000, explored=0.2, old=0.9, new=0.92) for seed in range(10)]
    assert sum("been better" in evaluate(log, "new", against="old").verdict for log in logs) >= 7


def test_dollars_that_are_equal_by_luck_are_not_certain():
    """One call in a hundred costs a hundred times as much; an arm with 120 calls has often shown none."""
    wrong = 0
    for seed in range(30):
        log = two_arms(seed, rows=2_400, explored=0.05, old=1.0, new=1.0)
        dear = np.random.default_rng(seed + 1000).random(2_400) < 0.01
        log = replace(log, outcomes={**log.outcomes, "cost_usd": np.where(dear, 0.1, 0.001)})
        wrong += decided(evaluate(log, "new", against="old", preference=Preference(quality=1.0, cost_usd=1.0)).verdict)
    assert wrong <= 3


@pytest.mark.parametrize(
    ("objective", "amounts"),
    [
        ("latency_seconds", lambda rng: np.exp(2.0 * rng.standard_normal(2_400))),
        ("energy_joules", lambda rng: 1.0 + rng.pareto(1.5, 2_400)),
        (
            "cost_usd",
            lambda rng: np.where(np.arange(2_400) == rng.integers(2_400), 1e6, 0.001 + rng.random(2_400) / 1e4),
        ),
    ],
    ids=["lognormal", "pareto", "one outlier"],
)
def test_heavy_tails_show_no_difference_where_there_is_none(objective, amounts):
    wrong = 0
    for seed in range(10):
        log = two_arms(seed, rows=2_400, explored=0.2, old=1.0, new=1.0)
        log = replace(log, outcomes={objective: amounts(np.random.default_rng(seed + 1000))})
        wrong += decided(evaluate(log, "new", against="old", preference=Preference(**{objective: 1.0})).verdict)
    assert wrong <= 2  # more than 2 of 10 have a chance of 1.2% at an error of 5%


class TestMissingFeedback:
    def log(self, seed=0, rows=6_000):
        """Hard requests are reported seldom for the new arm, which is as good as the old on each of them."""
        rng = np.random.default_rng(seed)
        hard, is_new = rng.random(rows) < 0.5, rng.random(rows) < 0.5
        right = rng.random(rows) < np.where(hard, 0.4, 0.9)
        reported = rng.random(rows) < np.where(is_new & hard, 0.2, 0.9)
        return DecisionLog(
            arms=("new", "old"),
            chosen=np.where(is_new, 0, 1),
            eligible=np.ones((rows, 2), dtype=bool),
            propensities=np.full(rows, 0.5),
            contexts=np.stack([hard.astype(float), np.ones(rows)], axis=1),
            outcomes={"quality": np.where(reported, right.astype(float), np.nan)},
            decided_at=np.arange(float(rows)),
        )

    def test_shares_are_told_and_a_difference_is_warned_of(self):
        found = evaluate(self.log(), "new", against="old")
        assert found.feedback["old"] == pytest.approx(0.9, abs=0.02)
        assert found.feedback["new"] == pytest.approx(0.55, abs=0.02)
        assert "\nwith feedback: new 5" in str(found)
        assert "\nwarning: feedback came for 90% of the decisions for old and for 5" in str(found)
        whole = replace(self.log(), outcomes={"quality": np.ones(6_000)})
        assert "feedback" not in str(evaluate(whole, "new"))

    def test_reweighing_corrects_for_reporting_by_context_and_arm(self):
        truth, weighted = 0.65, []
        for seed in range(5):
            log = self.log(seed)
            assert evaluate(log, "new").verdict.startswith("No answer: importance weights average 0.")
            weighted.append(evaluate(log, "new", against="old", missing="weight").utility)
        assert np.mean([each.value.value for each in weighted]) == pytest.approx(truth, abs=0.02)
        assert all(each.difference.lower < 0.0 < each.difference.upper for each in weighted)
        assert all(each.value.lower < truth < each.value.upper for each in weighted)
        assert weighted[0].anytime is None

    def test_weights_are_inverse_chances(self):
        observed = np.tile([True, True, False, True], 500)
        weights = reporting_weights(observed, np.ones((2_000, 0)), np.zeros(2_000, dtype=int), arms=1)
        assert weights[2] == 0.0
        assert weights[0] == pytest.approx(4 / 3, rel=0.02)
