"""Which of a few dozen kinds of prompt this one is like: soft assignment to the centres of a codebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from os import PathLike

import numpy as np

from banditroute.errors import InvalidConfigurationError
from banditroute.features import _state
from banditroute.features._text import stack
from banditroute.features.complexity import Complexity
from banditroute.features.compose import Compose
from banditroute.features.static_embedding import MAXIMUM, StaticEmbedding
from banditroute.types import Request, Vector

_ARRAYS = ("centre", "scale", "centres", "temperature")


def cluster_space() -> Compose:
    """What prompts are clustered by: :class:`Complexity` and all directions of :class:`StaticEmbedding`."""
    return Compose(blocks=[Complexity(), StaticEmbedding(dimension=MAXIMUM)])


@dataclass(frozen=True, eq=False, kw_only=True)
class Codebook:
    """Centres of clusters, and how to measure the distance to them.

    Attributes
    ----------
    centre, scale : (s,)
        What is taken from each number of :func:`cluster_space`, and what the rest is divided by (above 0).
    centres : (K, s)
        The clusters, in the space so scaled; at least 2.
    temperature
        How soft the assignment is, in squared distance; above 0.

    Raises
    ------
    InvalidConfigurationError
        For arrays of the wrong shape, or numbers that are not finite or not above 0 where they must be.
    """

    centre: Vector
    scale: Vector
    centres: Vector
    temperature: float

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

    def save(self, path: str | PathLike[str]) -> None:
        """Write the numbers in single precision, as a file without pickle.

        Raises
        ------
        OSError
            If the file cannot be written; an older one is then still whole.
        """
        arrays = {name: np.asarray(getattr(self, name), dtype=np.float32) for name in _ARRAYS}
        _state.save(path, owner=_owner(), arrays=arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Codebook:
        """What :meth:`save` wrote.

        Raises
        ------
        OSError
            If the file cannot be read.
        InvalidConfigurationError
            For any other file, and for one that was fitted on another version of the features.
        """
        arrays = _state.load(path, owner=_owner(), names=_ARRAYS)
        centre, scale, centres, temperature = (arrays[name].astype(np.float64) for name in _ARRAYS)
        return cls(centre=centre, scale=scale, centres=centres, temperature=float(temperature))


class SemanticCluster:
    """How much a prompt belongs to each of K clusters of prompts, by look and topic together.

    With ``z = (s - centre) / scale`` for ``s`` of :func:`cluster_space` and the clusters' centres ``c_k``,

        ``p_k ∝ exp(-|z - c_k|² / temperature)``,   ``x_k = √(K p_k)``

    so that every entry has a mean square near 1 over prompts like those that the codebook was fitted on, and the
    squares of one prompt always sum to K. A linear belief over x holds about one average per cluster, blended: a
    normalised radial basis network [1]_ whose hidden layer ships with the package. How the codebook was fitted, and
    on what, lies beside it in ``data/clusters``.

    Parameters
    ----------
    codebook
        Another codebook than the shipped one, such as ``Codebook.load("mine.npz")``.

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
        """Names the codebook and what it measures by."""
        return self._assignment.version

    @property
    def names(self) -> tuple[str, ...]:
        """One name per cluster."""
        return tuple(f"cluster.{index:02d}" for index in range(self.dimension))

    def transform_one(self, request: Request) -> Vector:
        """Features of one request ``(dimension,)``.

        Raises
        ------
        InvalidRequestError
            For a request without text.
        """
        return self._assignment(request)

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Features of many requests ``(n, dimension)``."""
        return stack(self, requests)

    @property
    def _assignment(self) -> _Assignment:
        return _shipped() if self._given is None else self._given


@dataclass(frozen=True, slots=True)
class _Assignment:
    """A codebook made ready: |z|² is the same for all clusters, so the logarithm of p is linear in s."""

    version: str
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
        return cls(version, space, np.ascontiguousarray(weights), offsets)

    def __call__(self, request: Request) -> Vector:
        logits = self.space.transform_one(request) @ self.weights + self.offsets
        shares = np.exp(0.5 * (logits - logits.max()))  # √p, up to a factor
        result: Vector = shares * np.sqrt(len(shares) / (shares @ shares))
        return result


@cache
def _shipped() -> _Assignment:
    """The shipped codebook of this process; read twice at most, should two threads ask first."""
    with as_file(files("banditroute.features") / "data" / "clusters" / "codebook.npz") as path:
        return _Assignment.of(Codebook.load(path))


def _owner() -> str:
    return f"Codebook over {cluster_space().version}"
