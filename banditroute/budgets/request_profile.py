"""How many requests come at which hour of the week, learned from the traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from banditroute.budgets.periods import HOUR_SECONDS

_DAY_HOURS = 24
_WEEK_HOURS = 168
_LONGEST_NIGHT_HOURS = 16  # without a request, of a day that is not known yet
_WEEK_BEGINS_HOURS = 72  # hour 0 of Unix time is a Thursday's
_DAYS_AVERAGED = 7.0  # over which the profile of a day is averaged
_WEEKS_AVERAGED = 4.0  # and that of an hour of the week
_FLAT_DAYS = 0.1  # that a profile begins with: days on which all hours are alike
_FITS_FACTOR = 3.0  # from what a profile expects
_LEVEL_KEPT = 0.7  # of what the level rests on, from one hour to the next
_LEVEL_PRIOR_HOURS = 1.0  # average hours that say that today is like other days


class RequestProfile:
    """Learns the requests of every hour of the week, and today's level against them.

    An hour of the week is expected to be as that hour was on other days, until it has been seen itself. Finished hours
    are averaged: of a day over about 7 days, of a week over about 4 weeks.

    Parameters
    ----------
    state
        What ``state()`` returned before. Default: nothing is known.

    Examples
    --------
    >>> profile = RequestProfile()
    >>> for hour in range(20 * 24):  # 10 requests an hour, at noon 100
    ...     for _ in range(100 if hour % 24 == 12 else 10):
    ...         profile.add(hour * 3600.0)
    >>> noon = 20 * 86_400.0 + 12 * 3600.0
    >>> profile.expected(noon, noon + 3600.0) / profile.expected(noon + 3600.0, noon + 7200.0) > 5.0
    True
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self._day = _vector(state.get("day"), _DAY_HOURS)
        self._week = _vector(state.get("week"), _WEEK_HOURS)
        self._day_seen = _vector(state.get("day_seen"), _DAY_HOURS)
        self._week_seen = _vector(state.get("week_seen"), _WEEK_HOURS)
        self._level = (0.0, 0.0)  # requests seen and expected of late
        self._hour: int | None = None
        self._whole = False  # whether the present hour was watched from its beginning
        self._requests = 0
        self._derive()

    def fits(self, now: float) -> bool:
        """Return whether every hour of a day was seen, and the latest hours had about as many requests as expected."""
        return bool(self._day_seen.min() >= 1.0) and 1.0 / _FITS_FACTOR <= self._level_at(now) <= _FITS_FACTOR

    def add(self, now: float) -> None:
        """Count a request at the Unix time ``now``."""
        hour = int(now // HOUR_SECONDS)
        if hour != self._hour:
            self._begin(hour)
        self._requests += 1

    def expected(self, now: float, until: float) -> float:
        """Return how many requests are expected from ``now`` to ``until``."""
        return float(max(self._before(until) - self._before(now), 0.0) * self._level_at(now))

    def state(self) -> dict[str, list[float]]:
        """Return what is known, as JSON can hold it."""
        names = ("day", "week", "day_seen", "week_seen")
        return {name: getattr(self, f"_{name}").round(4).tolist() for name in names}

    def _level_at(self, now: float) -> float:
        """Return the requests of the latest hours as a share of those expected."""
        seen, foreseen = self._level
        prior = _LEVEL_PRIOR_HOURS * self._mean
        foreseen += self._hours[_week_hour(int(now // HOUR_SECONDS))] * (now % HOUR_SECONDS) / HOUR_SECONDS
        return (seen + self._requests + prior) / (foreseen + prior) if prior > 0.0 else 1.0

    def _begin(self, hour: int) -> None:
        before = self._hour
        # A clock that leaps says nothing of the traffic, nor does a process that has just begun and was stopped.
        longest = _WEEK_HOURS if self._day_seen.min() >= 1.0 else _LONGEST_NIGHT_HOURS
        if before is not None and 0 < hour - before <= longest:
            if self._whole:
                self._finish(before, self._requests)
            for quiet in range(before + 1, hour):
                self._finish(quiet, 0)
            self._whole = True
            self._derive()
        else:
            self._whole = False
        self._hour, self._requests = hour, 0

    def _finish(self, hour: int, requests: int) -> None:
        at, slot = hour % _DAY_HOURS, _week_hour(hour)
        seen, foreseen = self._level
        if self._week_seen[slot] > 0.0 or self._day_seen[at] > 0.0:
            self._level = seen * _LEVEL_KEPT + requests, foreseen * _LEVEL_KEPT + self._hours[slot]
        self._day_seen[at] = min(self._day_seen[at] + 1.0, _DAYS_AVERAGED)
        self._day[at] += (requests - self._day[at]) / self._day_seen[at]
        self._week_seen[slot] = min(self._week_seen[slot] + 1.0, _WEEKS_AVERAGED)
        self._week[slot] += (requests - self._week[slot]) / self._week_seen[slot]

    def _derive(self) -> None:
        """Derive what is expected of each hour of the week, and of all before it."""
        flat = (self._day * self._day_seen).sum() / max(self._day_seen.sum(), 1.0)
        day = (self._day * self._day_seen + flat * _FLAT_DAYS) / (self._day_seen + _FLAT_DAYS)
        of_day = day[np.arange(_WEEK_HOURS) % _DAY_HOURS]  # weeks begin at midnight
        self._hours = (of_day + self._week_seen * self._week) / (1.0 + self._week_seen)
        self._sums = np.concatenate([[0.0], np.cumsum(self._hours)])
        self._mean = float(self._sums[-1]) / _WEEK_HOURS

    def _before(self, now: float) -> float:
        """Return the requests expected before ``now``, from the first Monday on."""
        hours = now / HOUR_SECONDS + _WEEK_BEGINS_HOURS
        weeks, hour = divmod(hours, _WEEK_HOURS)
        slot = int(hour)
        return float(weeks * self._sums[-1] + self._sums[slot] + (hour - slot) * self._hours[slot])


def _week_hour(hour: int) -> int:
    return (hour + _WEEK_BEGINS_HOURS) % _WEEK_HOURS


def _vector(values: Sequence[float] | None, length: int) -> np.ndarray:
    if values is None:
        return np.zeros(length)
    array = np.array(values, dtype=float)
    if array.shape != (length,) or not np.isfinite(array).all():
        raise ValueError(f"a profile of requests has {length} hours, got {array.shape}")
    return array
