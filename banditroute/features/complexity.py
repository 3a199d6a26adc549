"""The form of a prompt: length, readability, code, mathematics, script. The formulas are fixed; nothing is fitted."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.features._text import RECENT, excerpt, stack

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
    "vocabulary",
    "list",
    "table",
    "json",
    "imperative",
    "english",
    "other_language",
    "turns",
    "system",
    "tools",
)

# Rounded mean and standard deviation of each raw number over openly licensed prompts of common benchmarks, with these
# exceptions: log_characters has a larger scale, so that 6 and 27,000 characters differ. other_script reaches 3 only if
# the whole text is in another script. The scale of a rare mark is such that 3 means a text of nothing else.
_CENTRE = np.array((5.8, 1.5, 4.6, 7.5, 7.0, 0.10, 0.02, 0.08, 0.5, 1.2, 0.0, 0.93, 0.4, 0, 0, 0.2, 0.5, 0, 0, 0, 0))
_SCALE = np.array(
    (1.4, 0.7, 0.9, 5.5, 6.0, 0.11, 0.055, 0.11, 0.35, 0.7, 0.33, 0.05, 0.35, 0.33, 0.2, 0.3, 0.17, 0.2, 0.7, 1.0, 0.33)
)
_LARGEST_ENTRY = 3.0

# These patterns take time linear in the text: no repetition can run on without a match.
_SENTENCE = re.compile(r"""[.!?]["')\]”’]?\s""")
_OPTION = re.compile(  # looks for the last character of a mark first, since it is rare, then looks back
    r"[.):](?=[ \t])(?:(?<=[\n\t ][A-Ja-j\d].)|(?<=[\n\t ]\d\d.)|(?<=[\n\t ]\([A-Ja-j\d].)|(?<=[\n\t ]\(\d\d.))"
)
_BULLET = re.compile(r"\n[ \t]{0,8}[-*•][ \t]")
_ITEM = re.compile(r"\n[ \t]*(?:[-*•]|\(?(?:[A-Ja-j]|\d{1,3})[.):])[ \t]")
_BEGIN = re.compile(r"[.!?:;](?=\s+(\S+))")  # of a sentence or clause: its first word
_KEY = re.compile(r'"\s*:')
_CODE = ("```", "def ", "return", "import ", "()", "==", "->", "=>", "();", "</", "#include", "SELECT ")


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# Verbs that begin an instruction to an assistant, and short frequent words that nearly every text of a language has.
_IMPERATIVES = _words(
    "add analyse analyze answer arrange assume build calculate change check choose classify combine compare complete "
    "compose compute consider convert correct count create decide define describe design determine develop draft edit "
    "estimate evaluate explain express extract fill find fix follow format generate give help identify imagine "
    "implement improve list make modify name organise organize outline paraphrase perform pick plan predict prepare "
    "print produce proofread propose prove provide rank rate read recommend rephrase replace respond return review "
    "rewrite select show simplify solve sort suggest summarise summarize tell translate use verify write"
)
_ENGLISH = _words(
    "a an and are as at be by for from has have his how if in is it its not of on or that the their they this to was "
    "what which with you your"
)
_OTHERS = _words(  # German, French, Spanish, Italian, Dutch, Portuguese
    "auf das dem den der des die ein eine ist mit nicht und von wie zu dans du est et la le les par pas pour que qui "
    "sur un une con del el en los por se una y che della di gli il non per sono het een niet van zijn com da dos não "
    "os uma"
)


