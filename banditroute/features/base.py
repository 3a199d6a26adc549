"""The protocol of featurizers: the members that a router uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock
from banditroute.core.request import Request
from banditroute.features.vocabulary import KnownValues, Slot


@runtime_checkable
class Featurizer(Protocol):
    """An object that turns a request into a vector of fixed length, without the bias entry (the router adds it).

    The same text gives the same vector, in single and in batch calls, to 1e-12. Every entry is finite for every text.
    A request without text is a mistake of the caller and raises ``InvalidRequestError``.
    """

    @property
    def dimension(self) -> int:
        """Length of the vector."""

    @property
    def version(self) -> str:
        """An identifier of the numbers' meaning; it changes whenever the same text would give another vector."""

    @property
    def names(self) -> tuple[str, ...]:
        """One name per entry, such as ``"complexity.digit_ratio"``."""

    def transform_one(self, request: Request) -> Vector:
        """Return the features of one request ``(dimension,)`` float64."""

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Return the features of many requests ``(n, dimension)`` float64."""


def feature_blocks(featurizer: Featurizer) -> tuple[FeatureBlock, ...]:
    """Return the blocks that a featurizer declares in ``blocks``, with the names of its entries.

    By default all its entries are one block.
    """
    declared: Sequence[FeatureBlock] | None = getattr(featurizer, "blocks", None)
    if declared is None:
        declared = (FeatureBlock(featurizer.dimension),) if featurizer.dimension else ()
    blocks, names = [], tuple(featurizer.names)
    for block in declared:
        blocks.append(block._replace(names=names[: block.columns]))
        names = names[block.columns :]
    return tuple(blocks)


def vocabularies(featurizer: Featurizer) -> tuple[KnownValues, ...]:
    """Return the vocabularies of a featurizer, in ``vocabularies``; by default it has no vocabulary."""
    found: tuple[KnownValues, ...] = getattr(featurizer, "vocabularies", ())
    return found


def recorded(featurizer: Featurizer, slot: Slot) -> Featurizer:
    """Return a featurizer whose vocabularies are recorded in the state of a router; itself if it has none."""
    if not vocabularies(featurizer):
        return featurizer
    made: Featurizer = featurizer.recorded(slot)  # type: ignore[attr-defined]
    return made
