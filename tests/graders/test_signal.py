"""A quality, or the reason why there is none; and that the router takes it so."""

import math

import pytest

from banditroute import Router
from banditroute.errors import InvalidInputError
from banditroute.graders import Signal, choice_match, exact_match, judge_score, numeric_match, token_f1


@pytest.mark.parametrize("quality", [-0.1, 1.1, math.nan, True, "1"])
def test_bad_quality_is_refused(quality):
    with pytest.raises(InvalidInputError, match="quality is"):
        Signal(quality=quality)


def test_signal_without_a_quality_needs_a_reason():
    with pytest.raises(InvalidInputError, match="needs a reason"):
        Signal(quality=None)


def test_the_router_leaves_out_what_is_not_known():
    router = Router(arms=["a"], features=1)
    known, unknown = router.route([0.0]), router.route([0.0])
    router.feedback(known.id, quality=exact_match("Turku", "turku").quality, cost_usd=0.1)
    router.feedback(unknown.id, quality=numeric_match("I do not know", 3).quality, cost_usd=0.3)
    assert router.status().learned == 2
    decision = router.route([0.0])
    assert decision.means[decision.objectives.index("quality")] > 0.5


@pytest.mark.parametrize("part", ["answer ", "score ", " \n-", "(", "\\frac{", "1,111", "1/", "**", "score is of "])
def test_a_long_answer_is_read_in_no_time(part):
    """A pattern that went back over its text in many ways would not come back at all."""
    answer = "The answer is" + part * 50_000
    for signal in (
        exact_match(answer, "B"),
        choice_match(answer, "B"),
        numeric_match(answer, 5),
        token_f1(answer, "B"),
        judge_score(f"score: {answer}", low=0, high=1),
    ):
        assert signal.quality in (None, 0.0)
