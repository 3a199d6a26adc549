"""The latest time that a decision can have: a clock that is ahead must not age what was learned."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

TOLERANCE_SECONDS = 60.0
"""How far ahead of the database's clock a decision may be."""

BELIEVED_AFTER_SECONDS = 3600.0
"""How long a clock that leaped ahead is doubted; then it is believed, and was wrong before."""

_logger = logging.getLogger("banditroute.store")


def seconds_since_boot() -> float:
    """Return how long the machine runs, its sleep included on Linux."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class LatestTime:
    """Follows the database's clock, which must not leap: between two readings it goes as a monotonic clock does.

    Parameters
    ----------
    monotonic
        Gives seconds that never go back. Default: since the machine started, its sleep included where that is known.

    Examples
    --------
    >>> seconds = iter([0.0, 1.0, 1.0])
    >>> latest = LatestTime(monotonic=lambda: next(seconds))
    >>> latest.read(1_700_000_000.0)
    >>> latest.read(1_800_000_000.0)  # a leap of three years in a second
    >>> latest.bound()
    1700000061.0
    """

    def __init__(self, *, monotonic: Callable[[], float] | None = None) -> None:
        self._monotonic = monotonic or seconds_since_boot
        self._now: float | None = None
        self._read_at = 0.0
        self._leaped_at: float | None = None

    def read(self, now: float) -> None:
        """Take what the database's clock shows, in Unix seconds."""
        at = self._monotonic()
        if self._now is not None and now > self._now + (at - self._read_at) + TOLERANCE_SECONDS:
            if self._leaped_at is None:
                self._leaped_at = at
                _logger.warning(
                    "the clock leaped ahead by %.0f s; for %.0f s decisions are recorded as if it had not",
                    now - self._now - (at - self._read_at),
                    BELIEVED_AFTER_SECONDS,
                )
            if at - self._leaped_at < BELIEVED_AFTER_SECONDS:
                return
        self._now, self._read_at, self._leaped_at = now, at, None

    def bound(self) -> float:
        """Return the latest time of a decision that is recorded now, in Unix seconds."""
        if self._now is None:
            return time.time() + TOLERANCE_SECONDS
        return self._now + (self._monotonic() - self._read_at) + TOLERANCE_SECONDS
