"""Estimate the tokens of a request whose caller did not count them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from banditroute.integrations.fields import field, sequence, text

_BYTES_PER_TOKEN = 4.0
_TOKENS_PER_MESSAGE = 4  # its role and marks
_TOKENS_PER_IMAGE = 1_000
_IMAGES = ("image", "image_url", "input_image")


def estimated_tokens(messages: Any, options: Mapping[str, Any]) -> int:
    """Return about how many input tokens a request has: a quarter of its UTF-8 bytes, and 1,000 for each image.

    Examples
    --------
    >>> estimated_tokens([{"role": "user", "content": "Why is the sky blue?"}], {})
    9
    """
    if isinstance(messages, str):
        return _tokens(messages) + _TOKENS_PER_MESSAGE
    tokens = 0
    for message in messages:
        content = message if isinstance(message, str) else field(message, "content")
        tokens += _TOKENS_PER_MESSAGE + _tokens(text(content))
        tokens += _TOKENS_PER_IMAGE * sum(field(part, "type") in _IMAGES for part in sequence(content))
    for name in ("tools", "system", "instructions"):
        if given := options.get(name):
            tokens += _tokens(given if isinstance(given, str) else json.dumps(given, default=str))
    return tokens


def output_tokens(answer: str) -> int:
    """Return about how many tokens a text has."""
    return _tokens(answer)


def _tokens(said: str) -> int:
    size = len(said) if said.isascii() else len(said.encode("utf-8", "replace"))
    return math.ceil(size / _BYTES_PER_TOKEN)
