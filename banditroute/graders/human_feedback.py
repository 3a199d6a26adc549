"""Grade answers by the reaction of people: a thumb, an edit."""

from __future__ import annotations

import difflib

from banditroute.core.validation import number
from banditroute.graders.signal import NO_ANSWER, Signal, text_of


def thumbs(*, up: int = 0, down: int = 0) -> Signal:
    """Return the share of the thumbs that are up, in [0, 1]; it is not known without a thumb.

    Raises
    ------
    InvalidInputError
        If a count is below 0.

    Examples
    --------
    >>> thumbs(up=1).quality, thumbs(up=3, down=1).quality
    (1.0, 0.75)
    """
    for name, count in (("up", up), ("down", down)):
        number(count, name=name, low=0.0)
    if up + down == 0:
        return Signal(quality=None, reason="there is no thumb")
    return Signal(quality=up / (up + down))


def share_kept(answer: str | None, edited: str) -> Signal:
    """Return the share of the answer's words that are left, in their order, after somebody edited it, in [0, 1].

    Words that were added do not count against the answer. An empty answer is not graded.

    Raises
    ------
    InvalidInputError
        If one of them is not text.

    Notes
    -----
    The words in the matching blocks of ``difflib.SequenceMatcher``: some 10 ms for 1,000 words.

    Examples
    --------
    >>> share_kept("Kind regards from sunny Turku", "Kind regards from rainy Turku, and see you soon").quality
    0.6
    """
    words = text_of(answer).split()
    if not words:
        return NO_ANSWER
    blocks = difflib.SequenceMatcher(None, words, text_of(edited).split(), autojunk=False).get_matching_blocks()
    return Signal(quality=sum(block.size for block in blocks) / len(words))
