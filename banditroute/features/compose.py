"""Join the features of several featurizers into one vector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock
from banditroute.core.request import Request
from banditroute.core.validation import number
from banditroute.errors import InvalidConfigurationError
from banditroute.features._text import check_block
from banditroute.features.base import Featurizer, feature_blocks, recorded, vocabularies
from banditroute.features.vocabulary import KnownValues, Slot


class Compose:
    """A featurizer that concatenates the features of its blocks, in their order.

    Parameters
    ----------
    blocks
        At least one featurizer; the names of all entries must differ.
    strengths
        Factor on the declared strength of each block, above 0; 1 by default. A strength is the prior guess of how much
        a block matters. It does not change the features, and the router learns how much a block does matter.

    Raises
    ------
    InvalidConfigurationError
        If there is no block, a block is not a featurizer, two entries have one name, or the number of strengths differs
        from that of blocks.

    Examples
    --------
    >>> from banditroute.features import Complexity, StaticEmbedding
    >>> both = Compose(blocks=[Complexity(), StaticEmbedding(dimension=8)])
    >>> both.dimension
    29
    >>> both.version
    'complexity-3+static-minilm-1:8'
    >>> Compose(blocks=[Complexity(), StaticEmbedding(dimension=8)], strengths=[1.0, 0.25]).blocks
    (FeatureBlock(columns=21, strength=1.0, names=()), FeatureBlock(columns=8, strength=0.25, names=()))
    """

    def __init__(self, *, blocks: Sequence[Featurizer], strengths: Sequence[float] | None = None) -> None:
        self._blocks = tuple(map(check_block, blocks))
        if not self._blocks:
            raise InvalidConfigurationError("Compose got no block; give at least one, for example Complexity()")
        given = [1.0] * len(self._blocks) if strengths is None else strengths
        if len(given) != len(self._blocks):
            raise InvalidConfigurationError(f"strengths has {len(given)} numbers for {len(self._blocks)} blocks")
        self._strengths = [
            number(each, name="a strength", low=1e-6, high=1e6, error=InvalidConfigurationError) for each in given
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
    def blocks(self) -> tuple[FeatureBlock, ...]:
        """The blocks of all parts; each strength is the part's own times the one given here."""
        return tuple(
            FeatureBlock(block.columns, block.strength * strength)
            for strength, part in zip(self._strengths, self._blocks, strict=True)
            for block in feature_blocks(part)
        )

    @property
    def vocabularies(self) -> tuple[KnownValues, ...]:
        """The vocabularies of all parts."""
        return tuple(known for part in self._blocks for known in vocabularies(part))

    def recorded(self, slot: Slot) -> Compose:
        """Return the same features with vocabularies that are recorded in the state of a router."""
        return Compose(blocks=[recorded(part, slot) for part in self._blocks], strengths=self._strengths)

    @property
    def version(self) -> str:
        """The versions of the blocks, joined by ``+``."""
        return "+".join(block.version for block in self._blocks)

    @property
    def names(self) -> tuple[str, ...]:
        """One name per entry."""
        return tuple(name for block in self._blocks for name in block.names)

    def transform_one(self, request: Request) -> Vector:
        """Return the features of one request ``(dimension,)``.

        Raises
        ------
        InvalidRequestError
            If a block cannot read the request.
        """
        return np.concatenate([block.transform_one(request) for block in self._blocks])

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Return the features of many requests ``(n, dimension)``."""
        return np.hstack([block.transform(requests) for block in self._blocks])
