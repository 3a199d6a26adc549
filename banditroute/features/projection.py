"""Privacy: hide features behind a random projection that only the application knows."""

from __future__ import annotations

import hashlib

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError
from banditroute.features._block import BlockFeaturizer
from banditroute.features.base import Featurizer

_SHORTEST_SECRET_CHARACTERS = 16  # a shorter secret could be found by trial


class RandomProjection(BlockFeaturizer):
    """Another featurizer's numbers, projected on fewer random axes that depend on a secret.

    The features are ``z = Q'e`` over the block's ``e (d,)``. ``Q (d, dimension)`` has orthonormal columns, drawn
    uniformly: it is the orthogonal factor of a Gaussian matrix (Mezzadri 2007, "How to generate random matrices from
    the classical compact groups"). Distances shrink by about ``sqrt(dimension / d)`` (Johnson and Lindenstrauss 1984).
    So beliefs learn nearly as much from ``z`` as from ``e``.

    A reader of stored contexts without the secret cannot compare them with the features of a guessed text. Nor can the
    reader invert them with a model of the block. ``d - dimension`` numbers are lost for everybody. This is not
    encryption: equal requests have equal contexts, and similar ones similar contexts. A reader who knows the texts of
    about ``d`` stored contexts can compute the axes.

    Parameters
    ----------
    block
        The featurizer to project.
    dimension
        Number of axes, from 1 to one less than the block's dimension.
    secret
        At least 16 characters that cannot be guessed, such as ``secrets.token_hex(16)``; they determine the axes. The
        secret is never stored. With another secret, a router cannot use what it has learned.

    Raises
    ------
    InvalidConfigurationError
        If the block is not a featurizer, the dimension is not smaller than the block's, or the secret is too short or
        not a string.

    Examples
    --------
    >>> from banditroute.core import Request
    >>> from banditroute.features import Complexity
    >>> private = RandomProjection(block=Complexity(), dimension=8, secret="correct horse battery staple")
    >>> private.transform_one(Request(text="What is 2 + 2?")).shape
    (8,)
    >>> private.version
    'projection:8:74d91abf(complexity-3)'
    """

    def __init__(self, *, block: Featurizer, dimension: int, secret: str) -> None:
        super().__init__(block)
        whole(dimension, name="dimension", high=block.dimension - 1, error=InvalidConfigurationError)
        if not isinstance(secret, str) or len(secret) < _SHORTEST_SECRET_CHARACTERS:
            raise InvalidConfigurationError(  # without the secret itself, since messages are logged
                f"secret is not a string of at least {_SHORTEST_SECRET_CHARACTERS} characters; give one that cannot be "
                "guessed, such as secrets.token_hex(16), and keep it: the router needs it to use what it learned"
            )
        # Two independent hashes: one seeds the axes, and one is public in the version.
        draw, self._seen = (hashlib.sha256(f"{use}:{secret}".encode()).digest() for use in ("draw", "version"))
        gaussian = np.random.RandomState(np.frombuffer(draw, dtype="<u4")).normal(size=(block.dimension, dimension))
        axes, r = np.linalg.qr(gaussian)
        self.axes: Vector = axes * np.sign(np.diag(r))  # the same signs on every machine

    @property
    def dimension(self) -> int:
        """Length of the vector."""
        return int(self.axes.shape[1])

    @property
    def version(self) -> str:
        """An identifier of the dimension, the block and a hash of the secret."""
        return f"projection:{self.dimension}:{self._seen.hex()[:8]}({self._block.version})"

    @property
    def names(self) -> tuple[str, ...]:
        """One name per axis."""
        return self._numbered_names("projection")

    def _map(self, row: Vector) -> Vector:
        projected: Vector = row @ self.axes
        return projected
