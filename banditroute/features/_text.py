"""Helpers of featurizers: cut out the part of a text that is read, stack a batch, and check a block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features.base import Featurizer, vocabularies

REACH = 8_000
"""Number of characters read at each end of a text; at most 16,001 in all, with the line break between them."""

RECENT = 8
"""Number of texts whose tokens and marks are cached: the blocks of a composition read the same text in turn."""


def excerpt(request: Request) -> str:
    """Return the part of the request's text that is read: valid Unicode, at most ``2 * REACH + 1`` characters.

    The first and the last ``REACH`` characters of a longer text are joined by a line break. A lone surrogate, which
    encoders refuse, becomes ``"?"``.

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
    """Return ``transform_one`` of every request as rows ``(n, dimension)``; equal to single calls to the bit."""
    rows = np.empty((len(requests), featurizer.dimension))
    for row, request in zip(rows, requests, strict=True):
        row[:] = featurizer.transform_one(request)
    return rows


def check_fixed_block(block: object) -> Featurizer:
    """Return ``block`` if it is a featurizer without a vocabulary; raise InvalidConfigurationError otherwise."""
    fixed = check_block(block)
    if vocabularies(fixed):
        raise InvalidConfigurationError(
            "a block with a Vocabulary cannot be scaled or projected: its columns get their meaning later. Put it next "
            "to this one with Compose"
        )
    return fixed


def check_block(block: object) -> Featurizer:
    """Return ``block`` if it is a featurizer; raise InvalidConfigurationError otherwise."""
    if isinstance(block, type) or not isinstance(block, Featurizer):
        raise InvalidConfigurationError(
            f"{block!r:.80} is not a featurizer; give an object with dimension, version, names, transform_one and "
            "transform"
        )
    return block
