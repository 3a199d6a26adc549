"""Ready features: the application computes the vector itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock, check_blocks
from banditroute.core.request import Request
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError, InvalidRequestError

_MOST_FEATURES = 1_000_000  # one matrix of their squares alone takes 8 TB


class GivenFeatures:
    """The vector that the request carries, unchanged.

    Parameters
    ----------
    dimension
        Length of every vector, without the bias; at least 0 (a router that learns each arm's average only).

    Examples
    --------
    >>> GivenFeatures(dimension=2).transform_one(Request(features=np.array([0.5, 1.0])))
    array([0.5, 1. ])
    """

    def __init__(self, *, dimension: int, blocks: Sequence[FeatureBlock] | None = None) -> None:
        self._dimension = whole(dimension, name="features", low=0, high=_MOST_FEATURES, error=InvalidConfigurationError)
        self.blocks: tuple[FeatureBlock, ...] = check_blocks(blocks, dimension=dimension + 1)

    @property
    def dimension(self) -> int:
        """Length of the vector."""
        return self._dimension

    @property
    def version(self) -> str:
        """An identifier of the length; the application must keep the meaning of the numbers."""
        return f"given-{self._dimension}"

    @property
    def names(self) -> tuple[str, ...]:
        """One name per entry."""
        return tuple(f"given.{i}" for i in range(self._dimension))

    def transform_one(self, request: Request) -> Vector:
        """Return the features of the request ``(dimension,)``."""
        if request.features is None:
            raise InvalidRequestError(f"this router expects {self._dimension} ready features, a text was given")
        return request.features

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Return the features of many requests ``(n, dimension)``."""
        rows = [self.transform_one(request) for request in requests]
        return np.array(rows, dtype=np.float64).reshape(len(rows), self._dimension)
