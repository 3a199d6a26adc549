"""Evidence: pseudo-outcomes by hand and in expectation, and how often they ever promote what is not better."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.core.token_costs import TokenCosts
from banditroute.guard.evidence import GainBounds, paired_gain, utility_of
from banditroute.statistics.confidence_sequences import confidence_sequence

UNIT = {"low": 0.0, "high": 1.0}


class TestPairedGain:
    def test_gain_without_predictions_is_importance_weighting(self):
        learner, baseline = np.array([0.2, 0.8]), np.array([1.0, 0.0])
        gain = paired_gain(learner, baseline, 0.5 * (learner + baseline), np.zeros(2), **UNIT, truncation=0.0)
        np.testing.assert_allclose(gain.weight, [-0.8 / 0.6, 0.8 / 0.4])
        np.testing.assert_allclose(gain.weight + gain.below, [0.0 - 0.8, 2.0 - 0.8])  # of w < 0 the prediction is 1
        np.testing.assert_allclose(gain.weight + gain.above, [-0.8 / 0.6 + 0.8, 0.8])  # of w > 0 it is

    def test_gain_equals_the_hand_computed_one(self):
        # weights -1/.95 and 1/.05; predictions .6 and .7 keep: below .6 (k / w = 10 x .95), 10 / 20; above .6, .7
        learner, baseline = np.array([0.0, 1.0]), np.array([1.0, 0.0])
        gain = paired_gain(learner, baseline, np.array([0.95, 0.05]), np.array([0.6, 0.7]), **UNIT, truncation=10.0)
        np.testing.assert_allclose(0.9 * gain.weight + gain.below, [-0.3 / 0.95 + 0.5 - 0.6, 8.0 + 0.5 - 0.6])
        np.testing.assert_allclose(0.9 * gain.weight + gain.above, [-0.3 / 0.95 + 0.1, 4.0 + 0.1])

    def test_gain_has_no_noise_where_both_choose_alike(self):
        p = np.array([0.3, 0.7])
        gain = paired_gain(p, p, p, np.array([0.1, 0.9]), **UNIT, truncation=1.0)
        np.testing.assert_array_equal(gain, np.zeros((3, 2)))

    def test_many_at_once_are_each_by_itself(self):
        rng = np.random.default_rng(0)
        learner, baseline = rng.dirichlet(np.ones(3), (2, 5))
        rows = learner, baseline, 0.5 * (learner + baseline), rng.random((5, 3))
        together = paired_gain(*rows, **UNIT, truncation=2.0)
        for i in range(5):
            alone = paired_gain(*(each[i] for each in rows), **UNIT, truncation=2.0)
            np.testing.assert_allclose([each[i] for each in together], alone)

    @given(st.integers(0, 2**32), st.sampled_from([0.0, 0.4, 3.0, 50.0]), st.floats(0.01, 0.99))
    def test_paired_gain_is_unbiased_for_any_prediction_and_bounded(self, seed, truncation, share):
        rng = np.random.default_rng(seed)
        low, high = -2.0, 3.0
        learner, baseline = rng.dirichlet(np.full(4, 0.3), 2)
        mixed = (1.0 - share) * baseline + share * learner
        outcomes, predicted = rng.uniform(low, high, 4), rng.uniform(low - 1.0, high + 1.0, 4)
        gain = paired_gain(learner, baseline, mixed, predicted, low=low, high=high, truncation=truncation)
        truth = (learner - baseline) @ outcomes
        for offset in (gain.below, gain.above):
            assert mixed @ (gain.weight * outcomes + offset) == pytest.approx(truth, abs=1e-9)
        reach = (1.0 + truncation) * (high - low)
        for outcome in (low, high):
            assert (gain.weight * outcome + gain.below >= -reach - 1e-9).all()
            assert (gain.weight * outcome + gain.above <= reach + 1e-9).all()


def simulated(gain, *, share, runs, n, seed):
    """Bounds of the gain, ``(runs, n)`` each: two arms, contexts on which one or the other is better, and a learner
    that picks the second on half of them; what it predicts is learned from what was served."""
    rng = np.random.default_rng(seed)
    tells = 0.3 * rng.choice([-1.0, 1.0], (runs, n))  # of the second arm, cancels on average
    differs = rng.random((runs, n)) < 0.5
    learner = np.stack([~differs, differs], axis=-1).astype(float)
    baseline = np.broadcast_to([1.0, 0.0], learner.shape)
    mixed = (1.0 - share) * baseline + share * learner
    chosen = (rng.random((runs, n)) < mixed[..., 1]).astype(int)
    served = rng.random((runs, n)) < 0.5 + np.where(chosen == 1, tells + 2.0 * gain, 0.0)
    count = np.cumsum(np.ones(n)) + 1.0
    so_far = np.concatenate([np.full((runs, 1), 0.5), (0.5 + np.cumsum(served, axis=1))[:, :-1] / count[:-1]], axis=1)
    predicted = np.stack([so_far, so_far], axis=-1)
    truncation = 0.5 / min(share, 1.0 - share)
    pseudo = paired_gain(learner, baseline, mixed, predicted, **UNIT, truncation=truncation)
    weight, below, above = (np.take_along_axis(each, chosen[..., None], axis=-1)[..., 0] for each in pseudo)
    return confidence_sequence(
        weight * served + below, weight * served + above, low=-1.0, high=1.0, alpha=0.1, truncation=truncation / 2.0
    )


class TestErrors:
    """Each side errs with at most half of alpha = .1: what is no better is ever promoted in at most 5% of the runs."""

    @pytest.mark.parametrize("share", [0.05, 0.5])
    def test_learner_that_is_no_better_is_rarely_promoted(self, share):
        lower, upper = simulated(0.0, share=share, runs=1000, n=1500, seed=1)
        assert (lower > 0.0).any(axis=1).mean() <= 0.05
        assert (upper < 0.0).any(axis=1).mean() <= 0.05

    def test_one_who_looks_for_the_first_good_moment_would_be_wrong_often(self):
        """The simulation can tell: 1.645 standard errors, looked at all the time, promote a third."""
        rng = np.random.default_rng(0)
        differs, mine, y = rng.random((3, 1000, 1500)) < 0.5
        gain = np.where(differs, np.where(mine, 2.0, -2.0) * y, 0.0)
        n = np.arange(1, 1501)
        mean = np.cumsum(gain, axis=1) / n
        error = np.sqrt((np.cumsum(gain**2, axis=1) / n - mean**2) / n)
        assert (mean - 1.645 * error > 0.0)[:, 100:].any(axis=1).mean() > 0.2

    def test_better_learner_is_promoted_and_worse_one_is_found_out(self):
        lower, _ = simulated(0.08, share=0.5, runs=200, n=3000, seed=2)
        assert (lower > 0.0).any(axis=1).mean() > 0.95
        _, upper = simulated(-0.08, share=0.5, runs=200, n=3000, seed=3)
        assert (upper < 0.0).any(axis=1).mean() > 0.95


class TestGainBounds:
    def fed(self, *means, n=3000, **settings):
        bounds = GainBounds(**{"unit": 1.0, "alpha": 0.05, "truncation": 1.0, **settings})
        rng = np.random.default_rng(0)
        for mean in means:
            for _ in range(n):
                value = mean + rng.choice([-0.5, 0.5])
                bounds.add(value, value)
        return bounds

    def test_bounds_are_the_range_before_the_first_outcome(self):
        bounds = GainBounds(unit=3.0, alpha=0.05, truncation=1.0)
        assert (bounds.n, bounds.lower, bounds.upper) == (0, -3.0, 3.0)

    def test_the_whole_has_most_of_the_error_and_what_comes_later_ever_less(self):
        bounds = self.fed(0.1, n=4001)
        assert bounds.whole.alpha / 2.0 == pytest.approx(0.04)
        assert bounds.latest.alpha / 2.0 == pytest.approx(0.01 / 12.0)
        assert (bounds.whole.n, bounds.latest.n) == (4001, 1)

    def test_the_whole_bounds_what_stays(self):
        bounds = self.fed(0.3)
        assert bounds.lower == bounds.whole.lower
        assert bounds.lower < 0.3 < bounds.upper < bounds.lower + 0.1

    @pytest.mark.parametrize("now", [0.5, -0.5])
    def test_the_latest_shows_what_has_changed(self, now):
        bounds = self.fed(-now, now)
        assert bounds.n == 6000
        assert bounds.whole.n < 3000  # what was before is dropped, and not all at once
        assert bounds.lower < now < bounds.upper < bounds.lower + 0.2

    def test_goes_on_from_what_was_kept(self):
        bounds, again = self.fed(0.1, n=1500), GainBounds(unit=1.0, alpha=0.05, truncation=1.0)
        again.restore(json.loads(json.dumps(bounds.to_dict())))
        for each in (bounds, again):
            each.add(1.0, 1.0)
        assert again.to_dict() == bounds.to_dict()
        assert again.n == 1501

    def test_rounding_beyond_the_bounds_is_taken_back(self):
        bounds = GainBounds(unit=1.0, alpha=0.05, truncation=1.0)
        bounds.add(-2.0 - 1e-12, 2.0 + 1e-12)
        assert bounds.n == 1


class TestUtility:
    WORTH = {"quality": 1.0, "cost_usd": -50.0}  # noqa: RUF012

    def test_waits_for_all_that_counts(self):
        assert utility_of(self.WORTH, {"quality": 0.8}, None) is None
        assert utility_of(self.WORTH, {"quality": 0.8, "cost_usd": 0.002}, None) == pytest.approx(0.7)
        assert utility_of({"quality": 2.0}, {"quality": 0.8, "latency_seconds": 3.0}, None) == 1.6

    def test_cost_follows_from_tokens_unless_it_is_reported(self):
        tokens = {"quality": 0.8, "output_tokens": 100.0}
        assert utility_of(self.WORTH, tokens, None) is None
        assert utility_of(self.WORTH, tokens, TokenCosts(0.001, 1e-5)) == pytest.approx(0.7)
        assert utility_of(self.WORTH, {**tokens, "cost_usd": 0.01}, TokenCosts(0.001, 1e-5)) == pytest.approx(0.3)

    def test_a_failed_call_has_no_quality_and_the_cost_that_it_had(self):
        assert utility_of(self.WORTH, {"availability": 0.0}, None) == 0.0
        assert utility_of(self.WORTH, {"availability": 0.0, "cost_usd": 0.002}, None) == pytest.approx(-0.1)
        assert utility_of(self.WORTH, {"availability": 1.0}, None) is None

    def test_availability_counts_where_it_is_named(self):
        worth = {"quality": 1.0, "availability": 0.5}
        assert utility_of(worth, {"quality": 0.8}, None) == pytest.approx(1.3)
        assert utility_of(worth, {"availability": 0.0}, None) == 0.0
