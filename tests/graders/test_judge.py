"""What a judge wrote, and what it is worth."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from banditroute.errors import InvalidInputError
from banditroute.graders import JudgeCalibration, Signal, calibrate_judge, judge_score, self_consistency


class TestScore:
    @pytest.mark.parametrize(
        "reply",
        [
            "7",
            "7/10",
            "**7**",
            "7 out of 10.",
            "[[7]]",
            "Score: 7",
            "The answer has 3 errors of 20 words.\nScore: 7/10",
            '{"reason": "in 2 of 5 places unclear", "score": 7}',
            "I would give it a rating of 7.",
            "Final grade is 7 out of 10",
            "Rating: [[7]]",
            "**Score:** 7.0\n\nscore = 7",
        ],
    )
    def test_score_is_read_from_the_reply(self, reply):
        assert judge_score(reply, low=0, high=10).quality == pytest.approx(0.7)

    def test_from_low_to_high(self):
        assert [judge_score(str(score), low=1, high=5).quality for score in (1, 2, 5)] == [0.0, 0.25, 1.0]
        assert judge_score("-1", low=-1, high=1).quality == 0.0

    @pytest.mark.parametrize(
        ("reply", "reason"),
        [
            (None, "there is no score in the reply"),
            ("", "there is no score in the reply"),
            ("It is good, 100 percent.", "there is no score in the reply"),
            ("Score: high", "there is no score in the reply"),
            ("Score: 3. On reflection, score: 8", "the reply has several scores: 3, 8"),
            ("Score: 11", "the score 11 is not between 0 and 10"),
            ("-1", "the score -1 is not between 0 and 10"),
            ("4/5", "the score is out of 5, not of 10"),
            ("Score: 70/100", "the score is out of 100, not of 10"),
        ],
    )
    def test_judge_score_says_why_a_reply_cannot_be_read(self, reply, reason):
        signal = judge_score(reply, low=0, high=10)
        assert (signal.quality, signal.reason) == (None, reason)

    @pytest.mark.parametrize("scale", [{"low": 5, "high": 5}, {"low": 6, "high": 5}, {"low": 0, "high": math.inf}])
    def test_judge_score_refuses_bad_scales(self, scale):
        with pytest.raises(InvalidInputError):
            judge_score("5", **scale)


def judged(rng, count):
    """A judge that is too kind: what it scores s is right with probability s squared."""
    scores = rng.integers(1, 11, count) / 10
    return scores, (rng.random(count) < scores**2).astype(float)


class TestCalibration:
    def test_judge_calibration_equals_the_hand_computed_one(self):
        """Means .5, 0 and 1 at three scores: the first two are out of order, and pooled to 1/3 by their counts."""
        scores = [0.2] * 20 + [0.5] * 10 + [1.0] * 10
        labels = [1.0, 0.0] * 10 + [0.0] * 10 + [1.0] * 10
        calibration = calibrate_judge(scores, labels)
        assert calibration.scores == (0.2, 0.5, 1.0)
        assert calibration.qualities == pytest.approx((1 / 3, 1 / 3, 1.0))
        assert calibration.answers == 40
        assert calibration.raw_error == pytest.approx(math.sqrt((10 * 0.64 + 10 * 0.04 + 10 * 0.25) / 40))
        assert calibration.apply(Signal(quality=0.75)).quality == pytest.approx(2 / 3)
        assert calibration.apply(Signal(quality=0.0)).quality == pytest.approx(1 / 3)

    def test_learns_what_scores_are_worth(self):
        rng = np.random.default_rng(0)
        calibration = calibrate_judge(*judged(rng, 5000))
        for score in (0.2, 0.5, 0.9):
            assert calibration.apply(Signal(quality=score)).quality == pytest.approx(score**2, abs=0.06)
        assert calibration.error < calibration.raw_error

    def test_calibration_error_equals_the_error_on_fresh_answers(self):
        reported, fresh, fitted = [], [], []
        for seed in range(300):
            rng = np.random.default_rng(seed)
            scores, labels = judged(rng, 30)
            calibration = calibrate_judge(scores, labels)
            reported.append(calibration.error**2)
            for kept, (given, wanted) in ((fresh, judged(rng, 1000)), (fitted, (scores, labels))):
                curve = np.interp(given, calibration.scores, calibration.qualities)
                kept.append(np.mean((curve - wanted) ** 2))
        assert np.mean(reported) == pytest.approx(np.mean(fresh), rel=0.03)
        assert np.mean(fitted) < 0.9 * np.mean(fresh)  # which the error on its own answers would have hidden

    def test_never_falls(self):
        rng = np.random.default_rng(1)
        calibration = calibrate_judge(rng.random(50), rng.random(50))
        assert list(calibration.qualities) == sorted(calibration.qualities)

    def test_a_judge_that_knows_nothing_is_worth_the_mean(self):
        rng = np.random.default_rng(2)
        calibration = calibrate_judge([0.5] * 40, (rng.random(40) < 0.5).astype(float))
        assert len(calibration.qualities) == 1
        assert calibration.error == pytest.approx(0.5, abs=0.05)

    def test_the_order_of_the_answers_does_not_change_the_curve(self):
        rng = np.random.default_rng(3)
        scores, labels = judged(rng, 60)
        order = rng.permutation(60)
        once, again = calibrate_judge(scores, labels), calibrate_judge(scores[order], labels[order])
        assert once.qualities == pytest.approx(again.qualities)

    def test_survives_json(self):
        calibration = calibrate_judge(*judged(np.random.default_rng(4), 40))
        assert JudgeCalibration(**json.loads(json.dumps(asdict(calibration)))) == calibration

    @pytest.mark.parametrize(
        ("scores", "qualities"),
        [((), ()), ((0.5,), (0.1, 0.2)), ((0.5, 0.2), (0.1, 0.2)), ((0.5, 0.5), (0.1, 0.2)), ((0.5,), (1.2,))],
    )
    def test_bad_calibration_curve_is_refused(self, scores, qualities):
        with pytest.raises(InvalidInputError):
            JudgeCalibration(scores=scores, qualities=qualities, raw_error=0.5, error=0.4, answers=20)

    def test_an_unknown_score_stays_unknown(self):
        unknown = Signal(quality=None, reason="there is no score in the reply")
        given = JudgeCalibration(scores=(0.0,), qualities=(0.5,), raw_error=0.5, error=0.4, answers=20)
        assert given.apply(unknown) is unknown

    @pytest.mark.parametrize(
        ("scores", "labels", "message"),
        [
            ([0.5] * 20, [1.0] * 19, "20 scores and 19 labels"),
            ([0.5] * 19, [1.0] * 19, "19 labelled answers; give at least 20"),
            ([0.5] * 19 + [7.0], [1.0] * 20, r"score is 7\.0"),
            ([0.5] * 20, [1.0] * 19 + [math.nan], "label is nan"),
            ([0.5] * 20, [1.0] * 19 + [True], "label is True"),
        ],
    )
    def test_calibrate_judge_refuses_bad_labels(self, scores, labels, message):
        with pytest.raises(InvalidInputError, match=message):
            calibrate_judge(scores, labels)


class TestConsistency:
    @pytest.mark.parametrize(
        ("answers", "quality"),
        [
            (["42", "42.", " 42 "], 1.0),
            (["a", "b"], 0.5),
            (["a", "b", "b", "c"], 0.5),
            (["a", None, "", "a"], 0.5),
        ],
    )
    def test_share_of_the_most_frequent(self, answers, quality):
        assert self_consistency(answers).quality == quality

    @pytest.mark.parametrize("answers", [[], ["a"], [None, ""]])
    def test_self_consistency_needs_two_answers(self, answers):
        assert self_consistency(answers).reason == "there are not two answers to compare"

    def test_self_consistency_refuses_other_types(self):
        with pytest.raises(InvalidInputError, match="answers is the string 'aab'"):
            self_consistency("aab")
        with pytest.raises(InvalidInputError):
            self_consistency(["a", 3])
