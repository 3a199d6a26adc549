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

from banditroute.core import validation
from banditroute.core.arrays import Vector
from banditroute.core.optional_imports import optional
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError
from banditroute.features._text import excerpt
from banditroute.features._together import Together

Embed: TypeAlias = Callable[[list[str]], ArrayLike]
"""Texts -> one embedding each, as rows ``(n, d)``."""

_MOST = 64


class SentenceEmbedding:
    """The embedding of a sentence transformer, or of any function, as it is.

    It has hundreds of small numbers, from which a router learns slowly. ``Standardize(block=SentenceEmbedding(...),
    dimension=16).fit(prompts)`` gives its first few directions at unit variance.

    The model is called once at a time. Texts of other threads that come meanwhile wait, and are embedded together in
    the next call, at most 64; a text that finds no call running waits for nobody. An embedding is remembered by the
    SHA-256 of what was read of the text; the text itself is not kept. Of a long text the first and the last 8,000
    characters are read, and most sentence transformers read fewer. A sentence transformer reads the texts of a call one
    by one: padded to one length they would take longer on a processor, and move each other's numbers in the seventh
    digit. With an accelerator give a function of your own, such as ``lambda texts: model.encode(texts)``.

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
        self._label = validation.label(label, name="label", error=InvalidConfigurationError)
        self._model = model
        self._width: int | None = None
        self._remembered = remembered
        self._memory: OrderedDict[bytes, Vector] = OrderedDict()
        self._lock = Lock()
        self._together = Together(self._embed, most=_MOST)

    @property
    def dimension(self) -> int:
        """Length of the vector, which this loads the model to know."""
        return self._width or len(self._embeddings([Request(text="")])[0])

    @property
    def version(self) -> str:
        """Names the model."""
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
        """Embeddings ``(d,)`` of the texts, remembered; not to be changed by whoever gets them."""
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
                self._memory.update((key, rows[key].copy()) for key in new)  # not the whole batch with each
                while len(self._memory) > self._remembered:
                    self._memory.popitem(last=False)
        return [rows[key] for key in keys]

    def _embed(self, texts: list[str]) -> Vector:
        """What the model gives for ``texts``, if it is one row of finite numbers each ``(n, d)``."""
        if not callable(self._model):
            self._model = _load(fspath(self._model))
        try:
            rows = np.array(self._model(texts), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidConfigurationError(
                f"the embedding function {self._label!r} gave no array of numbers"
            ) from error
        if rows.ndim != 2 or len(rows) != len(texts) or not rows.size or not np.isfinite(rows).all():
            raise InvalidConfigurationError(
                f"the embedding function {self._label!r} gave the shape {rows.shape} for a list of {len(texts)}, or "
                "numbers that are not finite; it must give one row of finite numbers for each text"
            )
        self._width = self._width or rows.shape[1]
        if rows.shape[1] != self._width:
            raise InvalidConfigurationError(
                f"the embedding function {self._label!r} gave {rows.shape[1]} numbers for a text, {self._width} "
                "before; it must give rows of one length"
            )
        return rows


def _load(model: str) -> Embed:
    """The ``encode`` of a sentence transformer."""
    transformer = optional("sentence_transformers", extra="embeddings").SentenceTransformer(model)

    def embed(texts: list[str]) -> ArrayLike:
        rows: ArrayLike = transformer.encode(texts, batch_size=1, show_progress_bar=False)
        return rows

    return embed
