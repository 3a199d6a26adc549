"""Signals from the text of an answer alone: a refusal, an answer that was cut off, an unusual length.

They cost nothing and are weak: signs of quality, not quality. Calibrate them with ``SignalCalibration``.
"""

from __future__ import annotations

import math
import re

from banditroute.core.validation import number
from banditroute.errors import InvalidInputError
from banditroute.graders.signal import NO_ANSWER, Signal, text_of

_OPENING_CHARACTERS = 400  # a refusal comes first; later the same words are part of an answer
_REFUSAL = re.compile(
    r"\b(i|we)('m| am|'re| are) (sorry|afraid|unable|not able|not allowed)\b"
    r"|\b(i|we) (cannot|can't|can not|won't|will not|must decline to|have to decline to) "
    r"(help|assist|answer|provide|comply|do|fulfil|fulfill|support|give|share|create|write|generate|discuss)\b"
    r"|\bas an? (ai|language model|ai language model)\b"
    r"|\b(i|we) (do not|don't) (know|have (access|enough|the information))\b",
    re.IGNORECASE,
)
_OPEN_END = re.compile(r"(?:[,;:(\[{–—-]|\b(?:and|or|but|the|a|an|of|to|with|that|which|in|is|are))$", re.IGNORECASE)


def no_refusal(answer: str | None) -> Signal:
    """Return 0 if the answer begins as a refusal or an admission of ignorance, else 1; an empty answer is not graded.

    English only; the first 400 characters are read.

    Raises
    ------
    InvalidInputError
        If the answer is not text.

    Examples
    --------
    >>> no_refusal("I'm sorry, but I can't help with that.").quality, no_refusal("Turku.").quality
    (0.0, 1.0)
    """
    text = text_of(answer).replace("’", "'")
    if not text:
        return NO_ANSWER
    match = _REFUSAL.search(text[:_OPENING_CHARACTERS])
    return Signal(quality=1.0) if match is None else Signal(quality=0.0, reason=f"it says {match[0]!r}")


def is_finished(answer: str | None, *, finish_reason: str | None = None) -> Signal:
    """Return 0 if the answer looks cut off, else 1; an empty answer is not graded.

    An answer is cut off if the client says so, a code block is not closed, or it ends in the middle of a sentence.

    Parameters
    ----------
    finish_reason
        The client's reason for the end: ``"length"`` and ``"max_tokens"`` mean that the answer was cut off.

    Raises
    ------
    InvalidInputError
        If the answer is not text.

    Examples
    --------
    >>> is_finished("The capital is Helsinki.").quality, is_finished("The capital of").quality
    (1.0, 0.0)
    """
    text = text_of(answer)
    if not text:
        return NO_ANSWER
    if finish_reason in ("length", "max_tokens", "max_output_tokens", "MAX_TOKENS"):
        return Signal(quality=0.0, reason=f"the client says {finish_reason!r}")
    if text.count("```") % 2:
        return Signal(quality=0.0, reason="a code block is not closed")
    if _OPEN_END.search(text):
        return Signal(quality=0.0, reason=f"it ends with {text[-20:]!r}")
    return Signal(quality=1.0)


def usual_length(answer: str | None, *, median_words: float) -> Signal:
    """Return how near the length of an answer is to the usual one, in (0, 1]; an empty answer is not graded.

    With n words it is ``exp(-|log(n / median_words)|)``: half the words or twice the words give 0.5.

    Parameters
    ----------
    median_words
        Words of a usual answer to such requests, above 0.

    Raises
    ------
    InvalidInputError
        If the answer is not text, or the median is not a number above 0.

    Examples
    --------
    >>> round(usual_length("one two three four", median_words=8).quality, 3)
    0.5
    """
    if number(median_words, name="median_words", low=0.0) == 0.0:
        raise InvalidInputError("median_words is 0; give a number above 0")
    words = len(text_of(answer).split())
    return Signal(quality=math.exp(-abs(math.log(words / float(median_words))))) if words else NO_ANSWER
