"""A signal from retrieved passages: whether the answer's words come from them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from banditroute.errors import InvalidInputError
from banditroute.graders.signal import Signal, text_of

_WORD = re.compile(r"\w+")
_SHORTEST_WORD = 4  # shorter words are mostly grammar


def retrieval_overlap(answer: str | None, passages: Sequence[str]) -> Signal:
    """Return the share of the answer's words that occur in the retrieved passages, in [0, 1].

    Words are compared without case; words of fewer than four characters count only if they are numbers. This is a sign
    of quality, not quality: an answer may be right in other words. It is not known without words or passages.

    Raises
    ------
    InvalidInputError
        If the answer or a passage is not text, or one string is given in place of several passages.

    Examples
    --------
    >>> retrieval_overlap("Turku lies on the Aura river", ["Turku is a city on the river Aura."]).quality
    0.75
    """
    if isinstance(passages, str):
        raise InvalidInputError(f"passages is the string {passages!r:.80}; give a list of passages")
    found = {word for passage in passages for word in _WORD.findall(text_of(passage).casefold())}
    words = [
        word for word in _WORD.findall(text_of(answer).casefold()) if len(word) >= _SHORTEST_WORD or word.isdigit()
    ]
    if not words or not found:
        return Signal(quality=None, reason="there are no words to compare" if found else "there is no passage")
    return Signal(quality=sum(word in found for word in words) / len(words))
