"""How hard a prompt looks: length, readability, code, mathematics, script. Fixed formulas, nothing fitted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from banditroute.features._text import excerpt, stack
from banditroute.types import Request, Vector

_NAMES = (
    "log_characters",
    "log_sentences",
    "word_length",
    "coleman_liau",
    "automated_readability",
    "code",
    "mathematics",
    "digits",
    "questions",
    "options",
    "other_script",
)

# About the mean and the spread of each raw number over openly licensed prompts of common benchmarks. log_characters is
# stretched to tell 6 characters from 27,000, and other_script to reach 3 only where all is of another script.
_CENTRE = np.array((5.8, 1.5, 4.6, 7.5, 7.0, 0.10, 0.02, 0.08, 0.5, 1.2, 0.0))
_SPREAD = np.array((1.4, 0.7, 0.9, 5.5, 6.0, 0.11, 0.055, 0.11, 0.35, 0.7, 0.33))
_LIMIT = 3.0

# Linear in the text whatever it holds: no repetition that could run on without a match.
_SENTENCE = re.compile(r"""[.!?]["')\]”’]?\s""")
_OPTION = re.compile(r"[\n\t ]\(?(?:[A-Ja-j]|\d{1,2})[.):](?=[ \t])|\n[ \t]{0,8}[-*•][ \t]")
_CODE = ("```", "def ", "return", "import ", "()", "==", "->", "=>", "();", "</", "#include", "SELECT ")


def _classes() -> Vector:
    """Which UTF-8 bytes count for what ``(256, 7)``: the histogram of a text's bytes times this counts them all."""
    latin = [*range(0x41, 0x5B), *range(0x61, 0x7B)]
    extended = range(0xC3, 0xCA)  # lead bytes of U+00C0 to U+024F, where nearly all are Latin letters
    # Lead bytes of Greek, Cyrillic, Hebrew, Arabic, Indic, Georgian, kana, Han, Hangul; not of punctuation or emoji.
    other = [*range(0xCD, 0xE2), *range(0xE3, 0xEE)]
    members: list[Iterable[int]] = [
        [byte for byte in range(256) if not 0x80 <= byte < 0xC0 and byte not in b" \t\n\r\v\f"],  # one a character
        [*latin, *extended, *other],  # letters
        range(0x30, 0x3A),  # digits
        b"{}[]();_#`\\<>=&|",  # marks of code
        b"+*/=^<>%$\\",  # marks of mathematics
        b"?",
        other,
    ]
    classes = np.zeros((256, len(members)))
    for column, bytes_of_class in enumerate(members):
        classes[list(bytes_of_class), column] = 1.0
    return classes


_CLASSES = _classes()


class Complexity:
    """Eleven numbers about the form of a prompt, each in [-3, 3], by fixed formulas.

    Every entry is ``clip((raw - centre) / spread, -3, 3)`` with constants of this version; ``raw`` is

    ``log_characters``
        ln(1 + characters of the whole text).
    ``log_sentences``
        ln(1 + ends of sentences).
    ``word_length``
        Letters and digits per word.
    ``coleman_liau``
        0.0588 L - 0.296 S - 15.8 with L letters and S sentences per 100 words [1]_.
    ``automated_readability``
        4.71 letters and digits per word + 0.5 words per sentence - 21.43 [2]_.
    ``code``, ``mathematics``, ``digits``, ``other_script``
        Square root of the share of characters: marks of code (and twelve of its commonest words, each counted as five
        characters); ``+*/=^<>%$\\``; digits; letters of other scripts than Latin.
    ``questions``, ``options``
        ln(1 + question marks); ln(1 + items of lists, such as ``A. ...``, ``(1) ...`` or ``- ...``).

    White space is not counted among the characters, and capitals are not told from small letters: how a prompt happens
    to be set should not change who answers it. Of a long text the first and the last 8,000 characters are read. Words
    are what white space separates; a script that writes without spaces gives long words, which the limits of the
    entries bound.

    References
    ----------
    .. [1] Coleman, Liau 1975, "A computer readability formula designed for machine scoring", Journal of Applied
       Psychology 60(2).
    .. [2] Senter, Smith 1967, "Automated readability index", AMRL-TR-66-220.

    Examples
    --------
    >>> complexity = Complexity()
    >>> prose, code = complexity.transform([Request(text="Is it cold?"), Request(text="def f(x):\\n    return x[0]")])
    >>> column = complexity.names.index("complexity.code")
    >>> bool(code[column] > prose[column])
    True
    """

    __slots__ = ()

    @property
    def dimension(self) -> int:
        """Length of the vector: 11."""
        return len(_NAMES)

    @property
    def version(self) -> str:
        """Names what the numbers mean."""
        return "complexity-2"

    @property
    def names(self) -> tuple[str, ...]:
        """One name per entry."""
        return tuple(f"complexity.{name}" for name in _NAMES)

    def transform_one(self, request: Request) -> Vector:
        """Features of one request ``(11,)``.

        Raises
        ------
        InvalidRequestError
            For a request without text.
        """
        text = excerpt(request)
        scaled = (_raw(text, characters=len(request.text or "")) - _CENTRE) / _SPREAD
        result: Vector = np.minimum(np.maximum(scaled, -_LIMIT), _LIMIT)
        return result

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Features of many requests ``(n, 11)``."""
        return stack(self, requests)


def _raw(text: str, *, characters: int) -> Vector:
    """The eleven numbers before scaling."""
    histogram = np.bincount(np.frombuffer(text.encode(), dtype=np.uint8), minlength=256)
    read, letters, digits, code, mathematics, questions, other = (histogram @ _CLASSES).tolist()
    whole = read * characters / max(len(text), 1)
    read = read or 1.0
    words = len(text.split()) or 1
    lines = f"\n{text}\n"
    ends = len(_SENTENCE.findall(lines)) + sum(map(text.count, "。！？"))
    sentences = ends or 1
    code_words = sum(map(text.count, _CODE))
    return np.array(
        (
            math.log1p(whole),
            math.log1p(ends),
            (letters + digits) / words,
            5.88 * letters / words - 29.6 * sentences / words - 15.8,
            4.71 * (letters + digits) / words + 0.5 * words / sentences - 21.43,
            math.sqrt((code + 5.0 * code_words) / read),
            math.sqrt(mathematics / read),
            math.sqrt(digits / read),
            math.log1p(questions),
            math.log1p(len(_OPTION.findall(lines))),
            math.sqrt(other / read),
        )
    )
