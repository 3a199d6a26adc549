"""The default features of a router."""

from __future__ import annotations

from banditroute.core.feature_block import FeatureBlock
from banditroute.features.complexity import Complexity
from banditroute.features.compose import Compose
from banditroute.features.static_embedding import StaticEmbedding


class TextFeatures(Compose):
    """How a prompt looks (:class:`Complexity`, 21 numbers) and what it is about (:class:`StaticEmbedding`, 16).

    Few numbers on purpose: a belief per arm learns from the feedback of that arm alone, and every further direction
    costs feedback before it pays.

    Examples
    --------
    >>> from banditroute.core.request import Request
    >>> TextFeatures().transform_one(Request(text="What is the capital of France?")).shape
    (37,)
    """

    @property
    def blocks(self) -> tuple[FeatureBlock, ...]:
        """One block: what the text says, by look and by topic."""
        return (FeatureBlock(self.dimension),)

    def __init__(self) -> None:
        super().__init__(blocks=[Complexity(), StaticEmbedding()])
