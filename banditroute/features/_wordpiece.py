"""Tokenise a text into rows of a vocabulary, by the WordPiece rules of BERT."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_ASCII_WORD = re.compile(rf"[a-z0-9]+|[{re.escape(string.punctuation)}]")
_ASCII_CONTROL = bytes({*range(0x20), 0x7F} - set(b"\t\n\r"))
_HAN = re.compile(  # each of these characters is a word
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b81f\U0002b920-\U0002ceaf"
    "\U0002f800-\U0002fa1f]"
)
_LONGEST_WORD = 100  # BERT takes a longer one for unknown
_CACHED_WORDS, _LONGEST_CACHED_WORD = 16_384, 32  # of those that are not tokens; at most about 4 MB


class WordPieces:
    """The uncased BERT tokeniser: it cuts a text into words, and words into the longest pieces of ``vocabulary``.

    It gives what the ``tokenizers`` package gives, which would bring a hub's clients. The exceptions are words that mix
    letters with characters of scripts that Unicode has added since its version 8. Most ASCII words are whole tokens of
    the vocabulary: splitting and a look-up find them. The pieces of the latest other words are cached.

    Parameters
    ----------
    vocabulary
        The tokens, including ``[UNK]``; pieces that continue a word begin with ``##``.
    """

    __slots__ = ("_pieces", "_rows", "_words")

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._rows = rows = {token: row for row, token in enumerate(vocabulary)}
        self._words = {token: row for token, row in rows.items() if _ASCII_WORD.fullmatch(token)}
        self._pieces = lru_cache(maxsize=_CACHED_WORDS)(self.cut)

    def rows(self, text: str) -> list[int]:
        """Return the vocabulary rows of the tokens of ``text``, repeated as they occur, in no particular order."""
        text = text.encode().translate(None, _ASCII_CONTROL).decode()
        others: list[str] = []
        if not text.isascii():
            chunks = text.replace("\x85", "").split()  # a control character to BERT, white space to Python
            others = [chunk for chunk in chunks if not chunk.isascii()]
            text = " ".join(chunk for chunk in chunks if chunk.isascii())
        words = _split(text.lower())
        found = list(map(self._words.get, words))
        rows = [row for row in found if row is not None]
        if len(rows) < len(found):
            others += [word for word, row in zip(words, found, strict=True) if row is None]
        for word in others:  # no piece depends on the words next to it
            rows += self._pieces(word) if len(word) <= _LONGEST_CACHED_WORD else self.cut(word)
        return rows

    def cut(self, word: str) -> tuple[int, ...]:
        """Return the rows of a word's pieces: from its begin on, each is the longest that is in the vocabulary."""
        if not word.isascii():
            return tuple(row for part in word.translate(_PLAIN).split() for row in self._cut_whole(part))
        return self._cut_whole(word)

    def _cut_whole(self, word: str) -> tuple[int, ...]:
        if len(word) > _LONGEST_WORD:
            return (self._rows["[UNK]"],)
        found, begin = [], 0
        while begin < len(word):
            mark = "##" if begin else ""
            ends = range(len(word), begin, -1)
            end = next((end for end in ends if mark + word[begin:end] in self._rows), None)
            if end is None:
                return (self._rows["[UNK]"],)
            found.append(self._rows[mark + word[begin:end]])
            begin = end
        return tuple(found)


def _split(text: str) -> list[str]:
    """Return the words and punctuation marks of a lower-case ASCII text: twice as fast as a regular expression."""
    for mark in string.punctuation:
        if mark in text:
            text = text.replace(mark, f" {mark} ")
    return text.split()


class _PlainCharacters(dict[int, str]):
    """Code point -> the character in lower case and without accents, as ``str.translate`` uses it.

    A word of its own is set apart by spaces, and a control character is left out. What was looked up is kept: a
    megabyte at most, for every letter that there is.
    """

    def __missing__(self, code_point: int) -> str:
        plain = self[code_point] = _plain(chr(code_point))
        return plain


def _plain(character: str) -> str:
    if character == "\ufffd" or (unicodedata.category(character) in ("Cc", "Cf", "Co") and character not in "\t\n\r"):
        return ""
    if character.isspace():
        return " "
    # Letter by letter: the lower case of a whole word knows of its end, as that of a Greek sigma does.
    letters = [each for each in unicodedata.normalize("NFD", character) if unicodedata.category(each) != "Mn"]
    plain = "".join(f" {each} " if _is_punctuation(each) else each.lower() for each in letters)
    return f" {plain} " if _HAN.fullmatch(character) else plain


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


_PLAIN = _PlainCharacters()
