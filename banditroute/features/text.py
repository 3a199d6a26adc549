"""The default features of a router."""

from __future__ import annotations

from banditroute.core.feature_block import FeatureBlock
from banditroute.features.complexity import Complexity
from banditroute.features.compose import Compose
from banditroute.features.static_embedding import StaticEmbedding


class TextFeatures(Compose):
    """The form of a prompt (:class:`Complexity`, 21 numbers) and its topic (:class:`StaticEmbedding`, 16 numbers).

    The vector is short on purpose: each arm needs feedback for every entry, so more entries learn more slowly.

    Examples
    --------
    >>> from banditroute.core.request import Request
    >>> TextFeatures().transform_one(Request(text="What is the capital of France?")).shape
    (37,)
    """

    @property
    def blocks(self) -> tuple[FeatureBlock, ...]:
        """One block for form and topic together."""
        return (FeatureBlock(self.dimension),)

    def __init__(self) -> None:
        super().__init__(blocks=[Complexity(), StaticEmbedding()])