def _classes() -> Vector:
    """Return the classes of UTF-8 bytes ``(256, 7)``: a histogram of bytes times this matrix counts each class."""
    latin = [*range(0x41, 0x5B), *range(0x61, 0x7B)]
    extended = range(0xC3, 0xCA)  # lead bytes of U+00C0 to U+024F, nearly all of them Latin letters
    # Lead bytes of Greek, Cyrillic, Hebrew, Arabic, Indic, Georgian, kana, Han, Hangul; not of punctuation or emoji.
    other = [*range(0xCD, 0xE2), *range(0xE3, 0xEE)]
    members: list[Iterable[int]] = [
        [byte for byte in range(256) if not 0x80 <= byte < 0xC0 and byte not in b" \t\n\r\v\f"],  # characters
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
    """Twenty-one numbers that describe the form of a prompt, each in [-3, 3], by fixed formulas.

    Every entry is ``clip((raw - centre) / std, -3, 3)`` with constants of this version; ``raw`` is

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
        Square root of the share of characters: marks of code (and twelve common words of code, each counted as five
        characters); ``+*/=^<>%$\\``; digits; letters of non-Latin scripts.
    ``questions``, ``options``
        ln(1 + question marks); ln(1 + items of lists, such as ``A. ...``, ``(1) ...`` or ``- ...``).
    ``vocabulary``
        ln(different words) / ln(words) [3]_, which hardly depends on the length; 1 for a text of at most one word.
    ``list``, ``table``
        Square root of the share of lines that begin like a list item; of lines with two ``|`` or more.
    ``json``
        Square root of the share of characters that belong to keys (``"...":``), each counted as five characters.
    ``imperative``
        Square root of the share of sentences and clauses that begin with a verb such as *write* or *explain*.
    ``english``, ``other_language``
        Square root of the share of words that are among the 35 commonest of English; among those of six other
        European languages.
    ``turns``, ``system``, ``tools``
        For a conversation: ln(user messages), at least 0; 1 if it has a system message, else 0; square root of the
        share of messages that are tool results. A text alone counts as one user message.

    White space does not count as characters, and case does not matter: the layout of a prompt should not change which
    arm answers it. Of a long text the first and the last 8,000 characters are read. Words are separated by white space.
    A script without spaces gives long words; the limits of the entries bound their effect.

    References
    ----------
    .. [1] Coleman, Liau 1975, "A computer readability formula designed for machine scoring", Journal of Applied
       Psychology 60(2).
    .. [2] Senter, Smith 1967, "Automated readability index", AMRL-TR-66-220.
    .. [3] Herdan 1960, "Type-token mathematics".

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
        """Length of the vector: 21."""
        return len(_NAMES)

    @property
    def version(self) -> str:
        """An identifier of the formulas."""
        return "complexity-3"

    @property
    def names(self) -> tuple[str, ...]:
        """One name per entry."""
        return tuple(f"complexity.{name}" for name in _NAMES)

    def transform_one(self, request: Request) -> Vector:
        """Return the features of one request ``(21,)``.

        Raises
        ------
        InvalidRequestError
            If the request has no text.
        """
        scaled = (_raw(request) - _CENTRE) / _SCALE
        result: Vector = np.minimum(np.maximum(scaled, -_LARGEST_ENTRY), _LARGEST_ENTRY)
        return result

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Return the features of many requests ``(n, 21)``."""
        return stack(self, requests)


def _raw(request: Request) -> Vector:
    """Return the numbers before scaling."""
    text = excerpt(request)
    return np.array((*_written(text, len(request.text or "")), *_roles(request.messages)))


@lru_cache(maxsize=RECENT)
def _written(text: str, characters: int) -> tuple[float, ...]:
    """Return the raw numbers that depend on the text alone, ``log_characters`` to ``other_language``."""
    lower = text.lower()
    words = lower.split()
    return (*_form(text, characters=characters, words=len(words) or 1), *_language(text, lower, words))


def _form(text: str, *, characters: int, words: int) -> tuple[float, ...]:
    """Measure length, readability and marks: ``log_characters`` to ``other_script``."""
    histogram = np.bincount(np.frombuffer(text.encode(), dtype=np.uint8), minlength=256)
    read, letters, digits, code, mathematics, questions, other = (histogram @ _CLASSES).tolist()
    whole = read * characters / max(len(text), 1)
    read = read or 1.0
    lines = f"\n{text}\n"
    ends = len(_SENTENCE.findall(lines)) + sum(map(text.count, "。！？"))
    sentences = ends or 1
    code_words = sum(map(text.count, _CODE))
    return (
        math.log1p(whole),
        math.log1p(ends),
        (letters + digits) / words,
        5.88 * letters / words - 29.6 * sentences / words - 15.8,
        4.71 * (letters + digits) / words + 0.5 * words / sentences - 21.43,
        math.sqrt((code + 5.0 * code_words) / read),
        math.sqrt(mathematics / read),
        math.sqrt(digits / read),
        math.log1p(questions),
        math.log1p(len(_OPTION.findall(lines)) + len(_BULLET.findall(lines))),
        math.sqrt(other / read),
    )


def _language(text: str, lower: str, words: Sequence[str]) -> tuple[float, ...]:
    """Measure words and lines: ``vocabulary`` to ``other_language``."""
    n = len(words) or 1
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    rows = sum(line.count("|") > 1 for line in lines) if "|" in text else 0
    keys = 5.0 * len(_KEY.findall(text)) / sum(map(len, words)) if '"' in text else 0.0
    begins = [*words[:1], *_BEGIN.findall(lower)]
    return (
        math.log(len(set(words))) / math.log(n) if n > 1 else 1.0,
        math.sqrt(len(_ITEM.findall(f"\n{text}")) / (len(lines) or 1)),
        math.sqrt(rows / (len(lines) or 1)),
        math.sqrt(keys),
        math.sqrt(_count(begins, _IMPERATIVES) / (len(begins) or 1)),
        math.sqrt(_count(words, _ENGLISH) / n),
        math.sqrt(_count(words, _OTHERS) / n),
    )


def _count(words: Sequence[str], listed: frozenset[str]) -> int:
    return len(list(filter(listed.__contains__, words)))


def _roles(messages: Sequence[tuple[str, str]]) -> tuple[float, ...]:
    """Measure the roles of a conversation: ``turns``, ``system``, ``tools``."""
    roles = [role for role, _ in messages]
    return (
        math.log(max(roles.count("user"), 1)),
        float("system" in roles or "developer" in roles),
        math.sqrt((roles.count("tool") + roles.count("function")) / (len(roles) or 1)),
    )
