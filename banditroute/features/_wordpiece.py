"""Tokenise a text into rows of a vocabulary, by the WordPiece rules of BERT."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from functools import lru_cache

_ASCII_WORD = re.compile(rf"[a-z0-9]+|[{re.escape(string.punctuation)}]")
_ASCII_CONTROL = bytes({*range(0x20), 0x7F} - set(b"\t\n\r"))
_LONGEST_WORD = 100  # BERT takes a longer one for unknown
_CACHED_WORDS, _LONGEST_CACHED_WORD = 16_384, 32  # of those that are not tokens; at most about 4 MB


class WordPieces:
    """The uncased BERT tokeniser: it cuts a text into words, and words into the longest pieces of ``vocabulary``.

    Most ASCII words are whole tokens of the vocabulary. Splitting and a look-up find them several times as fast as the
    ``tokenizers`` package, which gets only words with other characters. The pieces of the latest words are cached.

    Parameters
    ----------
    vocabulary
        The tokens, including ``[UNK]``; pieces that continue a word begin with ``##``.
    """

    __slots__ = ("_pieces", "_rows", "_tokenizer", "_words")

    def __init__(self, vocabulary: Sequence[str]) -> None:
        from tokenizers import Tokenizer
        from tokenizers.models import WordPiece
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer

        self._rows = rows = {token: row for row, token in enumerate(vocabulary)}
        self._tokenizer = Tokenizer(WordPiece(rows, unk_token="[UNK]"))
        self._tokenizer.normalizer = BertNormalizer(lowercase=True)
        self._tokenizer.pre_tokenizer = BertPreTokenizer()
        self._words = {token: row for token, row in rows.items() if _ASCII_WORD.fullmatch(token)}
        self._pieces = lru_cache(maxsize=_CACHED_WORDS)(self._cut)

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
            rows += self._pieces(word) if len(word) <= _LONGEST_CACHED_WORD else self._cut(word)
        return rows

    def _cut(self, word: str) -> tuple[int, ...]:
        """Return the rows of a word's pieces: from its begin on, each is the longest that is in the vocabulary."""
        if not word.isascii():
            return tuple(self._tokenizer.encode(word, add_special_tokens=False).ids)
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
