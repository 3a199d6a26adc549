"""The topic of a prompt, from a shipped table: a weighted mean of one whitened vector per token."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.forking import hold_while_forking
from banditroute.core.request import Request
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError
from banditroute.features._text import RECENT, excerpt, stack
from banditroute.features._wordpiece import WordPieces

MAXIMUM = 64
"""Number of directions in the shipped table."""

PRIOR_TOKENS = 4.0
"""Weight of the average prompt in every mean, in tokens; it keeps a text of a few tokens near zero."""

_LARGEST_ENTRY = 4.0  # in standard deviations over prompts


@dataclass(frozen=True, slots=True)
class _Table:
    """The shipped table in memory, with the tokeniser that finds its rows."""

    pieces: WordPieces
    vectors: NDArray[np.float32]  # (tokens, MAXIMUM), weighted, projected, whitened
    weights: Vector  # (tokens,), 0 for tokens without meaning, such as [UNK]


class StaticEmbedding:
    """Topic and style of a prompt: the mean of shipped token vectors, distilled from a sentence transformer.

    The features are ``x = clip(sum_t w_t v_t / (4 + sum_t w_t), -4, 4)`` over the WordPiece tokens ``t`` of the text.
    ``v_t`` is the unit vector of the token in all-MiniLM-L6-v2, minus the mean of prompts. It is projected on the
    directions in which prompts vary most, each scaled to unit variance over prompts. ``w_t = a / (a + p_t)`` reduces
    the weight of frequent words [1]_; their frequency ``p_t`` follows from their rank by Zipf's law, as in [2]_. The 4
    stands for four tokens of the mean prompt, so that a text of a few words stays near zero.

    The files in ``data/static_minilm`` say how the table was made and which licence it has. Of a long text the first
    and the last 8,000 characters are read. The table is read once per process, at the first use.

    Parameters
    ----------
    dimension
        Number of directions, 1 to 64, the strongest first. Fewer learn faster; more distinguish more topics.

    Raises
    ------
    InvalidConfigurationError
        If the dimension is out of range.

    References
    ----------
    .. [1] Arora, Liang, Ma 2017, "A simple but tough-to-beat baseline for sentence embeddings", ICLR.
    .. [2] Tulkens, van Dongen 2024, "Model2Vec: fast state-of-the-art static embeddings".

    Examples
    --------
    >>> static = StaticEmbedding(dimension=32)
    >>> texts = ["Write a poem about autumn", "Write a song about winter", "Sort a list of numbers in Python"]
    >>> poem, song, code = static.transform([Request(text=text) for text in texts])
    >>> bool(poem @ song > poem @ code)
    True
    >>> bool(static.transform_one(Request(text="")).any())
    False
    """

    __slots__ = ("_dimension",)

    def __init__(self, *, dimension: int = 16) -> None:
        self._dimension = whole(dimension, name="dimension", high=MAXIMUM, error=InvalidConfigurationError)

    @property
    def dimension(self) -> int:
        """Length of the vector."""
        return self._dimension

    @property
    def version(self) -> str:
        """An identifier of the table and of the number of directions."""
        return f"static-minilm-1:{self._dimension}"

    @property
    def names(self) -> tuple[str, ...]:
        """One name per direction."""
        return tuple(f"static.{index:02d}" for index in range(self._dimension))

    def transform_one(self, request: Request) -> Vector:
        """Return the features of one request ``(dimension,)``; zeros for a text without a known token.

        Raises
        ------
        InvalidRequestError
            If the request has no text.
        """
        table = shipped_table()
        rows = _rows(excerpt(request))
        weight = table.weights[rows].sum()
        total = _columns(self._dimension).take(rows, axis=0).sum(axis=0, dtype=np.float64)
        result: Vector = np.clip(total / (PRIOR_TOKENS + weight), -_LARGEST_ENTRY, _LARGEST_ENTRY)
        return result

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Return the features of many requests ``(n, dimension)``."""
        return stack(self, requests)


_loaded: _Table | None = None
_loading = RLock()
hold_while_forking(sys.modules[__name__], "_loading")


def shipped_table() -> _Table:
    """Return the table of this process."""
    global _loaded
    if _loaded is None:
        with _loading:
            if _loaded is None:
                _loaded = load_table()
    return _loaded


@lru_cache(maxsize=2)
def _columns(dimension: int) -> NDArray[np.float32]:
    """Return the first columns of the vectors ``(tokens, dimension)``, next to each other in memory."""
    return np.ascontiguousarray(shipped_table().vectors[:, :dimension])


@lru_cache(maxsize=RECENT)
def _rows(text: str) -> NDArray[np.intp]:
    """Return the table rows of a text's tokens."""
    return np.array(shipped_table().pieces.rows(text), dtype=np.intp)


def load_table() -> _Table:
    """Read what ``scripts/distill_static.py`` wrote."""
    folder = files("banditroute.features") / "data" / "static_minilm"
    vocabulary = (folder / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    with (folder / "vectors.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        weights = arrays["weights"]
        vectors = arrays["vectors"] * (arrays["scales"] * weights[:, None])
    return _Table(WordPieces(vocabulary), vectors, weights.astype(np.float64))
