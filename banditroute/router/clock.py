"""The clock of a router, which a caller may have given, and which may fail."""

from __future__ import annotations

import time
from collections.abc import Callable

from banditroute.core.validation import number
from banditroute.errors import InvalidInputError

_LATEST_SECONDS = 1e19  # beyond it, hours and days no longer fit into a database


class CheckedClock:
    """A clock that never raises: where the given one gives no usable time, the system's is read.

    Parameters
    ----------
    clock
        Gives Unix time in seconds.

    Examples
    --------
    >>> CheckedClock(lambda: 5)()
    5.0
    >>> CheckedClock(lambda: None).read()[1]
    "the clock gave None; the system's time is used"
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def __call__(self) -> float:
        """Return Unix time in seconds."""
        return self.read()[0]

    def read(self) -> tuple[float, str | None]:
        """Return Unix time in seconds, and what is wrong with the clock; None if nothing is."""
        try:
            given = self._clock()
        except Exception as error:
            return time.time(), f"the clock raised {type(error).__name__}; the system's time is used"
        if type(given) is float and 0.0 <= given <= _LATEST_SECONDS:
            return given, None
        try:
            return number(given, name="the clock", low=-_LATEST_SECONDS, high=_LATEST_SECONDS), None
        except InvalidInputError:
            said = repr(given) if given is None or isinstance(given, float | bool) else f"a {type(given).__name__}"
            return time.time(), f"the clock gave {said}; the system's time is used"
