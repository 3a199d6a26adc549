"""The topic of a prompt, from a sentence transformer or from your own embedding function."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from os import PathLike, fspath
from pathlib import PurePath
from threading import RLock
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from banditroute.core import validation
from banditroute.core.arrays import Vector
from banditroute.core.forking import hold_while_forking
from banditroute.core.optional_imports import optional
from banditroute.core.request import Request
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError
from banditroute.features._text import excerpt
from banditroute.features._together import Together

Embed: TypeAlias = Callable[[list[str]], ArrayLike]
"""A function from texts to their embeddings, as rows ``(n, d)``."""

_MOST_TEXTS_PER_CALL = 64


class SentenceEmbedding:
    """The embedding of a sentence transformer, or of any function, unchanged.

    An embedding has hundreds of small numbers, from which a router learns slowly. For its first directions at unit
    variance, use ``Standardize(block=SentenceEmbedding(...), dimension=16).fit(prompts)``.

    The model serves one call at a time. Texts of other threads that arrive during a call wait, and at most 64 of them
    are embedded together in the next call. If no call is running, a text is embedded at once. Embeddings are cached by
    the SHA-256 of the text that was read; the text itself is not kept. Of a long text the first and the last 8,000
    characters are read, and most sentence transformers read fewer.

    A sentence transformer reads the texts of a call one by one. Texts padded to one length would take longer on a CPU,
    and would change each other's numbers in the seventh digit. With an accelerator, pass a function such as
    ``lambda texts: model.encode(texts)``.

    Parameters
    ----------
    model
        Folder or name of a sentence transformer, or a function ``(list[str]) -> (n, d)``. A sentence transformer needs
        the extra ``embeddings``. It is loaded at the first use; a name that is not in the local cache is downloaded.
    label
        Name of the model in ``version``; change it when the weights change. Default: the last part of the folder or
        name. Required for a function.
    remembered
        Number of cached embeddings, at least 0; the least recently used one is dropped first.

    Raises
    ------
    InvalidConfigurationError
        If a parameter is unusable. On use, if the function does not return finite rows of one length.
    MissingDependencyError
        On use, if sentence-transformers is not installed.

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
        whole(remembered, name="remembered", low=0, error=InvalidConfigurationError)
        if not (callable(model) or isinstance(model, str | PathLike)):
            raise InvalidConfigurationError(f"model is {model!r}; give a folder, a name, or an embedding function")
        if label is None:
            if callable(model):
                raise InvalidConfigurationError(
                    "an embedding function has no version of its own; give label='...' to name what it computes"
                )
            label = PurePath(model).name
        self._label = validation.label(label, name="label", error=InvalidConfigurationError)
        self._model = model
        self._width: int | None = None
        self._remembered = remembered
        self._memory: OrderedDict[bytes, Vector] = OrderedDict()
        self._lock = RLock()
        self._together = Together(self._embed, most=_MOST_TEXTS_PER_CALL)
        hold_while_forking(self, "_lock")

    @property
    def dimension(self) -> int:
        """Length of the vector; reading it loads the model."""
        return self._width or len(self._embeddings([Request(text="")])[0])

    @property
    def version(self) -> str:
        """An identifier of the model."""
        return f"sentence:{self._label}"

    @property
    def names(self) -> tuple[str, ...]:
        """One name per entry."""
        return tuple(f"sentence.{index:03d}" for index in range(self.dimension))

    def transform_one(self, request: Request) -> Vector:
        """Return the features of one request ``(dimension,)``.

        Raises
        ------
        InvalidRequestError
            If the request has no text.
        """
        return self._embeddings([request])[0].copy()

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Return the features of many requests ``(n, dimension)``."""
        return np.array(self._embeddings(requests)).reshape(len(requests), self.dimension)

    def _embeddings(self, requests: Sequence[Request]) -> list[Vector]:
        """Return the embeddings ``(d,)`` of the texts from cache or model; callers must not change them."""
        texts = [excerpt(request) for request in requests]
        keys = [hashlib.sha256(text.encode()).digest() for text in texts]
        with self._lock:
            rows = {key: self._memory[key] for key in keys if key in self._memory}
            for key in rows:
                self._memory.move_to_end(key)
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in rows}
        if new:
            rows.update(zip(new, self._together(new.values()), strict=True))
            with self._lock:
                self._memory.update((key, rows[key].copy()) for key in new)  # a view would keep the whole batch alive
                while len(self._memory) > self._remembered:
                    self._memory.popitem(last=False)
        return [rows[key] for key in keys]

    def _embed(self, texts: list[str]) -> Vector:
        """Call the model and return one row for each text ``(n, d)``; raise if the rows are not finite numbers."""
        if not callable(self._model):
            self._model = _load(fspath(self._model))
        try:
            rows = np.array(self._model(texts), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidConfigurationError(
                f"the embedding function {self._label!r} did not return an array of numbers"
            ) from error
        if rows.ndim != 2 or len(rows) != len(texts) or not rows.size or not np.isfinite(rows).all():
            raise InvalidConfigurationError(
                f"the embedding function {self._label!r} returned the shape {rows.shape} for {len(texts)} texts, or "
                "numbers that are not finite; it must return one row of finite numbers for each text"
            )
        self._width = self._width or rows.shape[1]
        if rows.shape[1] != self._width:
            raise InvalidConfigurationError(
                f"the embedding function {self._label!r} returned {rows.shape[1]} numbers for a text, {self._width} "
                "before; it must return rows of one length"
            )
        return rows


def _load(model: str) -> Embed:
    """Load a sentence transformer and return its embedding function."""
    transformer = optional("sentence_transformers", extra="embeddings").SentenceTransformer(model)

    def embed(texts: list[str]) -> ArrayLike:
        rows: ArrayLike = transformer.encode(texts, batch_size=1, show_progress_bar=False)
        return rows

    return embed
