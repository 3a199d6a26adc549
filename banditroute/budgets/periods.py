"""Periods of the calendar in UTC: hours, days, weeks from Monday, and months."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, TypeAlias

Period: TypeAlias = Literal["hour", "day", "week", "month"]
"""A part of the calendar."""

PERIODS: tuple[str, ...] = ("hour", "day", "week", "month")

HOUR_SECONDS = 3600.0
_DAY_SECONDS = 86400.0
_WEEK_SECONDS = 7.0 * _DAY_SECONDS
_MONDAY = 3.0 * _DAY_SECONDS  # 1970 began on a Thursday
_YEAR_9999 = 253_370_764_800.0  # seconds; no calendar goes further


def period_number(per: str, now: float) -> int:
    """Return the number of the period that holds the Unix time ``now``: 0 is the one that holds 1970-01-01.

    Examples
    --------
    >>> period_number("day", 86_400.0), period_number("month", 31 * 86_400.0)
    (1, 1)
    """
    if per == "month":
        at = datetime.fromtimestamp(min(max(now, 0.0), _YEAR_9999), UTC)
        return (at.year - 1970) * 12 + at.month - 1
    if per == "week":
        return int((now + _MONDAY) // _WEEK_SECONDS)
    return int(now // (_DAY_SECONDS if per == "day" else HOUR_SECONDS))


def period_bounds(per: str, number: int) -> tuple[float, float]:
    """Return the Unix times at which a period begins and ends.

    Examples
    --------
    >>> period_bounds("day", 1)
    (86400.0, 172800.0)
    >>> period_bounds("week", 1)  # Monday, 5 January 1970
    (345600.0, 950400.0)
    """
    if per == "month":
        first, next_ = (datetime(1970 + n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in (number, number + 1))
        return first.timestamp(), next_.timestamp()
    if per == "week":
        start = number * _WEEK_SECONDS - _MONDAY
        return start, start + _WEEK_SECONDS
    seconds = _DAY_SECONDS if per == "day" else HOUR_SECONDS
    return number * seconds, (number + 1) * seconds
