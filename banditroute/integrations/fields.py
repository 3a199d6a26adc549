"""Read fields of answers that no server is bound to: nothing here raises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

_MOST = 1e15  # tokens or dollars; more is a mistake


def field(thing: Any, *path: str) -> Any:
    """Return a field of nested objects or dicts; None where one of them is missing.

    Examples
    --------
    >>> field({"usage": {"prompt_tokens": 7}}, "usage", "prompt_tokens")
    7
    >>> field({"usage": None}, "usage", "prompt_tokens") is None
    True
    """
    for name in path:
        if thing is None:
            return None
        if isinstance(thing, dict):
            thing = thing.get(name)
        else:
            try:
                thing = getattr(thing, name, None)
            except Exception:  # a property that fails is not known
                return None
    return thing


def count(value: Any) -> float | None:
    """Return a finite number of at least 0; None for anything else.

    Examples
    --------
    >>> count(7), count(None), count("7"), count(-1), count(True)
    (7, None, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) and 0 <= value <= _MOST else None


def sequence(value: Any) -> Sequence[Any]:
    """Return a list or tuple as it is, and nothing for anything else."""
    return value if isinstance(value, list | tuple) else ()


def text(content: Any) -> str:
    """Return the text of a content: a string, or parts of which some have a text.

    Examples
    --------
    >>> text("a"), text(None), text([{"type": "text", "text": "a"}, {"type": "image"}, "b"])
    ('a', '', 'ab')
    """
    if isinstance(content, str):
        return content
    parts = (part if isinstance(part, str) else field(part, "text") for part in sequence(content))
    return "".join(part for part in parts if isinstance(part, str))
