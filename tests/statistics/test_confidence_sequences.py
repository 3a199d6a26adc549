"""Confidence sequences: by hand, one by one against all at once, and how often they ever miss."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.statistics.confidence_sequences import ConfidenceSequence, Side, confidence_sequence, pseudo_outcomes

UNIT = {"low": 0.0, "high": 1.0}
NOT_NUMBERS = [math.nan, math.inf, True, "1", None]


def one_by_one(values, above=None, **settings):
    sequence = ConfidenceSequence(**settings)
    bounds = []
    for pair in zip(values, values if above is None else above, strict=True):
        sequence.add(*(pair[:1] if above is None else pair))
        bounds.append((sequence.lower, sequence.upper))
    return np.array(bounds).T


class TestByHand:
    def test_bounds_are_the_range_before_the_first_outcome(self):
        sequence = ConfidenceSequence(low=-2.0, high=3.0)
        assert (sequence.lower, sequence.upper, sequence.n) == (-2.0, 3.0, 0)

    def test_two_outcomes_by_hand(self):
        # alpha = 2 / e: log(2 / alpha) = 1. First bet: sqrt(2 / (1/4 log 2)) is over 1/2; second: mean 3/4 (of 1/2, 1),
        # variance (1/4 + 1/16) / 2, so sqrt(2 / (5/32 x 2 log 3)) over 1/2 too. psi(1/2) = log 2 - 1/2.
        psi = math.log(2.0) - 0.5
        side = Side()
        for t in (1, 2):
            side.add(1.0, t=t, scale=1.0, log_odds=1.0)
        assert side.won == 1.0
        assert side.paid == pytest.approx(psi * (0.5**2 + 0.25**2))
        assert side.bound(scale=1.0, log_odds=0.5) == pytest.approx(0.5 - psi * 0.3125)
        sequence = ConfidenceSequence(**UNIT, alpha=2.0 / math.e)
        for _ in range(2):
            sequence.add(1.0)
        assert sequence.to_dict()["below"] == asdict(side)
        assert sequence.upper == 1.0

    def test_a_smaller_bet_once_it_pays(self):
        sequence = ConfidenceSequence(**UNIT, alpha=2.0 / math.e)
        for k in range(20):
            sequence.add(k % 2)
        before = sequence.to_dict()["below"]
        variance = (0.25 + before["deviation"]) / 21
        sequence.add(1.0)
        assert sequence.to_dict()["below"]["bets"] - before["bets"] == pytest.approx(
            math.sqrt(2.0 / (variance * 21 * math.log(22)))
        )

    def test_the_range_only_shifts_and_scales(self):
        values = np.random.default_rng(0).random(300)
        lower, upper = confidence_sequence(values, **UNIT)
        other = confidence_sequence(5.0 * values - 2.0, low=-2.0, high=3.0)
        np.testing.assert_allclose(other, (5.0 * lower - 2.0, 5.0 * upper - 2.0), atol=1e-12)

    def test_mirrored_values_mirror_the_bounds(self):
        values = np.random.default_rng(0).random(300)
        lower, upper = confidence_sequence(values, **UNIT)
        np.testing.assert_allclose(confidence_sequence(1.0 - values, **UNIT), (1.0 - upper, 1.0 - lower), atol=1e-12)


class TestOneByOneEqualsAllAtOnce:
    @given(
        st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60),
        st.sampled_from([0.01, 0.05, 0.5]),
        st.sampled_from([(0.0, 1.0), (-3.0, 5.0)]),
    )
    def test_outcomes_one_by_one_equal_all_at_once(self, values, alpha, bounds):
        low, high = bounds
        settings = {"low": low, "high": high, "alpha": alpha}
        values = np.minimum(low + (high - low) * np.array(values), high)
        np.testing.assert_allclose(one_by_one(values, **settings), confidence_sequence(values, **settings), atol=1e-12)

    @pytest.mark.parametrize("sizes", [[0], [1], [30, 0, 7], [3, 200]])
    @pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 5.0)])
    def test_outcomes_in_parts(self, sizes, low, high):
        values = low + (high - low) * np.random.default_rng(len(sizes)).random(sum(sizes) + 1)
        sequence, expected = (ConfidenceSequence(low=low, high=high) for _ in range(2))
        for part in np.split(values, np.cumsum(sizes)):
            sequence.add_all(part)
        for value in values:
            expected.add(value)
        assert sequence.n == expected.n == len(values)
        assert (sequence.lower, sequence.upper) == pytest.approx((expected.lower, expected.upper), abs=1e-12)

    def test_wrong_outcomes_change_nothing(self):
        sequence = ConfidenceSequence(**UNIT)
        with pytest.raises(InvalidInputError, match="1 of 3 values are beyond"):
            sequence.add_all([0.5, 0.5, 1.5])
        assert sequence.n == 0
        assert sequence.to_dict() == ConfidenceSequence(**UNIT).to_dict()

    @given(st.integers(0, 2**32), st.sampled_from([0.0, 0.5, 4.0]))
    def test_pseudo_outcomes_one_by_one_equal_all_at_once(self, seed, truncation):
        rng = np.random.default_rng(seed)
        below, above = 3.0 * rng.exponential(size=(2, 50))
        below, above = below - truncation, 1.0 + truncation - above
        settings = {**UNIT, "truncation": truncation}
        np.testing.assert_allclose(
            one_by_one(below, above, **settings), confidence_sequence(below, above, **settings), atol=1e-12
        )

    def test_many_sequences_are_each_by_itself(self):
        values = np.random.default_rng(0).random((3, 2, 40))
        lower, upper = confidence_sequence(values, **UNIT)
        assert lower.shape == upper.shape == (3, 2, 40)
        np.testing.assert_array_equal((lower[2, 1], upper[2, 1]), confidence_sequence(values[2, 1], **UNIT))


class TestCoverage:
    """Misses at any time are at most 5%; with 2,000 sequences 4 standard errors are 2 points."""

    @pytest.mark.parametrize("mean", [0.02, 0.5, 0.9])
    def test_sequence_of_coins_covers_their_mean(self, mean):
        values = (np.random.default_rng(1).random((2000, 1000)) < mean).astype(float)
        lower, upper = confidence_sequence(values, **UNIT)
        missed = ((lower > mean) | (upper < mean)).any(axis=1).mean()
        assert missed <= 0.05
        assert (upper - lower)[:, -1].mean() < 0.14

    def test_sequence_covers_the_value_of_a_policy_on_a_log_that_learns(self):
        """Propensities follow earlier outcomes; arm 1 of two pays .7."""
        rng = np.random.default_rng(2)
        runs, n = 1000, 400
        pays = np.array([0.4, 0.7])
        means, counts = np.full((runs, 2), 0.5), np.ones((runs, 2))
        rows = []
        for _ in range(n):
            p = np.where(means[:, :1] > means[:, 1:], [0.9, 0.1], [0.1, 0.9])
            chosen = (rng.random(runs) < p[:, 1]).astype(int)
            y = (rng.random(runs) < pays[chosen]).astype(float)
            target = np.tile([0.0, 1.0], (runs, 1))
            rows.append(
                [pseudo_outcomes(y, chosen, target=target, logged=p, predicted=means, truncation=k, **UNIT)
                 for k in (0.0, 2.0)]
            )  # fmt: skip
            at = (np.arange(runs), chosen)
            means[at] += (y - means[at]) / (counts[at] + 1.0)
            counts[at] += 1.0
        for k, (below, above) in zip((0.0, 2.0), np.moveaxis(np.array(rows), 0, -1), strict=True):
            assert below.mean() == pytest.approx(0.7, abs=0.02)
            assert above.mean() == pytest.approx(0.7, abs=0.02)
            lower, upper = confidence_sequence(below, above, **UNIT, truncation=k)
            assert ((lower > 0.7) | (upper < 0.7)).any(axis=1).mean() <= 0.05
            assert lower[:, -1].mean() > 0.4


class TestPseudoOutcomes:
    def test_the_mean_over_arms_is_the_targets_and_the_bounds_hold(self):
        rng = np.random.default_rng(0)
        n, arms, low, high = 50, 4, -1.0, 3.0
        target, logged = rng.dirichlet(np.ones(arms), (2, n))
        predicted, outcomes = rng.uniform(low - 0.5, high + 0.5, (n, arms)), rng.uniform(low, high, (n, arms))
        for k in (0.0, 0.3, 2.0):
            below, above = np.zeros((2, n))
            for arm in range(arms):
                row = pseudo_outcomes(
                    outcomes[:, arm], np.full(n, arm), target=target, logged=logged, predicted=predicted, low=low,
                    high=high, truncation=k,
                )  # fmt: skip
                assert (row[0] >= low - 4.0 * k - 1e-12).all()
                assert (row[1] <= high + 4.0 * k + 1e-12).all()
                below += logged[:, arm] * row[0]
                above += logged[:, arm] * row[1]
            truth = (target * outcomes).sum(axis=1)
            np.testing.assert_allclose(below, truth, atol=1e-12)
            np.testing.assert_allclose(above, truth, atol=1e-12)

    def test_an_arm_that_neither_policy_takes_does_not_count(self):
        pair = pseudo_outcomes(
            [0.5], [0], target=[[1.0, 0.0]], logged=[[1.0, 0.0]], predicted=[[0.2, 0.9]], **UNIT, truncation=1.0
        )
        np.testing.assert_allclose(pair, [[0.5], [0.5]])

    def test_good_predictions_narrow_the_bounds(self):
        rng = np.random.default_rng(3)
        n = 2000
        truth = rng.uniform(0.6, 1.0, (n, 4))
        chosen = rng.integers(4, size=n)
        y = (rng.random(n) < truth[np.arange(n), chosen]).astype(float)
        widths = []
        for k in (0.0, 4.0):
            rows = pseudo_outcomes(
                y, chosen, target=np.tile([1.0, 0, 0, 0], (n, 1)), logged=np.full((n, 4), 0.25), predicted=truth,
                truncation=k, **UNIT,
            )  # fmt: skip
            lower, upper = confidence_sequence(*rows, **UNIT, truncation=k)
            widths.append(upper[-1] - lower[-1])
        assert widths[1] < 0.8 * widths[0]


class TestState:
    def test_goes_on_from_where_it_was_through_json(self):
        values = np.random.default_rng(0).random(100)
        sequence = ConfidenceSequence(low=-1.0, high=2.0, alpha=0.1, truncation=0.5)
        for value in values[:50]:
            sequence.add(value, value - 0.25)
        other = ConfidenceSequence.from_dict(json.loads(json.dumps(sequence.to_dict())))
        for value in values[50:]:
            sequence.add(value)
            other.add(value)
        assert other.to_dict() == sequence.to_dict()
        assert (other.lower, other.upper, other.n) == (sequence.lower, sequence.upper, 100)
        assert repr(other) == "ConfidenceSequence(low=-1, high=2, alpha=0.1, n=100)"

    @pytest.mark.parametrize(
        "change",
        [{"n": -1}, {"n": math.nan}, {"low": 2.0}, {"below": {"more": 1.0}}, {"below": 3}, {"above": {"won": "1"}}],
    )
    def test_damaged_state_is_refused(self, change):
        state = ConfidenceSequence(**UNIT).to_dict()
        with pytest.raises(InvalidInputError, match="begin a new sequence"):
            ConfidenceSequence.from_dict({**state, **change})

    def test_state_without_a_part_is_refused(self):
        with pytest.raises(InvalidInputError, match="begin a new sequence"):
            ConfidenceSequence.from_dict({"low": 0.0})


class TestRefusals:
    @pytest.mark.parametrize("value", [*NOT_NUMBERS[:4], -0.1, 1.1])
    def test_a_bad_outcome_changes_nothing(self, value):
        sequence = ConfidenceSequence(**UNIT)
        sequence.add(0.5)
        before = sequence.to_dict()
        with pytest.raises(InvalidInputError, match="value is"):
            sequence.add(value)
        assert sequence.to_dict() == before

    def test_bad_pseudo_outcomes_change_nothing(self):
        sequence = ConfidenceSequence(**UNIT, truncation=0.5)
        before = sequence.to_dict()
        for pair in ((-0.6, 0.0), (0.0, 1.6), (math.nan, 0.0), (0.0, True)):
            with pytest.raises(InvalidInputError):
                sequence.add(*pair)
        assert sequence.to_dict() == before
        sequence.add(9.0, -9.0)  # far on the side that needs no bound

    @pytest.mark.parametrize(
        "settings",
        [
            {"low": 1.0, "high": 1.0},
            {"low": 0.0, "high": math.inf},
            {**UNIT, "alpha": 0.0},
            {**UNIT, "alpha": 1.0},
            {**UNIT, "alpha": True},
            {**UNIT, "truncation": -1.0},
        ],
    )
    def test_bad_settings_are_refused(self, settings):
        for make in (ConfidenceSequence, lambda **given: confidence_sequence([0.5], **given)):
            with pytest.raises(InvalidConfigurationError):
                make(**settings)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            (([0.5, math.nan],), "NaN or an infinity"),
            (([0.5, 1.5],), "1 of 2 values are beyond"),
            (([-0.1], [0.0]), "1 of 1 values are beyond"),
            (([0.1], [1.1]), "1 of 1 values are beyond"),
            (([0.1], [1.0, 1.0]), "give .* twice"),
            ((0.5,), "give .* twice"),
        ],
    )
    def test_bad_arrays_are_refused(self, arrays, message):
        with pytest.raises(InvalidInputError, match=message):
            confidence_sequence(*arrays, **UNIT)
