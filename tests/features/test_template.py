"""Template: a call site is recognised by what stays the same."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features import Template

FRAMES = [
    "Classify the sentiment of this review.\nReview: {}\nAnswer with one word, please.",
    "You are a helpful translator. Translate into French:\n\n{}\n\nGive the translation only.",
    "## Task\nSummarise the text in 3 sentences.\n## Text\n{}\n## Summary of the text above",
    "Question: {}\nChoices: (A) yes, (B) no\nAnswer with the correct option.",
]


def one(text, slots=64, **known):
    return Template(slots=slots).transform_one(Request(text=text, **known))


@pytest.mark.parametrize("frame", FRAMES)
@given(text=st.text(st.characters(codec="ascii", exclude_characters=":#`<"), max_size=200))
def test_text_within_the_frame_does_not_change_the_template(frame, text):
    assert np.array_equal(one(frame.format(text)), one(frame.format("the good, the bad and the ugly")))


def test_frames_are_told_apart():
    votes = [one(frame.format("x"), slots=1024) for frame in FRAMES]
    for index, vote in enumerate(votes):
        assert not any(vote @ other for other in votes[index + 1 :])


def test_head_tail_and_structure_vote_a_third_each():
    x = one(FRAMES[0].format("x"), slots=1024)
    assert sorted(x[x > 0]) == pytest.approx([math.sqrt(1024 / 3)] * 3)
    x /= 1024.0
    other_tail = one(FRAMES[0].replace("please", "now").format("x"), slots=1024)
    assert x @ other_tail == pytest.approx(2 / 3)
    other_head = one("Now c" + FRAMES[0][1:].format("x"), slots=1024)
    assert x @ other_head == pytest.approx(2 / 3)
    other_labels = one(FRAMES[0].replace("Review:", "Text:").format("x"), slots=1024)
    assert x @ other_labels == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "other",
    [
        "CLASSIFY the   sentiment of\tthis review.\nReview: bad\n\nAnswer with one WORD,  please.\n",
        "Classify the sentiment of this review.\n  review: bad\nReview: twice\nAnswer with one word, please.",
    ],
)
def test_case_and_white_space_do_not_matter(other):
    assert np.array_equal(one(other), one(FRAMES[0].format("good")))


def test_digits_do_not_matter():
    assert np.array_equal(one("Ticket 481 is late, reply in 5 lines"), one("Ticket 7 is late, reply in 12 lines"))


def test_a_named_template_wins():
    named = one("any text", template="support")
    assert sorted(named)[-2:] == [0.0, 8.0]  # the root of 64 slots
    assert np.array_equal(named, one("quite another text", template="support"))
    assert not np.array_equal(
        one("any text", slots=1024, template="billing"), one("any text", slots=1024, template="b")
    )


@given(st.text(max_size=300))
def test_squares_sum_to_the_number_of_slots(text):
    x = one(text, slots=3)
    assert x @ x == pytest.approx(3.0)
    assert (x >= 0.0).all()


def test_the_order_of_requests_and_the_process_do_not_matter():
    template, request = Template(), Request(text=FRAMES[1].format("Good morning"))
    before = template.transform_one(request)
    template.transform([Request(text=f"other {n} texts {n}") for n in range(100)])
    assert np.array_equal(template.transform_one(request), before)
    script = (
        "from banditroute.features import Template; from banditroute.core.request import Request; "
        f"print(Template().transform_one(Request(text={request.text!r})).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(before.tolist())


def test_meaning_is_pinned_to_the_version():
    # Fails when the signature changes: then the version must change with it.
    assert Template().version == "template-2:16"
    assert np.flatnonzero(one(FRAMES[3].format("x"), slots=16)).tolist() == PINNED


PINNED = [9, 12]


def test_hard_texts_take_no_long_time():
    for text in ("a" * 16_000, " " * 16_000, "a: " * 5_000, "\n" * 16_000, "word word word " * 1_000, "#" * 16_000):
        assert np.isfinite(one(text)).all()


@pytest.mark.parametrize("slots", [1, 1025, 2.0, True, "16", None])
def test_unusable_numbers_of_slots_are_refused(slots):
    with pytest.raises(InvalidConfigurationError, match="whole number from 2 to"):
        Template(slots=slots)


def test_a_request_without_text_is_refused_even_with_a_name():
    with pytest.raises(InvalidRequestError):
        Template().transform_one(Request(features=np.ones(2), template="support"))
