"""The ids of decisions: they sort by time, cannot be guessed, and show which of them one router made."""

from __future__ import annotations

import os

from banditroute.core.forking import hold_while_forking

ID_DIGITS = 32
_TIME_DIGITS = 12
_MAKER_DIGITS = 8
_RANDOM_DIGITS = ID_DIGITS - _TIME_DIGITS - _MAKER_DIGITS
_IDS_DRAWN_TOGETHER = 64  # a call of the operating system takes longer than the rest of an id
_LATEST = 16**_TIME_DIGITS - 1  # milliseconds: ids of clocks in milliseconds end there


class DecisionIds:
    """Makes the ids of one router in one process.

    An id is 32 hexadecimal digits: 12 of the time in milliseconds, 8 that this router draws once, and 12 random ones.
    A forked child draws its own.

    Examples
    --------
    >>> ids = DecisionIds()
    >>> first, second = ids.make(1_700_000_000.0), ids.make(1_700_000_001.0)
    >>> len(first), first < second, maker_of(first) == maker_of(second)
    (32, True, True)
    """

    def __init__(self) -> None:
        self.begin_in_child()
        hold_while_forking(self)

    def begin_in_child(self) -> None:
        """Draw the digits of this router."""
        self._maker = os.urandom(_MAKER_DIGITS // 2).hex()
        self._endings: list[str] = []  # random digits of the next ids

    def make(self, now: float) -> str:
        """Return the id of a decision that is made at ``now``, in Unix seconds."""
        try:
            ending = self._endings.pop()  # by one thread alone, in one step
        except IndexError:
            drawn = os.urandom(_RANDOM_DIGITS // 2 * _IDS_DRAWN_TOGETHER).hex()
            ending, *others = (drawn[at : at + _RANDOM_DIGITS] for at in range(0, len(drawn), _RANDOM_DIGITS))
            self._endings += others
        return f"{min(max(int(now * 1000.0), 0), _LATEST):012x}{self._maker}{ending}"


def seconds_of(id: str) -> float | None:
    """Return when a decision was made by its id, in Unix seconds; None if no router makes such ids.

    Examples
    --------
    >>> seconds_of(DecisionIds().make(1_700_000_000.0)), seconds_of("order 12")
    (1700000000.0, None)
    """
    if len(id) != ID_DIGITS:
        return None
    try:
        return int(id[:_TIME_DIGITS], 16) / 1000.0
    except ValueError:
        return None


def maker_of(id: str) -> str | None:
    """Return the digits of the router that made an id; None if they are all 0, as no router draws them.

    Examples
    --------
    >>> maker_of(f"{7:032x}") is None
    True
    """
    maker = id[_TIME_DIGITS : _TIME_DIGITS + _MAKER_DIGITS]
    return maker if maker.strip("0") else None
