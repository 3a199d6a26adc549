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
from banditroute.features import _state
from banditroute.features._text import excerpt, stack
from banditroute.features._whitening import whitening
from banditroute.types import Request, Vector

Embed: TypeAlias = Callable[[list[str]], ArrayLike]
"""Texts -> one embedding each, as rows ``(n, d)``."""


class SentenceEmbedding:
    """The embedding of a sentence transformer, or of any function, reduced to few whitened directions.

    ``x = (e - mean) W`` with ``mean`` and ``W`` fitted by :meth:`fit` on prompts like those to come: ``W`` projects on
    the ``dimension`` principal directions and scales each to unit variance. Without ``dimension`` there is nothing to
    fit, and ``x = e``.

    Each text is embedded alone, so that a vector depends on no other text, and remembered by the SHA-256 of what was
    read of it; the text itself is not kept. Of a long text the first and the last 8,000 characters are read, and
    most sentence transformers read fewer.

    Parameters
    ----------
    model
        Folder or name of a sentence transformer (needs the extra ``embeddings``; loaded at the first use, and by
        name from the network unless it is in the local cache), or a function ``(list[str]) -> (n, d)``.
    dimension
        How many principal directions to give, at least 1; None gives the embedding as it is.
    label
        Names the model in ``version``; change it when the weights change. By default the last part of the folder or
        name; a function needs one.
    remembered
        How many embeddings to remember, at least 0, the least recently used forgotten first.

    Raises
    ------
    InvalidConfigurationError
        For an unusable parameter; on use, where :meth:`fit` is missing, or where the function returns anything but
        finite rows of one length.
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
        dimension: int | None = None,
        label: str | None = None,
        remembered: int = 4096,
    ) -> None:
        for name, value, least in (("dimension", dimension, 1), ("remembered", remembered, 0)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise InvalidConfigurationError(f"{name} is {value!r}; give a whole number of at least {least}")
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
        self._dimension = dimension
        self._mean: Vector | None = None
        self._projection: Vector | None = None
        self._width: int | None = None
        self._remembered = remembered
        self._memory: OrderedDict[bytes, Vector] = OrderedDict()
        self._lock = Lock()

    @property
    def dimension(self) -> int:
        """Length of the vector; where no ``dimension`` was given, that of the model, which this loads."""
        return self._dimension or len(self._embedding(""))

    @property
    def version(self) -> str:
        """Names the model, and the projection by what was fitted."""
        if self._dimension is None:
            return f"sentence:{self._label}"
        mean, projection = self._fitted()
        return f"sentence:{self._label}:{self._dimension}:{_state.digest(mean, projection)}"

    @property
    def names(self) -> tuple[str, ...]:
        """One name per entry."""
        return tuple(f"sentence.{index:03d}" for index in range(self.dimension))

    def fit(self, prompts: Sequence[str]) -> SentenceEmbedding:
        """Fit the projection to ``dimension`` directions, and return self.

        Parameters
        ----------
        prompts
            Prompts like those to come, more of them than ``dimension``; a few hundred do.

        Raises
        ------
        InvalidConfigurationError
            Where no ``dimension`` was given, or the prompts do not vary in that many directions.
        """
        if self._dimension is None:
            raise InvalidConfigurationError("without a dimension there is nothing to fit; give dimension=16, say")
        embeddings = np.array([self._embedding(excerpt(Request(text=prompt))) for prompt in prompts])
        self._mean, self._projection = whitening(embeddings, self._dimension)
        return self

    def save(self, path: str | PathLike[str]) -> None:
        """Write what :meth:`fit` found, as a file without pickle; the model itself is not in it.

        Raises
        ------
        InvalidConfigurationError
            Where nothing was fitted.
        OSError
            If the file cannot be written; an older one is then still whole.
        """
        mean, projection = self._fitted()
        _state.save(path, owner=self._owner, arrays={"mean": mean, "projection": projection})

    def load(self, path: str | PathLike[str]) -> SentenceEmbedding:
        """Read what :meth:`save` wrote, instead of fitting, and return self: the version is that of the saved one.

        Raises
        ------
        InvalidConfigurationError
            For any other file, and for one saved with another label or dimension; nothing is changed.
        OSError
            If the file cannot be read.
        """
        arrays = _state.load(path, owner=self._owner, names=("mean", "projection"))
        self._mean, self._projection = arrays["mean"], arrays["projection"]
        return self

    @property
    def _owner(self) -> str:
        """What a saved projection belongs to."""
        return f"SentenceEmbedding(label={self._label!r}, dimension={self._dimension})"

    def transform_one(self, request: Request) -> Vector:
        """Features of one request ``(dimension,)``.

        Raises
        ------
        InvalidRequestError
            For a request without text.
        """
        embedding = self._embedding(excerpt(request))
        if self._dimension is None:
            return embedding.copy()
        mean, projection = self._fitted()
        result: Vector = (embedding - mean) @ projection
        return result

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Features of many requests ``(n, dimension)``."""
        return stack(self, requests)

    def _fitted(self) -> tuple[Vector, Vector]:
        """Mean ``(d,)`` and projection ``(d, dimension)``."""
        if self._mean is None or self._projection is None:
            raise InvalidConfigurationError(
                f"SentenceEmbedding(dimension={self._dimension}) is not fitted; call fit(prompts) with a few hundred "
                "prompts like those to come, load(path) what was saved, or leave dimension out"
            )
        return self._mean, self._projection

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
