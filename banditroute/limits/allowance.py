"""Allowances: how much of a budget the next requests may take, and how much one of them at most.

Both kinds pay back what was spent too much, and a call so dear that it would put the budget far behind is not made:
what is at risk at any time is what ``30 + n / 200`` requests may take, n being the requests so far. Without that bound
a few calls of an arm that costs hundreds of average requests decide over the whole.
"""

from __future__ import annotations

_FIRST_CREDIT = 30.0  # requests' worth
_CREDIT = 0.005  # more of it for each request: half a percent of what was ever granted
_SAVED = 1.0
_HORIZON = 100.0  # requests within which a deviation is paid back
_MARGIN = 0.98  # aimed at, since a deviation is only paid back after it was made
_RECENT = 30  # gaps between requests over which the usual one is averaged
_LONGEST = 10.0  # usual gaps


def _credit(requests: int) -> float:
    return _FIRST_CREDIT + _CREDIT * requests


class PerRequest:
    """An amount for each request, on average.

    Parameters
    ----------
    amount
        For each request.
    requests, balance
        How many there were, and what is left of their allowance; below 0 where they took more.

    Examples
    --------
    >>> allowance = PerRequest(amount=0.01)
    >>> allowance.enter(0.02, least=0.001, now=0.0)
    >>> allowance.balance, round(allowance.target(0.0), 5)  # 0.98 x 0.01 - 0.01 / 100
    (-0.01, 0.0097)
    """

    def __init__(self, *, amount: float, requests: int = 0, balance: float = 0.0) -> None:
        self.requests = requests
        self.balance = balance
        self._amount = amount

    def begin(self, now: float) -> bool:
        """Whether a new period begins; never."""
        return False

    def enter(self, spend: float, least: float, now: float) -> None:
        """Count a request that is expected to take ``spend``, and of the cheapest arm ``least``."""
        owed = self.balance < -_credit(self.requests) * self._amount
        # What no choice could have saved is no debt: it would be paid back long after the budget has become feasible.
        self.balance += (max(self._amount, least) if owed else self._amount) - spend
        self.requests += 1
        self.correct(0.0)

    def correct(self, more: float) -> None:
        """Take into account that a request took so much ``more`` than was expected of it."""
        # What was left unspent long ago is not carried: it would be spent all at once.
        self.balance = min(self.balance - more, _SAVED * _credit(self.requests) * self._amount)

    def target(self, now: float) -> float:
        """What the next requests may take, each on average."""
        return _MARGIN * self._amount + self.balance / _HORIZON

    def most(self, now: float) -> float:
        """What the next request may take at most."""
        return self.balance + (1.0 + _credit(self.requests)) * self._amount

    def granted(self, now: float) -> float:
        """What was allowed so far."""
        return self.requests * self._amount

    def state(self) -> dict[str, float]:
        """What to begin with another time."""
        return {"requests": self.requests, "balance": self.balance}


class PerPeriod:
    """An amount for each period of time, shared out evenly over the requests that are still expected in it.

    How many are expected follows from the gaps between the latest requests; a gap ten times the usual, such as a
    night, counts as ten usual ones.

    Parameters
    ----------
    amount
        For each period.
    seconds
        Length of a period; periods begin at multiples of it.
    period, requests, left
        The present one: its number, how many requests there were in it, and what is left of the amount.
    gap, last
        Usual seconds between requests, 0 while not known; and when the last one came.

    Examples
    --------
    >>> allowance = PerPeriod(amount=60.0, seconds=3600.0)
    >>> for now in (0.0, 60.0):
    ...     _ = allowance.begin(now)
    ...     allowance.enter(1.0, least=0.1, now=now)
    >>> round(allowance.target(60.0), 3)  # 58 left for 59 more requests, one a minute
    0.983
    """

    def __init__(
        self,
        *,
        amount: float,
        seconds: float,
        period: int = 0,
        requests: int = 0,
        left: float | None = None,
        gap: float = 0.0,
        last: float | None = None,
    ) -> None:
        self.requests = requests
        self._amount = amount
        self._seconds = seconds
        self._period = period
        self._left = amount if left is None else left
        self._gap = gap
        self._last = last

    def begin(self, now: float) -> bool:
        """Whether a new period begins."""
        period = int(now // self._seconds)
        if period == self._period:
            return False
        self._period, self.requests, self._left = period, 0, self._amount
        return True

    def enter(self, spend: float, least: float, now: float) -> None:
        """Count a request that is expected to take ``spend``."""
        if self._last is not None:
            gap = max(now - self._last, 0.0)
            usual = self._gap or gap
            self._gap = usual + (min(gap, _LONGEST * usual) - usual) / _RECENT
        self._last = now
        self._left -= spend
        self.requests += 1

    def correct(self, more: float) -> None:
        """Take into account that a request of this period took so much ``more`` than was expected of it."""
        self._left -= more

    def target(self, now: float) -> float:
        """What the next requests may take, each on average; nothing while it is not known how many there will be."""
        if self._gap == 0.0:
            return 0.0
        return max(self._left, 0.0) / max((self._seconds - now % self._seconds) / self._gap, 1.0)

    def most(self, now: float) -> float:
        """What the next request may take at most."""
        return min(self._left, (1.0 + _credit(self.requests)) * self.target(now))

    def granted(self, now: float) -> float:
        """What was allowed so far: the part of the amount for the part of the period that is over."""
        return self._amount * (now % self._seconds) / self._seconds

    def state(self) -> dict[str, float | None]:
        """What to begin with another time."""
        return {
            "period": self._period,
            "requests": self.requests,
            "left": self._left,
            "gap": self._gap,
            "last": self._last,
        }
