"""Signals that cost nothing: the text of an answer, its probabilities, its passages, and the session around it."""

import math
from types import SimpleNamespace as Some

import pytest

from banditroute import InvalidInputError
from banditroute.graders import (
    is_finished,
    no_correction,
    no_loop,
    no_refusal,
    no_repetition,
    openai_logprobs,
    probability_margin,
    retrieval_overlap,
    tools_succeeded,
    usual_length,
)


class TestNoRefusal:
    @pytest.mark.parametrize(
        "answer",
        [
            "I'm sorry, but I can't help with that.",
            "I’m sorry, I cannot assist with this request.",
            "As an AI language model, I have no opinion.",
            "I don't have access to that file.",
            "We are unable to process this.",
        ],
    )
    def test_refusals_are_found(self, answer):
        assert no_refusal(answer).quality == 0.0

    @pytest.mark.parametrize("answer", ["Turku.", "The sorry state of affairs is", "You can't divide by zero: x" * 50])
    def test_answers_are_not(self, answer):
        assert no_refusal(answer).quality == 1.0

    def test_only_the_beginning_is_read(self):
        assert no_refusal("word " * 200 + "I'm sorry, I can't help.").quality == 1.0


class TestIsFinished:
    @pytest.mark.parametrize("answer", ["The capital of", "First, ", "one, two and", "```python\nx = 1", "see ("])
    def test_cut_off(self, answer):
        assert is_finished(answer).quality == 0.0

    @pytest.mark.parametrize("answer", ["42", "Turku.", "```python\nx = 1\n```", "Done!", "a list:\n- x"])
    def test_finished_answers_are_recognized(self, answer):
        assert is_finished(answer).quality == 1.0

    def test_the_client_knows(self):
        assert is_finished("Turku.", finish_reason="length").quality == 0.0
        assert is_finished("Turku.", finish_reason="stop").quality == 1.0


@pytest.mark.parametrize(("words", "quality"), [(8, 1.0), (4, 0.5), (16, 0.5), (2, 0.25)])
def test_usual_length(words, quality):
    assert usual_length("word " * words, median_words=8).quality == pytest.approx(quality)


class TestProbabilityMargin:
    def test_mean_of_the_margins(self):
        tokens = [[math.log(0.9), math.log(0.1)], [math.log(0.3), math.log(0.5), math.log(0.2)], [math.log(0.7)]]
        assert probability_margin(tokens).quality == pytest.approx((0.8 + 0.2) / 2)

    @pytest.mark.parametrize("tokens", [[], [[-0.1]], [[]]])
    def test_is_not_known_without_two_candidates(self, tokens):
        assert probability_margin(tokens).quality is None

    @pytest.mark.parametrize("tokens", [[[0.5, -1.0]], ["ab"], [[math.nan, -1.0]], [3]])
    def test_other_things_are_refused(self, tokens):
        with pytest.raises(InvalidInputError):
            probability_margin(tokens)

    @pytest.mark.parametrize("response", [None, Some(choices=[]), Some(choices=[Some(logprobs=None)]), "text"])
    def test_a_response_without_them_has_none(self, response):
        assert openai_logprobs(response) == []

    def test_impossible_tokens_have_no_infinite_probability(self):
        token = Some(top_logprobs=[Some(logprob=0.0), Some(logprob=-math.inf)])
        response = Some(choices=[Some(logprobs=Some(content=[token]))])
        assert probability_margin(openai_logprobs(response)).quality == 1.0


class TestRetrievalOverlap:
    def test_share_of_words(self):
        assert retrieval_overlap("Turku has 200000 people", ["Turku: 200000 inhabitants"]).quality == pytest.approx(
            2 / 3
        )

    @pytest.mark.parametrize(
        ("answer", "passages"), [("", ["x"]), ("a of", ["long words"]), ("Turku", []), (None, ["x"])]
    )
    def test_is_not_known_without_words(self, answer, passages):
        assert retrieval_overlap(answer, passages).quality is None

    def test_one_string_is_refused(self):
        with pytest.raises(InvalidInputError, match="give a list of passages"):
            retrieval_overlap("Turku", "Turku")


class TestSessions:
    @pytest.mark.parametrize(
        "text",
        [
            "No, I meant the river",
            "wrong",
            "That's not what I asked",
            "still failing",
            "You forgot the tests",
            "I said 3",
        ],
    )
    def test_corrections_of_the_user_are_recognized(self, text):
        assert no_correction(text).quality == 0.0

    @pytest.mark.parametrize("text", ["Thanks!", "Now the next one", "Norway?", "Nothing else, thank you"])
    def test_other_messages(self, text):
        assert no_correction(text).quality == 1.0

    @pytest.mark.parametrize(
        ("first", "second", "quality"),
        [
            ("sort a list", "sort a list", 0.0),
            ("how do I sort a list?", "how can I sort a list", 0.0),
            ("sort a list", "what is the capital of Finland", 1.0),
            ("sort a list", "", None),
        ],
    )
    def test_repeated_questions_are_recognized(self, first, second, quality):
        assert no_repetition(first, second).quality == quality

    def test_tools_succeeded_is_the_share_without_errors(self):
        assert tools_succeeded(["ok", "Traceback (most recent call last)", "4"]).quality == pytest.approx(2 / 3)
        assert tools_succeeded([]).quality is None

    def test_loop_is_the_same_call_three_times_in_a_row(self):
        call = ("ls", ".")
        assert no_loop([call, call, ("cd", "x"), call]).quality == 1.0
        assert no_loop([("cd", "x"), call, call, call]).quality == 0.0
        assert no_loop([]).quality is None


@pytest.mark.parametrize("grader", [no_refusal, is_finished, no_correction])
def test_empty_answers_are_not_graded(grader):
    assert grader(None).quality is None
    assert grader("  ").quality is None
    with pytest.raises(InvalidInputError):
        grader(7)
