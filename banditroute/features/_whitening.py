"""Whitening: project vectors on their principal directions, each scaled to unit variance."""

from __future__ import annotations

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidConfigurationError


def whitening(rows: Vector, dimension: int) -> tuple[Vector, Vector]:
    """Return a mean ``(d,)`` and a projection ``(d, dimension)`` that whiten ``rows``.

    Over ``rows``, the entries of ``(x - mean) @ projection`` have mean 0, variance 1 and no correlation. The direction
    with the largest variance comes first. The largest entry of each direction is positive.

    Raises
    ------
    InvalidConfigurationError
        If ``rows (n, d)`` vary in fewer than ``dimension`` directions.

    Examples
    --------
    >>> mean, projection = whitening(np.array([[0.0, 1.0], [4.0, 1.0]]), 1)
    >>> mean, projection
    (array([2., 1.]), array([[0.5], [0. ]]))
    """
    rank = 0
    if len(rows) > 1:
        mean = rows.mean(axis=0)
        _, std, directions = np.linalg.svd(rows - mean, full_matrices=False)
        rank = int((std > 1e-6 * std[0]).sum())
    if rank < dimension:
        raise InvalidConfigurationError(
            f"{len(rows)} prompts vary in {rank} directions, fewer than dimension={dimension}; "
            "give more prompts, or a smaller dimension"
        )
    directions = directions[:dimension].T
    directions *= np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(dimension)])
    return mean, directions * np.sqrt(len(rows)) / std[:dimension]
