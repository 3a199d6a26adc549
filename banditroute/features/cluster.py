"""Prompt clusters: a soft assignment of each prompt to the centres of a codebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import as_file, files
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError
from banditroute.features import _state
from banditroute.features._text import stack
from banditroute.features.complexity import Complexity
from banditroute.features.compose import Compose
from banditroute.features.static_embedding import MAXIMUM, StaticEmbedding

SOFTNESS = 0.35
"""Temperature of a codebook, divided by the mean squared distance from prompts to the nearest centre."""


def cluster_space() -> Compose:
    """Return the features used for clustering: :class:`Complexity` and all directions of :class:`StaticEmbedding`."""
    return Compose(blocks=[Complexity(), StaticEmbedding(dimension=MAXIMUM)])


@dataclass(frozen=True, eq=False, kw_only=True)
class Codebook:
    """The centres of clusters, and the scale by which distances to them are measured.

    Attributes
    ----------
    centre, scale : (s,)
        Each number of :func:`cluster_space` minus ``centre`` is divided by ``scale`` (above 0).
    centres : (K, s)
        Centres of the clusters in the scaled space; at least 2.
    temperature
        Softness of the assignment, in squared distance; above 0.
    ids : (K,)
        Distinct whole numbers of at least 0 that identify the clusters. A cluster keeps its id when a
        :class:`ClusterTracker` moves it.

    Raises
    ------
    InvalidConfigurationError
        If an array has the wrong shape, a number is out of range or not finite, or the ids are unusable.
    """

    centre: Vector
    scale: Vector
    centres: Vector
    temperature: float
    ids: NDArray[np.int64]

    def __repr__(self) -> str:
        return f"Codebook({len(self.centres)} clusters of {np.shape(self.centres)[1]} numbers)"

    def __post_init__(self) -> None:
        s = cluster_space().dimension
        shapes = (np.shape(self.centre), np.shape(self.scale), np.shape(self.centres)[1:])
        if shapes != ((s,), (s,), (s,)) or len(self.centres) < 2:
            raise InvalidConfigurationError(
                f"a codebook needs centre ({s},), scale ({s},) and centres (K, {s}) with K at least 2; it got "
                f"{np.shape(self.centre)}, {np.shape(self.scale)} and {np.shape(self.centres)}"
            )
        arrays = (self.centre, self.scale, self.centres, self.temperature)
        if not all(np.isfinite(array).all() for array in arrays) or np.min(self.scale) <= 0 or self.temperature <= 0:
            raise InvalidConfigurationError(
                "a codebook needs finite numbers, and scales and a temperature above 0; fit it again"
            )
        ids, k = np.asarray(self.ids), len(self.centres)
        if ids.dtype.kind != "i" or ids.shape != (k,) or ids.min() < 0 or len(np.unique(ids)) < k:
            raise InvalidConfigurationError(f"{k} clusters need {k} ids, each once and at least 0; they got {ids}")

    def save(self, path: str | PathLike[str]) -> None:
        """Write the codebook as a file of plain arrays.

        Raises
        ------
        OSError
            If the file cannot be written; an older file stays complete.
        """
        _state.save(path, owner=_owner(), arrays=self.arrays())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Codebook:
        """Read a codebook that :meth:`save` wrote.

        Raises
        ------
        OSError
            If the file cannot be read.
        InvalidConfigurationError
            If the file is not a codebook, or was fitted on another version of the features.
        """
        return cls.of(_state.load(path, owner=_owner(), names=[field.name for field in fields(cls)]))

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Codebook:
        """Return the codebook with the numbers that :meth:`arrays` returned."""
        parts = {field.name: arrays[field.name] for field in fields(cls)}
        return cls(temperature=float(parts.pop("temperature")), **parts)

    @classmethod
    @cache
    def shipped(cls) -> Codebook:
        """Return the codebook of the package; read once, or twice if two threads ask at first."""
        with as_file(files("banditroute.features") / "data" / "clusters" / "codebook.npz") as path:
            return cls.load(path)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the numbers by name, as :meth:`save` writes them."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}


class SemanticCluster:
    """The membership of a prompt in each of K clusters, by form and topic together.

    With ``z = (s - centre) / scale`` for ``s`` of :func:`cluster_space` and the clusters' centres ``c_k``,

        ``p_k ∝ exp(-|z - c_k|² / temperature)``,   ``x_k = √(K p_k)``

    Every entry has a mean square near 1 over prompts like those that the codebook was fitted on. The squares of one
    prompt always sum to K. A linear belief over x learns about one average per cluster, and blends them: it is a
    normalised radial basis network [1]_ whose hidden layer ships with the package. The files in ``data/clusters`` say
    how the codebook was fitted, and on which prompts.

    Parameters
    ----------
    codebook
        A codebook such as ``Codebook.load("mine.npz")``. Default: the shipped one.

    References
    ----------
    .. [1] Moody, Darken 1989, "Fast learning in networks of locally-tuned processing units", Neural Computation 1(2).

    Examples
    --------
    >>> cluster = SemanticCluster()
    >>> texts = ["Tom has 3 apples and buys 4 more. How many has he?", "Ann has 9 pens and loses 2. How many are left?"]
    >>> sums = cluster.transform([Request(text=text) for text in texts])
    >>> code = cluster.transform_one(Request(text="Write a Python function that reverses a list."))
    >>> bool(sums[0] @ sums[1] > sums[0] @ code)
    True
    >>> bool(np.isclose(code @ code, cluster.dimension))
    True
    """

    __slots__ = ("_given",)

    def __init__(self, *, codebook: Codebook | None = None) -> None:
        if codebook is not None and not isinstance(codebook, Codebook):
            raise InvalidConfigurationError(f"codebook is {codebook!r}; give a Codebook, such as Codebook.load(path)")
        self._given = None if codebook is None else _Assignment.of(codebook)

    @property
    def dimension(self) -> int:
        """Length of the vector: the number of clusters."""
        return len(self._assignment.offsets)

    @property
    def version(self) -> str:
        """An identifier of the codebook and of the features used for clustering."""
        return self._assignment.version

    @property
    def names(self) -> tuple[str, ...]:
        """One name per cluster, by its id in the codebook."""
        return tuple(f"cluster.{name:02d}" for name in self._assignment.ids)

    def transform_one(self, request: Request) -> Vector:
        """Return the features of one request ``(dimension,)``.

        Raises
        ------
        InvalidRequestError
            If the request has no text.
        """
        return self._assignment(request)

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Return the features of many requests ``(n, dimension)``."""
        return stack(self, requests)

    @property
    def _assignment(self) -> _Assignment:
        return shipped_assignment() if self._given is None else self._given


