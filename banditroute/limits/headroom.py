"""Headroom: how much of its limits a provider says is left, in the headers of its answers.

OpenAI and those who speak its interface send ``x-ratelimit-remaining-requests``, ``x-ratelimit-limit-requests`` and
``x-ratelimit-reset-requests``, the same for ``tokens``, and durations such as ``6m0s`` or ``12ms``. Anthropic sends
``anthropic-ratelimit-requests-remaining``, ``-limit`` and ``-reset``, the same for ``tokens``, ``input-tokens`` and
``output-tokens``, and times such as ``2026-12-01T12:00:00Z``. Both fill a bucket evenly until it is full at the reset.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

_UNITS = ("requests", "tokens", "input_tokens", "output_tokens")
_KNOWN_SECONDS = 60.0  # for which a rest counts whose reset is not said
_LONGEST_SECONDS = 86_400.0
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_PART_SECONDS = (86_400.0, 3_600.0, 60.0, 1.0, 1e-3)


class Left(NamedTuple):
    """The rest of one limit.

    Attributes
    ----------
    amount
        Requests or tokens that are left.
    limit
        What the bucket holds when it is full; not less than ``amount``.
    full_seconds
        Seconds until it is full again.
    """

    amount: float
    limit: float
    full_seconds: float


def read_headers(headers: Mapping[str, object], now: float) -> dict[str, Left]:
    """Return what the headers of an answer say is left, by ``"requests"``, ``"tokens"`` and the like.

    A header that is missing or unreadable says nothing.

    Parameters
    ----------
    headers
        Names, in any case, and values.
    now
        Unix time in seconds.

    Examples
    --------
    >>> read_headers({"x-ratelimit-remaining-requests": "4", "X-RateLimit-Reset-Requests": "1m30s"}, now=0.0)
    {'requests': Left(amount=4.0, limit=4.0, full_seconds=90.0)}
    """
    values = {str(name).lower(): value for name, value in headers.items()}
    found = {}
    for unit in _UNITS:
        name = unit.replace("_", "-")
        for form in (f"x-ratelimit-{{}}-{name}", f"anthropic-ratelimit-{name}-{{}}"):
            amount = _number(values.get(form.format("remaining")))
            if amount is None:
                continue
            limit = _number(values.get(form.format("limit")))
            seconds = _seconds(values.get(form.format("reset")), now)
            full = _KNOWN_SECONDS if seconds is None else min(max(seconds, 0.0), _LONGEST_SECONDS)
            found[unit] = Left(amount, max(limit or 0.0, amount), full)
    return found


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if 0.0 <= number < math.inf else None


def _seconds(value: object, now: float) -> float | None:
    """Return the seconds until a reset, which is a duration, a number of seconds, or a time."""
    text = str(value).strip()
    if (seconds := _number(text)) is not None:
        return seconds - now if seconds > now > _LONGEST_SECONDS else seconds  # a Unix time, or a number of seconds
    parts = _DURATION.fullmatch(text)
    if parts is not None and text:
        return sum(float(part) * each for part, each in zip(parts.groups(), _PART_SECONDS, strict=True) if part)
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() - now
    except (ValueError, OverflowError):
        return None


class Headroom:
    """The rests that providers named, less what was taken since. Not thread-safe: the engine holds a lock.

    Examples
    --------
    >>> headroom = Headroom()
    >>> headroom.note("key", {"requests": Left(2.0, 62.0, 60.0)}, now=0.0)
    >>> headroom.take("key", "requests", 1.0, now=0.0)
    >>> [headroom.left("key", "requests", now=now) for now in (0.0, 10.0, 60.0)]  # one more in each second
    [1.0, 11.0, inf]
    """

    def __init__(self) -> None:
        self._left: dict[tuple[str, str], tuple[Left, float]] = {}  # by key and unit, with when it was said

    @property
    def active(self) -> bool:
        """True if anything was said."""
        return bool(self._left)

    def note(self, key: str, left: Mapping[str, Left], now: float) -> None:
        """Know what is left of the limits of one key from now on, until they are full again."""
        for unit, each in left.items():
            self._left[key, unit] = each, now

    def left(self, key: str, unit: str, now: float) -> float:
        """Return how much is left, infinite where nothing is known."""
        known = self._left.get((key, unit))
        if known is None:
            return math.inf
        (amount, limit, full_seconds), said_at = known
        passed = max(now - said_at, 0.0)
        if passed >= full_seconds:
            del self._left[key, unit]
            return math.inf
        return amount + (limit - amount) * passed / full_seconds

    def take(self, key: str, unit: str, amount: float, now: float) -> None:
        """Count what a call takes, until the provider says again what is left."""
        if (key, unit) in self._left:
            left, said_at = self._left[key, unit]
            self._left[key, unit] = left._replace(amount=left.amount - amount, limit=left.limit - amount), said_at
