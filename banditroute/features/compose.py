"""Blocks of features side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from banditroute.errors import InvalidConfigurationError
from banditroute.features.base import Featurizer
from banditroute.types import Request, Vector


class Compose:
    """Concatenates the features of its blocks, in their order.

    Parameters
    ----------
    blocks
        At least one featurizer; no two may share the name of an entry.

    Raises
    ------
    InvalidConfigurationError
        For no block, an object that is no featurizer, or an entry named twice.

    Examples
    --------
    >>> from banditroute.features import Complexity, StaticEmbedding
    >>> both = Compose(blocks=[Complexity(), StaticEmbedding(dimension=8)])
    >>> both.dimension
    29
    >>> both.version
    'complexity-3+static-minilm-1:8'
    """

    def __init__(self, *, blocks: Sequence[Featurizer]) -> None:
        self._blocks = tuple(blocks)
        if not self._blocks:
            raise InvalidConfigurationError("Compose got no block; give at least one, for example Complexity()")
        for block in self._blocks:
            if isinstance(block, type) or not isinstance(block, Featurizer):
                raise InvalidConfigurationError(
                    f"{block!r} is no featurizer; a block has dimension, version, names, transform_one and transform"
                )
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InvalidConfigurationError(f"more than one block has the entries {twice}; leave one of them out")

    @property
    def dimension(self) -> int:
        """Length of the vector: the sum over the blocks."""
        return sum(block.dimension for block in self._blocks)

    @property
    def version(self) -> str:
        """The versions of the blocks, joined by ``+``."""
        return "+".join(block.version for block in self._blocks)

    @property
    def names(self) -> tuple[str, ...]:
        """One name per entry."""
        return tuple(name for block in self._blocks for name in block.names)

    def transform_one(self, request: Request) -> Vector:
        """Features of one request ``(dimension,)``.

        Raises
        ------
        InvalidRequestError
            For a request that a block cannot read.
        """
        return np.concatenate([block.transform_one(request) for block in self._blocks])

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Features of many requests ``(n, dimension)``."""
        return np.hstack([block.transform(requests) for block in self._blocks])
