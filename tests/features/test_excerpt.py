"""What is read of a text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.core.request import Request
from banditroute.errors import InvalidRequestError
from banditroute.features import TextFeatures
from banditroute.features._text import REACH, excerpt


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_short_valid_text_is_read_as_it_is(text):
    assert excerpt(Request(text=text)) == text


@given(st.text(st.characters(), max_size=50))
def test_excerpt_can_always_be_encoded(text):
    excerpt(Request(text=text)).encode("utf-8")


def test_both_ends_of_a_long_text_are_read_and_the_middle_is_not():
    head, tail = "h" * REACH, "t" * REACH
    assert excerpt(Request(text=head + tail)) == head + tail
    assert excerpt(Request(text=head + "middle" + tail)) == head + "\n" + tail


def test_the_middle_of_a_long_text_changes_no_feature():
    head, tail = "one two " * 1000, " three four" * 1000
    features = TextFeatures()
    one, other = (features.transform_one(Request(text=head + middle + tail)) for middle in ("cats?", "{==}1"))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("text", [b"bytes", 7])
def test_anything_but_a_string_is_refused(text):
    with pytest.raises(InvalidRequestError, match=r"give Request\(text=\.\.\.\) a string"):
        excerpt(Request(text=text))


def test_ready_features_are_refused():
    with pytest.raises(InvalidRequestError, match="NoneType"):
        excerpt(Request(features=np.zeros(2)))
