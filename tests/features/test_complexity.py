"""Complexity, against numbers counted by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.core.request import Request
from banditroute.features import Complexity
from banditroute.features.complexity import _CENTRE, _NAMES, _SCALE, _raw


def raw(text, messages=()):
    return dict(zip(_NAMES, _raw(Request(text=text, messages=messages)).tolist(), strict=True))


def test_features_equal_the_hand_computed_ones():
    # 16 characters and 5 spaces; 6 words; 13 letters, 1 digit; 2 sentences; one question mark.
    found = raw("Is it 1 mile? Yes ok.")
    assert found["log_characters"] == pytest.approx(math.log(17))
    assert found["log_sentences"] == pytest.approx(math.log(3))
    assert found["word_length"] == pytest.approx(14 / 6)
    assert found["questions"] == pytest.approx(math.log(2))
    assert found["digits"] == pytest.approx(math.sqrt(1 / 16))
    assert found["code"] == found["mathematics"] == found["options"] == found["other_script"] == 0.0


def test_readability_indices_by_hand():
    # 10 words, 40 letters, 2 sentences: L = 400, S = 20 per 100 words.
    found = raw("four word five word word. four word five word word.")
    assert found["coleman_liau"] == pytest.approx(0.0588 * 400 - 0.296 * 20 - 15.8)
    assert found["automated_readability"] == pytest.approx(4.71 * 4.0 + 0.5 * 5.0 - 21.43)


def test_a_text_without_words_or_sentences_divides_by_one():
    found = raw("")
    assert found["coleman_liau"] == pytest.approx(-29.6 - 15.8)
    assert found["automated_readability"] == pytest.approx(0.5 - 21.43)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("x = {}", "code", math.sqrt(3 / 4)),  # = { }
        ("return", "code", math.sqrt(5 / 6)),  # one word of code counts as five characters
        ("1+1=2", "mathematics", math.sqrt(2 / 5)),
        ("\\frac", "mathematics", math.sqrt(1 / 5)),
        ("A. cat\nB) dog\n(c) cow\n  - none\n10: all", "options", math.log(6)),
        ("Pick A. cat B. dog", "options", math.log(3)),
        ("Spell A. B. C. now", "options", math.log(4)),
        ("A well-known case - e.g. this", "options", 0.0),
        ('"Is it?" he said. (It is.)', "log_sentences", math.log(4)),
        ("да нет", "other_script", 1.0),
        ("да no", "other_script", math.sqrt(1 / 2)),
        ("日本語", "other_script", 1.0),
        ("naïve Übung – “ok” 🙂", "other_script", 0.0),
        ("一。二！三？", "log_sentences", math.log(4)),
        ("3.14 is pi... right?!", "log_sentences", math.log(3)),
        ("the cat and the dog", "vocabulary", math.log(4) / math.log(5)),
        ("The cat", "vocabulary", 1.0),
        ("one", "vocabulary", 1.0),
        ("Pick:\n\n1. cat\n  (b) dog\n- cow - ox\nwhy?", "list", math.sqrt(3 / 5)),
        ("| a | b |\n|---|---|\n| 1 | 2 |\nSum it | up.", "table", math.sqrt(3 / 4)),
        ('{"a": 1, "b" : [2]}', "json", math.sqrt(2 * 5 / 15)),
        ('He said "yes": no.', "json", math.sqrt(5 / 15)),
        ("Write a poem. Rhyme it; then explain: list why", "imperative", math.sqrt(2 / 4)),
        ("what to write", "imperative", 0.0),
        ("It is not of this", "english", 1.0),
        ("la vie est belle et pas", "other_language", math.sqrt(4 / 6)),
        ("The die is cast in", "english", math.sqrt(3 / 5)),
        ("да нет", "english", 0.0),
    ],
)
def test_each_number_by_hand(text, name, expected):
    assert raw(text)[name] == pytest.approx(expected)


def test_a_text_alone_is_one_turn_without_roles():
    found = raw("Why?")
    assert found["turns"] == found["system"] == found["tools"] == 0.0


def test_turns_and_roles_by_hand():
    roles = ("system", "user", "assistant", "tool", "assistant", "user", "assistant", "user")
    found = raw("Why?", tuple((role, "Why?") for role in roles))
    assert found["turns"] == pytest.approx(math.log(3))
    assert found["system"] == 1.0
    assert found["tools"] == pytest.approx(math.sqrt(1 / 8))
    assert raw("Why?", (("developer", "Be brief."), ("function", "4")))["system"] == 1.0


def test_a_conversation_of_one_user_message_is_its_text():
    alone, sent = Request(text="Why?"), Request(text="Why?", messages=(("user", "Why?"),))
    assert np.array_equal(Complexity().transform_one(alone), Complexity().transform_one(sent))


def test_length_is_that_of_the_whole_text():
    short, long = (Complexity().transform_one(Request(text="a b " * n)) for n in (4_100, 8_200))
    assert long[0] > short[0]
    assert np.array_equal(short[1:], long[1:])


@pytest.mark.parametrize(
    "text",
    [
        "Which of these is a mammal? A. Trout B. Whale\nAnswer: ",
        "Sum 1 + 2.\n\nThen say {x}; why? - now",
        'Explain this: {"a": 1, "b": 2}\n| x | y |\n| 1 | 2 |\n\n- one\n- two',
        "法国的首都 是哪里？",
    ],
)
def test_white_space_and_capitals_change_nothing(text):
    written = [text, text.replace(" ", "  "), f"\n\n{text}\t\n", text.replace("\n", "\r\n"), text.lower(), text.upper()]
    rows = Complexity().transform([Request(text=way) for way in written])
    assert np.allclose(rows, rows[0], rtol=0.0, atol=1e-12)


def test_features_are_centred_and_scaled():
    text = "Name three rivers of Europe and say how long each of them is."
    expected = (_raw(Request(text=text)) - _CENTRE) / _SCALE
    assert (np.abs(expected) < 3).all()
    assert Complexity().transform_one(Request(text=text)) == pytest.approx(expected)


@given(st.text(max_size=300))
def test_every_entry_is_within_three(text):
    assert (np.abs(Complexity().transform_one(Request(text=text))) <= 3.0).all()


@pytest.mark.parametrize(
    "text",
    [
        "a" * 5000,
        "(" * 5000,
        ". " * 5000,
        "\n" * 16_000,
        " " * 16_000,
        "1. " * 5000,
        "." * 16_000 + "x",
        '"' * 16_000,
        "| " * 8000,
        "\n-" * 8000,
    ],
)
def test_no_text_takes_the_expressions_long(text):
    # Quadratic backtracking over 16,000 characters would take minutes, not the 60 s at which a test run is stopped.
    assert np.isfinite(Complexity().transform_one(Request(text=text))).all()