@dataclass(frozen=True, slots=True)
class _Assignment:
    """A codebook prepared for fast use: |z|² is the same for all clusters, so the logarithm of p is linear in s."""

    version: str
    ids: NDArray[np.int64]
    space: Compose
    weights: Vector  # (s, K)
    offsets: Vector  # (K,)

    @classmethod
    def of(cls, codebook: Codebook) -> _Assignment:
        space = cluster_space()
        centres = codebook.centres / codebook.temperature
        weights = 2.0 * centres.T / codebook.scale[:, None]
        offsets = -(centres * codebook.centres).sum(axis=1) - codebook.centre @ weights
        arrays = (codebook.centre, codebook.scale, codebook.centres, np.float64(codebook.temperature))
        version = f"cluster:{_state.digest(*map(np.asarray, arrays))}({space.version})"
        return cls(version, codebook.ids, space, np.ascontiguousarray(weights), offsets)

    def __call__(self, request: Request) -> Vector:
        logits = self.space.transform_one(request) @ self.weights + self.offsets
        shares = np.exp(0.5 * (logits - logits.max()))  # √p, up to a factor
        result: Vector = shares * np.sqrt(len(shares) / (shares @ shares))
        return result


@cache
def shipped_assignment() -> _Assignment:
    """Return the shipped codebook, prepared once per process."""
    return _Assignment.of(Codebook.shipped())


def _owner() -> str:
    return f"Codebook over {cluster_space().version}"
