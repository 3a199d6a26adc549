"""Privacy: features as seen through a random projection that only the application knows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError
from banditroute.features._text import check_block
from banditroute.features.base import Featurizer

_SHORTEST = 16  # characters of a secret: it must not be found by trying


class RandomProjection:
    """Another featurizer's numbers on fewer random axes, which a secret draws.

    ``z = Q'e`` over the block's ``e (d,)``, with ``Q (d, dimension)`` of orthonormal columns, uniform over all of them
    (the orthogonal factor of a Gaussian matrix; Mezzadri 2007, "How to generate random matrices from the classical
    compact groups"). Distances shrink by ``sqrt(dimension / d)``, give or take (Johnson and Lindenstrauss 1984), and so
    beliefs learn from ``z`` about what they learn from ``e``.

    Who reads stored contexts without the secret cannot compare them with the features of a text that he guesses, nor
    invert them with a model made for the block, and ``d - dimension`` of the numbers are gone for all. It is no
    encryption: equal requests still have equal contexts and similar ones similar, and whoever knows the texts
    of about ``d`` stored contexts can work out the axes.

    Parameters
    ----------
    block
        The featurizer to project.
    dimension
        How many axes, from 1 to one less than the block has.
    secret
        Draws them; at least 16 characters that cannot be guessed, such as ``secrets.token_hex(16)``. It is stored
        nowhere: with another one, or none, what was learned is not used.

    Raises
    ------
    InvalidConfigurationError
        For a block that is no featurizer, a dimension that is no smaller, and a secret that is none.

    Examples
    --------
    >>> from banditroute.features import Complexity
    >>> private = RandomProjection(block=Complexity(), dimension=8, secret="correct horse battery staple")
    >>> private.transform_one(Request(text="What is 2 + 2?")).shape
    (8,)
    >>> private.version
    'projection:8:74d91abf(complexity-3)'
    """

    def __init__(self, *, block: Featurizer, dimension: int, secret: str) -> None:
        self._block = check_block(block)
        most = block.dimension - 1
        if isinstance(dimension, bool) or not isinstance(dimension, int) or not 1 <= dimension <= most:
            raise InvalidConfigurationError(
                f"dimension is {dimension!r}; give a whole number from 1 to {most}, one less than the block has"
            )
        if not isinstance(secret, str) or len(secret) < _SHORTEST:  # not repeated: messages are logged
            raise InvalidConfigurationError(
                f"secret is no string of at least {_SHORTEST} characters; give one that cannot be guessed, such as "
                "secrets.token_hex(16), and keep it: what is learned can be used only with it"
            )
        # Of two hashes that tell nothing of each other, one draws the axes and one may be seen.
        draw, self._seen = (hashlib.sha256(f"{use}:{secret}".encode()).digest() for use in ("draw", "version"))
        gaussian = np.random.RandomState(np.frombuffer(draw, dtype="<u4")).normal(size=(block.dimension, dimension))
        axes, r = np.linalg.qr(gaussian)
        self._axes = axes * np.sign(np.diag(r))  # with which there is one factor only, whoever computes it

    @property
    def dimension(self) -> int:
        """Length of the vector."""
        return int(self._axes.shape[1])

    @property
    def version(self) -> str:
        """Names the dimension, the block, and a hash of the secret."""
        return f"projection:{self.dimension}:{self._seen.hex()[:8]}({self._block.version})"

    @property
    def names(self) -> tuple[str, ...]:
        """One name per axis."""
        room = self._block.names[0].split(".")[0]
        return tuple(f"{room}.projection.{index:02d}" for index in range(self.dimension))

    def transform_one(self, request: Request) -> Vector:
        """Return the features of one request ``(dimension,)``.

        Raises
        ------
        InvalidRequestError
            If the block cannot read the request.
        """
        projected: Vector = self._block.transform_one(request) @ self._axes
        return projected

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Return the features of many requests ``(n, dimension)``."""
        rows = [row @ self._axes for row in self._block.transform(requests)]
        return np.array(rows).reshape(len(requests), self.dimension)
