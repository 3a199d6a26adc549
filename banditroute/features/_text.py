"""What featurizers share: which part of a text is read, how a batch is stacked, and what may be a block of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features.base import Featurizer

REACH = 8_000
"""Only the first and the last ``REACH`` characters of a text are read, so a long one costs no more than 16,001."""

RECENT = 8
"""Of how many texts the tokens and marks are remembered: the blocks of a composition read the same text in turn."""


def excerpt(request: Request) -> str:
    """What is read of the request's text: valid Unicode, at most ``2 * REACH + 1`` characters.

    The first and the last ``REACH`` characters of a longer text are joined by a line break. A lone surrogate,
    which no encoder takes, reads as ``"?"``.

    Raises
    ------
    InvalidRequestError
        If the request has no text.

    Examples
    --------
    >>> excerpt(Request(text="a lone \\ud83d surrogate"))
    'a lone ? surrogate'
    >>> len(excerpt(Request(text="x" * 1_000_000)))
    16001
    """
    text = request.text
    if not isinstance(text, str):
        raise InvalidRequestError(
            f"this featurizer reads text, and the request's text is {type(text).__name__}; "
            "give Request(text=...) a string, or route ready features without a featurizer"
        )
    if len(text) > 2 * REACH:
        text = f"{text[:REACH]}\n{text[-REACH:]}"
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def stack(featurizer: Featurizer, requests: Sequence[Request]) -> Vector:
    """``transform_one`` of every request as rows ``(n, dimension)``: a batch equals its single calls to the bit."""
    rows = np.empty((len(requests), featurizer.dimension))
    for row, request in zip(rows, requests, strict=True):
        row[:] = featurizer.transform_one(request)
    return rows


def check_block(block: object) -> Featurizer:
    """What may be a part of another featurizer; raises InvalidConfigurationError for anything else."""
    if isinstance(block, type) or not isinstance(block, Featurizer):
        raise InvalidConfigurationError(
            f"{block!r} is no featurizer; a block has dimension, version, names, transform_one and transform"
        )
    return block
