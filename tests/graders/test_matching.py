"""Answers against what is expected, by cases as models write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.errors import InvalidInputError
from banditroute.graders import choice_match, exact_match, numeric_match, token_f1


class TestExact:
    @pytest.mark.parametrize(
        ("answer", "expected", "quality"),
        [
            ("Helsinki", "helsinki", 1.0),
            ("  **Helsinki**.\n", "Helsinki", 1.0),
            ("New\n  York", "new york", 1.0),
            ("ﬁne", "fine", 1.0),  # a ligature
            ("STRASSE", "straße", 1.0),
            ("Helsinki, Finland", "Helsinki", 0.0),
            ("A", "a", 1.0),  # no article is taken away
            ("the", "a", 0.0),
            ("+", "+", 1.0),  # nor a mark that is all there is
            ("-", "+", 0.0),
        ],
    )
    def test_exact_match_ignores_case_space_and_markup(self, answer, expected, quality):
        assert exact_match(answer, expected).quality == quality

    def test_exact_match_accepts_any_of_several_answers(self):
        assert exact_match("USA", "United States", "USA").quality == 1.0

    @pytest.mark.parametrize("answer", [None, "", " \n"])
    def test_no_answer(self, answer):
        signal = exact_match(answer, "Helsinki")
        assert (signal.quality, signal.reason) == (None, "there is no answer")

    def test_exact_match_refuses_empty_expectations_and_other_types(self):
        with pytest.raises(InvalidInputError, match="the expected answer is empty"):
            exact_match("a", "a", " ")
        with pytest.raises(InvalidInputError, match=r"the answer is 3 \(int\); give its text"):
            exact_match(3, "3")


class TestNumeric:
    @pytest.mark.parametrize(
        ("answer", "number"),
        [
            ("42", 42),
            ("42.", 42),
            ("It is 1,234,567.5 m.", 1234567.5),
            ("$1,234", 1234),
            ("so x = -3", -3),
            ("x=−3", -3),  # a minus sign
            ("10-20", 20),
            ("about .5", 0.5),
            ("6.02e23", 6.02e23),
            ("2E-3 s", 0.002),
            ("75%", 75),
            ("3/4 of it", 0.75),
            (r"\boxed{\frac{3}{4}}", 0.75),
            (r"\(-\dfrac{1}{8}\)", -0.125),
            ("3 + 4 = 7\n#### 7", 7),
            ("12,34", 34),  # no thousands: two numbers
        ],
    )
    def test_the_last_number(self, answer, number):
        assert numeric_match(answer, number).quality == 1.0
        assert numeric_match(answer, 1.001 * number + 0.001).quality == 0.0

    @pytest.mark.parametrize("answer", [None, "", "I do not know.", "none of x2, y3"])
    def test_no_number(self, answer):
        signal = numeric_match(answer, 0)
        assert (signal.quality, signal.reason) == (None, "there is no number in the answer")

    def test_division_by_zero(self):
        assert numeric_match("1/0", 1).reason == "the last number in the answer, 1/0, is not a number"

    def test_numeric_match_keeps_to_its_tolerance(self):
        assert numeric_match("3.14", math.pi).quality == 0.0
        assert numeric_match("3.14", math.pi, relative_tolerance=0.001).quality == 1.0
        assert numeric_match("1234567", 1234568).quality == 0.0
        assert numeric_match("101", 100, relative_tolerance=0.01).quality == 1.0  # the bound itself
        assert numeric_match("0.000001", 0).quality == 0.0

    def test_numeric_match_of_a_number_too_large_is_wrong(self):
        assert numeric_match("9" * 400, 9).quality == 0.0
        assert numeric_match(f"{'9' * 400}/{'9' * 400}", 1).quality == 0.0

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_reads_what_python_writes(self, number):
        assert numeric_match(f"The result is {number!r}", number, relative_tolerance=0.0).quality == 1.0

    @pytest.mark.parametrize("given", [{"expected": math.nan}, {"expected": True}, {"relative_tolerance": -1}])
    def test_numeric_match_refuses_bad_numbers(self, given):
        with pytest.raises(InvalidInputError):
            numeric_match("1", **{"expected": 1, **given})


class TestChoice:
    @pytest.mark.parametrize(
        "answer",
        [
            "B",
            "b",
            "(B)",
            "**B**",
            "B.",
            "B) Turku",
            "B: Turku",
            "Answer: B",
            "ANSWER: (B)",
            "The correct answer is B.",
            "The answer is option B, because A is too small and C too large.",
            "A and C are wrong. The answer is **B**",
            "I think (B) fits.",
            r"Hence \boxed{B}",
            "the answer is B, I repeat: answer B",
            "The answer is\n\nB",
        ],
    )
    def test_choice_match_finds_the_chosen_letter(self, answer):
        assert choice_match(answer, "B").quality == 1.0
        assert choice_match(answer, "C").quality == 0.0

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (None, "the answer chooses none of A, B, C, D"),
            ("", "the answer chooses none of A, B, C, D"),
            ("E", "the answer chooses none of A, B, C, D"),
            ("A cat is an animal", "the answer chooses none of A, B, C, D"),
            ("the answer is a cat", "the answer chooses none of A, B, C, D"),
            ("The answer is A or B", "the answer chooses none of A, B, C, D"),
            ("The answer is not B", "the answer chooses none of A, B, C, D"),
            ("It is surely not (B)", "the answer chooses none of A, B, C, D"),
            ("The answer is Absolutely unclear", "the answer chooses none of A, B, C, D"),
            ("(A) or (C)", "the answer chooses A and C"),
            ("A) or C)? I say (C).", "the answer chooses A and C"),
            ("Answer: A. No, wait. Answer: C", "the answer chooses A and C"),
        ],
    )
    def test_does_not(self, answer, reason):
        signal = choice_match(answer, "B")
        assert (signal.quality, signal.reason) == (None, reason)

    def test_other_letters(self):
        assert choice_match("Answer: J", "J", choices="ABCDEFGHIJ").quality == 1.0

    @pytest.mark.parametrize(("expected", "choices"), [("E", "ABCD"), ("", "ABCD"), ("AB", "ABCD"), ("a", "abcd")])
    def test_choice_match_refuses_bad_choices(self, expected, choices):
        with pytest.raises(InvalidInputError, match="give one of several capitals"):
            choice_match("A", expected, choices=choices)


class TestF1:
    @pytest.mark.parametrize(
        ("answer", "expected", "quality"),
        [
            ("the cat sat", "a cat sat", 1.0),
            ("Cat!", "cat", 1.0),
            ("dog", "cat", 0.0),
            ("cat cat", "cat", 2 / 3),  # precision 1/2, recall 1
            ("the big red cat", "red cat runs off", 2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4)),
        ],
    )
    def test_token_f1_equals_the_hand_computed_one(self, answer, expected, quality):
        assert token_f1(answer, expected).quality == pytest.approx(quality)

    def test_the_best_of_several(self):
        assert token_f1("cat", "dog", "cat", "cow").quality == 1.0

    @pytest.mark.parametrize("answer", [None, "", "...", "the"])
    def test_no_word(self, answer):
        assert token_f1(answer, "cat").reason == "there is no word in the answer"

    def test_token_f1_refuses_an_expected_answer_without_words(self):
        with pytest.raises(InvalidInputError, match="an expected answer has no word"):
            token_f1("cat", "the")

    @given(st.text(), st.text(alphabet="abc ", min_size=1))
    def test_token_f1_is_in_range_and_one_for_the_same_text(self, answer, expected):
        try:
            signal = token_f1(answer, expected)
        except InvalidInputError:
            return
        assert signal.quality is None or 0.0 <= signal.quality <= 1.0
        assert token_f1(expected, expected).quality == 1.0
