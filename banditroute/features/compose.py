"""Blocks of features side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.core.validation import number
from banditroute.errors import InvalidConfigurationError
from banditroute.features._text import check_block
from banditroute.features.base import Featurizer


class Compose:
    """Concatenates the features of its blocks, in their order.

    Parameters
    ----------
    blocks
        At least one featurizer; no two may share the name of an entry.
    scales
        What the numbers of each block are multiplied by, above 0; 1 by default. A belief's prior expects features of
        about unit variance, and expects less of a block that is scaled down: at 0.5 as if the prior of its coefficients
        were four times as strong.

    Raises
    ------
    InvalidConfigurationError
        For no block, an object that is no featurizer, an entry named twice, or scales that are not one for each block.

    Examples
    --------
    >>> from banditroute.features import Complexity, StaticEmbedding
    >>> both = Compose(blocks=[Complexity(), StaticEmbedding(dimension=8)])
    >>> both.dimension
    29
    >>> both.version
    'complexity-3+static-minilm-1:8'
    >>> Compose(blocks=[Complexity(), StaticEmbedding(dimension=8)], scales=[1.0, 0.5]).version
    'complexity-3+0.5*(static-minilm-1:8)'
    """

    def __init__(self, *, blocks: Sequence[Featurizer], scales: Sequence[float] | None = None) -> None:
        self._blocks = tuple(map(check_block, blocks))
        if not self._blocks:
            raise InvalidConfigurationError("Compose got no block; give at least one, for example Complexity()")
        given = [1.0] * len(self._blocks) if scales is None else scales
        if len(given) != len(self._blocks):
            raise InvalidConfigurationError(f"scales has {len(given)} numbers for {len(self._blocks)} blocks")
        self._scales = [
            number(scale, name="a scale", low=1e-6, high=1e6, error=InvalidConfigurationError) for scale in given
        ]
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
        """The versions of the blocks, joined by ``+``, each with its scale before it if that is not 1."""
        pairs = zip(self._scales, self._blocks, strict=True)
        return "+".join(block.version if scale == 1.0 else f"{scale!r}*({block.version})" for scale, block in pairs)

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
        pairs = zip(self._scales, self._blocks, strict=True)
        return np.concatenate([scale * block.transform_one(request) for scale, block in pairs])

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Features of many requests ``(n, dimension)``."""
        pairs = zip(self._scales, self._blocks, strict=True)
        return np.hstack([scale * block.transform(requests) for scale, block in pairs])
