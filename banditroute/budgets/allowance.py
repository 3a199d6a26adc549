"""Allowances: how much of a budget the next requests may take, and how much one of them at most.

Both kinds pay back what was spent too much, and a call so dear that it would put the budget far behind is not made:
what is at risk at any time is what ``20 + n / 200`` requests may take, n being the requests so far. Without that bound
a few calls of an arm that costs hundreds of average requests decide over the whole. Less than half as much can be
saved: what was left over for long is not spent all at once when arms or prices change.

Both keep a tally that other processes add to as well: each change is applied here and returned, to be added there.
"""

from __future__ import annotations

from banditroute.core.shared_total import SharedTotal

_FIRST_CREDIT = 20.0  # requests' worth
_CREDIT = 0.005  # more of it for each request: half a percent of what was ever granted
_SAVED = 0.4  # of that much
_REPAID = 100.0  # requests within which a debt is paid back
_USED = 30.0  # and within which savings are used
_RECENT = 30  # requests over which the usual gap between two is averaged
_LONGEST = 10.0  # usual gaps


def _credit(requests: int) -> float:
    return _FIRST_CREDIT + _CREDIT * requests


class PerRequest:
    """An amount for each request, on average.

    Parameters
    ----------
    amount
        For each request.
    tally
        What all processes have counted so far.

    Examples
    --------
    >>> allowance = PerRequest(amount=0.01)
    >>> allowance.enter(0.02, least=0.001, now=0.0)
    SharedTotal(period=0, requests=1, spent=0.02, balance=-0.01)
    >>> round(allowance.target(0.0), 5)  # 0.01 - 0.01 / 100
    0.0099
    """

    def __init__(self, *, amount: float, tally: SharedTotal = SharedTotal()) -> None:  # noqa: B008
        self.tally = tally
        self._amount = amount

    def begin(self, now: float) -> bool:
        """Whether a new period begins; never."""
        return False

    def enter(self, spend: float, least: float, now: float) -> SharedTotal:
        """Count a request that is expected to take ``spend``, and of the cheapest arm ``least``."""
        owed = self.tally.balance < -_credit(self.tally.requests) * self._amount
        # What no choice could have saved is no debt: it would be paid back long after the budget has become feasible.
        return self._add(1, spend, (max(self._amount, least) if owed else self._amount) - spend)

    def correct(self, more: float) -> SharedTotal:
        """Take into account that a request took so much ``more`` than was expected of it."""
        return self._add(0, more, -more)

    def hear(self, tally: SharedTotal) -> None:
        """Go on from what all processes have counted by now."""
        self.tally = tally

    def target(self, now: float) -> float:
        """What the next requests may take, each on average."""
        balance = self.tally.balance
        return self._amount + balance / (_REPAID if balance < 0.0 else _USED)

    def most(self, now: float) -> float:
        """What the next request may take at most; never less than the amount, which leaves the balance as it is."""
        return max(self.tally.balance + (1.0 + _credit(self.tally.requests)) * self._amount, self._amount)

    def granted(self, now: float) -> float:
        """What was allowed so far."""
        return self.tally.requests * self._amount

    def _add(self, requests: int, spend: float, balance: float) -> SharedTotal:
        most = _SAVED * _credit(self.tally.requests + requests) * self._amount
        added = SharedTotal(0, requests, spend, min(balance, most - self.tally.balance))
        self.tally += added
        return added


class PerPeriod:
    """An amount for each period of time, shared out evenly over the requests that are still expected in it.

    How many are expected follows from the gaps between the latest requests of this process, and from how many others
    all processes counted meanwhile; a gap ten times the usual, such as a night, counts as ten usual ones.

    Parameters
    ----------
    amount
        For each period.
    seconds
        Length of a period; periods begin at multiples of it.
    tally
        What all processes have counted in the latest one.
    gap
        Usual seconds between two requests, 0 while not known.

    Examples
    --------
    >>> allowance = PerPeriod(amount=60.0, seconds=3600.0)
    >>> for now in (0.0, 60.0):
    ...     _ = allowance.begin(now), allowance.enter(1.0, least=0.1, now=now)
    >>> round(allowance.target(60.0), 3)  # 58 left for 59 more requests, one a minute
    0.983
    """

    def __init__(self, *, amount: float, seconds: float, tally: SharedTotal = SharedTotal(), gap: float = 0.0) -> None:  # noqa: B008
        self.tally = tally
        self.gap = gap
        self._amount = amount
        self._seconds = seconds
        self._last: float | None = None
        self._others = 0
        self._with_others = 1.0  # requests of all processes for each one of this

    def begin(self, now: float) -> bool:
        """Whether a new period begins."""
        period = int(now // self._seconds)
        if period == self.tally.period:
            return False
        self.tally = SharedTotal(period=period)
        return True

    def enter(self, spend: float, least: float, now: float) -> SharedTotal:
        """Count a request that is expected to take ``spend``."""
        if self._last is not None:
            gap = max(now - self._last, 0.0)
            usual = self.gap or gap
            self.gap = usual + (min(gap, _LONGEST * usual) - usual) / _RECENT
            self._with_others += (1.0 + self._others - self._with_others) / _RECENT
        self._last = now
        self._others = 0
        return self._add(SharedTotal(self.tally.period, 1, spend))

    def correct(self, more: float) -> SharedTotal:
        """Take into account that a request of this period took so much ``more`` than was expected of it."""
        return self._add(SharedTotal(self.tally.period, 0, more))

    def hear(self, tally: SharedTotal) -> None:
        """Go on from what all processes have counted by now."""
        if tally.period == self.tally.period:
            self._others += max(tally.requests - self.tally.requests, 0)
            self.tally = tally

    def target(self, now: float) -> float:
        """What the next requests may take, each on average; nothing while it is not known how many there will be."""
        if self.gap == 0.0:
            return 0.0
        still = (self._seconds - now % self._seconds) / self.gap * self._with_others
        return max(self._left, 0.0) / max(still, 1.0)

    def most(self, now: float) -> float:
        """What the next request may take at most."""
        return min(self._left, (1.0 + _credit(self.tally.requests)) * self.target(now))

    def granted(self, now: float) -> float:
        """What was allowed so far: the part of the amount for the part of the period that is over."""
        return self._amount * (now % self._seconds) / self._seconds

    @property
    def _left(self) -> float:
        return self._amount - self.tally.spent

    def _add(self, added: SharedTotal) -> SharedTotal:
        self.tally += added
        return added
