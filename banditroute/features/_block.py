"""The part that featurizers share which compute their numbers from those of another featurizer, their block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.features._text import check_fixed_block
from banditroute.features.base import Featurizer


class BlockFeaturizer(ABC):
    """A featurizer whose numbers are a function of another featurizer's numbers, row by row."""

    def __init__(self, block: Featurizer) -> None:
        self._block = check_fixed_block(block)

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Length of the vector."""

    @abstractmethod
    def _map(self, row: Vector) -> Vector:
        """Return the features ``(dimension,)`` for the block's numbers ``row (d,)``."""

    def transform_one(self, request: Request) -> Vector:
        """Return the features of one request ``(dimension,)``.

        Raises
        ------
        InvalidRequestError
            If the block cannot read the request.
        """
        return self._map(self._block.transform_one(request))

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Return the features of many requests ``(n, dimension)``."""
        rows = [self._map(row) for row in self._block.transform(requests)]
        return np.array(rows).reshape(len(requests), self.dimension)

    def _numbered_names(self, kind: str) -> tuple[str, ...]:
        """Return one name per entry, such as ``complexity.fourier.03``: the block's room, the kind, a number."""
        room = self._block.names[0].split(".")[0]
        return tuple(f"{room}.{kind}.{index:02d}" for index in range(self.dimension))
