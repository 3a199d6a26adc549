"""Thumbs and edits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.errors import InvalidInputError
from banditroute.graders import share_kept, thumbs


class TestThumbs:
    def test_thumbs_give_the_share_of_thumbs_up(self):
        assert thumbs(up=1).quality == 1.0
        assert thumbs(down=1).quality == 0.0
        assert thumbs(up=3, down=1).quality == 0.75

    def test_thumbs_of_zero_have_no_quality(self):
        assert thumbs().reason == "there is no thumb"

    @pytest.mark.parametrize("given", [{"up": -1}, {"down": True}, {"up": float("inf")}])
    def test_thumbs_refuse_bad_counts(self, given):
        with pytest.raises(InvalidInputError):
            thumbs(**given)


class TestKept:
    @pytest.mark.parametrize(
        ("answer", "edited", "quality"),
        [
            ("a b c d", "a b c d", 1.0),
            ("a b c d", "a b c d and more", 1.0),
            ("a b c d", "a x c d", 0.75),
            ("a b c d", "c d a b", 0.5),  # moved: one half keeps its order
            ("a b c d", "a\n b   c\td", 1.0),
            ("a b c d", "", 0.0),
            ("a b c d", "w x y z", 0.0),
        ],
    )
    def test_share_kept_equals_the_hand_computed_one(self, answer, edited, quality):
        assert share_kept(answer, edited).quality == quality

    def test_empty_answer_has_no_share_kept(self):
        assert share_kept(None, "text").reason == "there is no answer"

    def test_share_kept_refuses_other_types(self):
        with pytest.raises(InvalidInputError):
            share_kept("text", 3)

    @given(st.lists(st.sampled_from("abc"), min_size=1), st.lists(st.sampled_from("abc")))
    def test_share_kept_is_in_range_and_one_for_the_same_text(self, answer, edited):
        assert 0.0 <= share_kept(" ".join(answer), " ".join(edited)).quality <= 1.0
        assert share_kept(" ".join(answer), " ".join(answer)).quality == 1.0
