"""What a prompt is about, from a sentence transformer or an embedding function of your own."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from os import PathLike, fspath
from pathlib import PurePath
from threading import Lock
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from banditroute import _validate
from banditroute._imports import optional
from banditroute.errors import InvalidConfigurationError
from banditroute.features._text import excerpt, stack
from banditroute.types import Request, Vector

Embed: TypeAlias = Callable[[list[str]], ArrayLike]
"""Texts -> one embedding each, as rows ``(n, d)``."""


class SentenceEmbedding:
    """The embedding of a sentence transformer, or of any function, as it is.

    It has hundreds of small numbers, from which a router learns slowly. ``Standardize(block=SentenceEmbedding(...),
    dimension=16).fit(prompts)`` gives its first few directions at unit variance.

    Each text is embedded alone, so that a vector depends on no other text, and remembered by the SHA-256 of what was
    read of it; the text itself is not kept. Of a long text the first and the last 8,000 characters are read, and
    most sentence transformers read fewer.

    Parameters
    ----------
    model
        Folder or name of a sentence transformer (needs the extra ``embeddings``; loaded at the first use, and by
        name from the network unless it is in the local cache), or a function ``(list[str]) -> (n, d)``.
    label
        Names the model in ``version``; change it when the weights change. By default the last part of the folder or
        name; a function needs one.
    remembered
        How many embeddings to remember, at least 0, the least recently used forgotten first.

    Raises
    ------
    InvalidConfigurationError
        For an unusable parameter; on use, where the function returns anything but finite rows of one length.
    MissingDependencyError
        On use, where sentence-transformers is not installed.

    Examples
    --------
    >>> counts = SentenceEmbedding(model=lambda texts: [[len(t), t.count(" ")] for t in texts], label="counts")
    >>> counts.transform_one(Request(text="two words"))
    array([9., 1.])
    """

    def __init__(
        self,
        *,
        model: str | PathLike[str] | Embed,
        label: str | None = None,
        remembered: int = 4096,
    ) -> None:
        if isinstance(remembered, bool) or not isinstance(remembered, int) or remembered < 0:
            raise InvalidConfigurationError(f"remembered is {remembered!r}; give a whole number of at least 0")
        if not (callable(model) or isinstance(model, str | PathLike)):
            raise InvalidConfigurationError(f"model is {model!r}; give a folder, a name, or an embedding function")
        if label is None:
            if callable(model):
                raise InvalidConfigurationError(
                    "an embedding function has no version of its own; give label='...' to name what it computes"
                )
            label = PurePath(model).name
        self._label = _validate.label(label, name="label", error=InvalidConfigurationError)
        self._model = model
        self._embed = model if callable(model) else None
        self._width: int | None = None
        self._remembered = remembered
        self._memory: OrderedDict[bytes, Vector] = OrderedDict()
        self._lock = Lock()

    @property
    def dimension(self) -> int:
        """Length of the vector, which this loads the model to know."""
        return self._width or len(self._embedding(""))

    @property
    def version(self) -> str:
        """Names the model."""
        return f"sentence:{self._label}"

    @property
    def names(self) -> tuple[str, ...]:
        """One name per entry."""
        return tuple(f"sentence.{index:03d}" for index in range(self.dimension))

    def transform_one(self, request: Request) -> Vector:
        """Features of one request ``(dimension,)``.

        Raises
        ------
        InvalidRequestError
            For a request without text.
        """
        return self._embedding(excerpt(request)).copy()

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Features of many requests ``(n, dimension)``."""
        return stack(self, requests)

    def _embedding(self, text: str) -> Vector:
        """Embedding of one text ``(d,)``, remembered; not to be changed by whoever gets it."""
        key = hashlib.sha256(text.encode()).digest()
        with self._lock:
            known = self._memory.get(key)
            if known is not None:
                self._memory.move_to_end(key)
                return known
            if self._embed is None:
                self._embed = _load(fspath(self._model))  # type: ignore[arg-type]
        row = _one_row(self._embed([text]), self._label)
        with self._lock:
            self._width = self._width or len(row)
            if len(row) != self._width:
                raise InvalidConfigurationError(
                    f"the embedding function {self._label!r} gave {len(row)} numbers for one text, {self._width} "
                    "before; it must give rows of one length"
                )
            self._memory[key] = row
            while len(self._memory) > self._remembered:
                self._memory.popitem(last=False)
        return row


def _load(model: str) -> Embed:
    """The ``encode`` of a sentence transformer."""
    transformer = optional("sentence_transformers", extra="embeddings").SentenceTransformer(model)

    def embed(texts: list[str]) -> ArrayLike:
        rows: ArrayLike = transformer.encode(texts, show_progress_bar=False)
        return rows

    return embed


def _one_row(rows: ArrayLike, label: str) -> Vector:
    """The only row of ``rows``, as a copy, if it is one of finite numbers."""
    try:
        array = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidConfigurationError(f"the embedding function {label!r} gave no array of numbers") from error
    if array.ndim != 2 or len(array) != 1 or not array.size or not np.isfinite(array).all():
        raise InvalidConfigurationError(
            f"the embedding function {label!r} gave the shape {array.shape} for one text, or numbers that are not "
            "finite; it must give one row of finite numbers for each text"
        )
    row: Vector = array[0]
    return row
