"""Compare answers with expected ones: the same text, number, choice, or words."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter

from banditroute.core.validation import number
from banditroute.errors import InvalidInputError
from banditroute.graders.signal import NO_ANSWER, Signal, text_of

_NUMBER = r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}")
_NUMBERS = re.compile(rf"(?<![\w.])([-+−]?{_NUMBER})(?:\s?/\s?({_NUMBER}))?")
_WORD = re.compile(r"\w+")
_ARTICLES = {"a", "an", "the"}


def exact_match(answer: str | None, expected: str, *others: str) -> Signal:
    """Return 1 if the answer is ``expected`` or one of ``others``, else 0; an empty answer is not graded.

    Letter case, spacing and marks around the answer do not count.

    Raises
    ------
    InvalidInputError
        If the answer is not text, or the expected one is empty.

    Examples
    --------
    >>> exact_match("  **Helsinki**. ", "helsinki").quality
    1.0
    >>> exact_match("I think Helsinki", "Helsinki").quality
    0.0
    """
    accepted = {plain(each) for each in (expected, *others)}
    if "" in accepted:
        raise InvalidInputError("the expected answer is empty; give the text that is right")
    given = plain(answer)
    return Signal(quality=float(given in accepted)) if given else NO_ANSWER


def plain(answer: str | None) -> str:
    """Return the answer for comparison: compatibility forms, no letter case, single spaces, no marks around it."""
    text = " ".join(unicodedata.normalize("NFKC", text_of(answer)).casefold().split())
    return text.strip(string.punctuation + " ") or text


def numeric_match(answer: str | None, expected: float, *, relative_tolerance: float = 1e-9) -> Signal:
    """Return 1 if the last number in the answer is ``expected``, else 0: ``|x - expected| <= tolerance x |expected|``.

    Reads ``1,234.5``, ``-2e3``, ``3/4`` and LaTeX's ``\\frac{3}{4}``; units, currency and percent signs are ignored. An
    answer without a number is not graded.

    Parameters
    ----------
    relative_tolerance
        At least 0; an expected 0 is matched by 0 only.

    Raises
    ------
    InvalidInputError
        If the answer is not text, or the expected number or the tolerance is not a finite number in range.

    Examples
    --------
    >>> numeric_match("3 boxes of 12 are 36, at $2 each: $72.00", 72).quality
    1.0
    >>> numeric_match("I do not know.", 72)
    Signal(quality=None, reason='there is no number in the answer')
    """
    number(expected, name="expected")
    number(relative_tolerance, name="relative_tolerance", low=0.0)
    found = _NUMBERS.findall(_FRACTION.sub(r"\1/\2", text_of(answer)))
    if not found:
        return Signal(quality=None, reason="there is no number in the answer")
    above, below = (float(part.replace(",", "").replace("−", "-")) if part else 1.0 for part in found[-1])
    if below == 0.0:
        return Signal(
            quality=None, reason=f"the last number in the answer, {found[-1][0]}/{found[-1][1]}, is not a number"
        )
    return Signal(quality=float(abs(above / below - expected) <= relative_tolerance * abs(expected)))


def choice_match(answer: str | None, expected: str, *, choices: str = "ABCD") -> Signal:
    """Return 1 if the answer chooses ``expected`` among lettered ``choices``, else 0.

    A choice is read from ``the answer is B``; else from an answer that is or begins with the letter, ``B) Turku``, and
    from letters in brackets, bold or a box, ``(B)``. An answer with no choice or several is not graded.

    Parameters
    ----------
    expected
        One of ``choices``.
    choices
        The letters, in capitals.

    Raises
    ------
    InvalidInputError
        If the answer is not text, or the expected letter is not among the choices.

    Examples
    --------
    >>> choice_match("Turku is a city, too, but the answer is (C).", "C").quality
    1.0
    >>> choice_match("It is either (A) or (B).", "A")
    Signal(quality=None, reason='the answer chooses A and B')
    """
    if not choices.isupper() or len(expected) != 1 or expected not in choices:
        raise InvalidInputError(f"expected is {expected!r} and choices are {choices!r}; give one of several capitals")
    letter = f"[{re.escape(choices)}]"
    text = text_of(answer)
    if len(text.strip(string.punctuation)) == 1:
        text = text.upper()
    said = (
        r"(?i:\banswer\b(?:\W|(?:is|would be|option|choice)\b)*)"
        rf"({letter})(?![\w'’]|\W+(?:or|and)\W+{letter}\b)"
    )
    marked = rf"\A\W*({letter})(?:\W*\Z|[).:,\]*])|(?<!not )(?:[(\[*]|\\boxed{{)({letter})[)\]*}}]"
    found = sorted(set(re.findall(said, text)) or {"".join(each) for each in re.findall(marked, text)})
    if not found:
        return Signal(quality=None, reason=f"the answer chooses none of {', '.join(choices)}")
    if len(found) > 1:
        return Signal(quality=None, reason=f"the answer chooses {' and '.join(found)}")
    return Signal(quality=float(found[0] == expected))


def token_f1(answer: str | None, expected: str, *others: str) -> Signal:
    """Return the F1 of the answer's words and the expected ones: ``2 precision recall / (precision + recall)``.

    It lies in [0, 1]. Letter case, punctuation and English articles do not count; of several expected answers the best
    counts. An answer without a word is not graded.

    Raises
    ------
    InvalidInputError
        If the answer is not text, or an expected answer has no word.

    Notes
    -----
    Rajpurkar et al. 2016, "SQuAD: 100,000+ questions for machine comprehension of text", section 6.1.

    Examples
    --------
    >>> token_f1("in the city of Turku", "Turku, in Finland").quality  # 2 of 4 and 2 of 3 words
    0.5714285714285714
    """
    wanted = [_words(each) for each in (expected, *others)]
    if not all(wanted):
        raise InvalidInputError("an expected answer has no word; give the text that is right")
    given = _words(answer)
    if not given:
        return Signal(quality=None, reason="there is no word in the answer")
    return Signal(quality=max(2.0 * (given & each).total() / (given.total() + each.total()) for each in wanted))


def _words(answer: str | None) -> Counter[str]:
    return Counter(word for word in _WORD.findall(text_of(answer).casefold()) if word not in _ARTICLES)
