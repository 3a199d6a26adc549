"""Times in words."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(moment: float) -> str:
    """Return a Unix time as a date with the time of day, in UTC.

    Examples
    --------
    >>> utc(1_700_000_000.0)
    '2023-11-14T22:13:20+00:00'
    """
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
