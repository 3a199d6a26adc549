"""Allowances: what the next requests may spend on average, and the most that one of them may spend.

An overdraft is paid back. A call is refused if it would overdraw the budget by more than the credit, which is worth
``20 + n / 200`` requests after n of them: without that bound, a few calls of an arm that costs hundreds of average
requests decide over the whole. Less than half as much can be saved, so that old savings are not spent all at once
when arms or prices change.

All processes share the total of an allowance: each change is applied here and returned, to be added to the shared one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from banditroute.budgets.periods import period_bounds, period_number
from banditroute.budgets.request_profile import RequestProfile
from banditroute.core.shared_total import SharedTotal

_FIRST_CREDIT_REQUESTS = 20.0
_CREDIT_PER_REQUEST = 0.005  # half a percent of what was ever granted
_SAVED_SHARE_OF_CREDIT = 0.4
_REPAY_REQUESTS = 100.0  # within which a debt is paid back
_SAVINGS_REQUESTS = 30.0  # within which savings are used
_AVERAGED_GAPS = 30  # between requests
_LONGEST_GAP = 10.0  # usual gaps
_KEPT_PERIODS = 4  # a clock that was wrong and is set right finds its period again

FIRST_GRANT_REQUESTS = 200
"""A hard budget for each request grants the first 200 requests' worth at once."""


def credit_requests(requests: int) -> float:
    """Return how many requests' worth a budget may be overdrawn after so many requests."""
    return _FIRST_CREDIT_REQUESTS + _CREDIT_PER_REQUEST * requests


class PerRequest:
    """An amount for each request, on average.

    Parameters
    ----------
    amount
        For each request.
    total
        What all processes have counted so far.
    hard
        Whether the budget must never be overdrawn. Then its credit shrinks to nothing while the first grant is used.

    Attributes
    ----------
    reserve
        What a hard budget saves up within its first grant, and keeps.

    Examples
    --------
    >>> allowance = PerRequest(amount=0.01)
    >>> allowance.enter(0.02, least=0.001, now=0.0)
    SharedTotal(period=0, requests=1, spent=0.02, balance=-0.01)
    >>> round(allowance.target(0.0), 5)  # 0.01 - 0.01 / 100
    0.0099
    """

    def __init__(self, *, amount: float, total: SharedTotal = SharedTotal(), hard: bool = False) -> None:  # noqa: B008
        self.total: SharedTotal = total
        self.reserve: float = 0.0
        self.amount = amount
        self._hard = hard

    def begin(self, now: float) -> bool:
        """Return whether a new period begins: never."""
        return False

    def holds(self, decided_at: float) -> bool:
        """Return whether a request of that time still counts: always."""
        return True

    def enter(self, spend: float, least: float, now: float) -> SharedTotal:
        """Count a request that is expected to spend ``spend``, while the cheapest arm spends ``least`` on average."""
        owed = self.total.balance < -credit_requests(self.total.requests) * self.amount
        # What no choice could have saved is no debt: it would be paid back long after the budget has become feasible.
        return self._add(1, spend, (max(self.amount, least) if owed else self.amount) - spend)

    def correct(self, more: float) -> SharedTotal:
        """Count that a request spent so much ``more`` than was expected of it."""
        return self._add(0, more, -more)

    def merge(self, joint: SharedTotal) -> None:
        """Take over what all processes have counted by now."""
        self.total = joint

    def target(self, now: float, slack: float = 0.0) -> float:
        """Return what each of the next requests may spend on average, if ``slack`` of the reservations comes back."""
        balance = self.total.balance + slack - (1.0 - self._first_grant_left()) * self.reserve
        return self.amount + balance / (_REPAY_REQUESTS if balance < 0.0 else _SAVINGS_REQUESTS)

    def most(self, now: float, slack: float = 0.0) -> float:
        """Return the most that the next request may spend.

        It is at least the amount, which leaves the balance as it is; but not under a hard budget.
        """
        balance = self.total.balance + slack
        credit = credit_requests(self.total.requests) * self.amount
        if self._hard:
            return balance + self._first_grant_left() * credit + self.amount
        return max(balance + credit + self.amount, self.amount)

    def granted(self, now: float) -> float:
        """Return what was granted so far."""
        return max(self.total.requests, FIRST_GRANT_REQUESTS if self._hard else 0) * self.amount

    def expected_requests(self, now: float) -> float | None:
        """Return how many requests are still expected: unknown, as there is no end."""
        return None

    def state(self) -> dict[str, Any]:
        """Return what is to be kept besides the total."""
        return {}

    def _first_grant_left(self) -> float:
        """Return which part of a hard budget's first grant no request has used up yet: from 1 to 0; 1 of a soft one."""
        return 1.0 - min(self.total.requests / FIRST_GRANT_REQUESTS, 1.0) if self._hard else 1.0

    def _add(self, requests: int, spend: float, balance: float) -> SharedTotal:
        most = _SAVED_SHARE_OF_CREDIT * credit_requests(self.total.requests + requests) * self.amount + self.reserve
        added = SharedTotal(0, requests, spend, min(balance, most - self.total.balance))
        self.total += added
        return added


class PerPeriod:
    """An amount for each hour, day, week or month, shared out over the requests that are still expected in it.

    How many are expected follows from the learned profile of the week, once each hour of a day was seen and while the
    traffic fits it. Otherwise, and within an hour, it follows from the usual gap between two requests; a gap ten times
    the usual, such as a night, counts as ten usual ones. Requests of other processes are counted in proportion.

    Parameters
    ----------
    amount
        For each period.
    per
        ``"hour"``, ``"day"``, ``"week"`` or ``"month"``.
    totals
        What all processes have counted, one total for each period; a clock that was ahead may have counted in a later
        one.
    state
        What ``state()`` returned before.

    Examples
    --------
    >>> allowance = PerPeriod(amount=60.0, per="hour")
    >>> for now in (0.0, 60.0):
    ...     _ = allowance.begin(now), allowance.enter(1.0, least=0.1, now=now)
    >>> round(allowance.target(60.0), 3)  # 58 left for 59 more requests, one a minute
    0.983
    """

    def __init__(
        self,
        *,
        amount: float,
        per: str,
        totals: Sequence[SharedTotal] = (),
        state: Mapping[str, Any] | None = None,
    ) -> None:
        state = state or {}
        self.gap: float = float(state.get("gap", 0.0))
        self.amount = amount
        self._per = per
        self._totals = {total.period: total for total in totals} or {0: SharedTotal()}
        self._period = next(iter(self._totals))
        self._ends = period_bounds(per, self._period)
        self._profile = None if per == "hour" else RequestProfile(state.get("profile"))
        self._last: float | None = None
        self._others = 0
        self._with_others = 1.0  # requests of all processes for each one of this

    @property
    def total(self) -> SharedTotal:
        """The total of all processes in the present period."""
        return self._totals[self._period]

    def begin(self, now: float) -> bool:
        """Return whether another period begins."""
        start, end = self._ends
        if start <= now < end:
            return False
        self._period = period_number(self._per, now)
        self._ends = period_bounds(self._per, self._period)
        total = self._totals.pop(self._period, SharedTotal(period=self._period))
        self._totals[self._period] = total  # last: the others are forgotten first
        while len(self._totals) > _KEPT_PERIODS:
            del self._totals[next(iter(self._totals))]
        self._others = 0
        return True

    def holds(self, decided_at: float) -> bool:
        """Return whether a request of that time counts in the present period."""
        start, end = self._ends
        return start <= decided_at < end

    def enter(self, spend: float, least: float, now: float) -> SharedTotal:
        """Count a request that is expected to spend ``spend``."""
        if self._last is not None:
            gap = max(now - self._last, 0.0)
            usual = self.gap or gap
            self.gap = usual + (min(gap, _LONGEST_GAP * usual) - usual) / _AVERAGED_GAPS
            self._with_others += (1.0 + self._others - self._with_others) / _AVERAGED_GAPS
        self._last = now
        self._others = 0
        if self._profile is not None:
            self._profile.add(now)
        return self._add(SharedTotal(self._period, 1, spend))

    def correct(self, more: float) -> SharedTotal:
        """Count that a request of this period spent so much ``more`` than was expected of it."""
        return self._add(SharedTotal(self._period, 0, more))

    def merge(self, joint: SharedTotal) -> None:
        """Take over what all processes have counted by now in its period."""
        if joint.period == self._period:
            self._others += max(joint.requests - self.total.requests, 0)
        if joint.period in self._totals:
            self._totals[joint.period] = joint

    def target(self, now: float, slack: float = 0.0) -> float:
        """Return what each of the next requests may spend on average; 0 while nothing tells how many there will be."""
        still = self.expected_requests(now)
        return 0.0 if still is None else max(self._left(slack), 0.0) / max(still, 1.0)

    def most(self, now: float, slack: float = 0.0) -> float:
        """Return the most that the next request may spend."""
        return min(self._left(slack), (1.0 + credit_requests(self.total.requests)) * self.target(now, slack))

    def granted(self, now: float) -> float:
        """Return what was granted so far: the part of the amount for the part of the period that is over."""
        start, end = self._ends
        return self.amount * (now - start) / (end - start)

    def expected_requests(self, now: float) -> float | None:
        """Return how many requests of all processes are still expected in this period; None while it is unknown."""
        end = self._ends[1]
        if self._profile is not None and self._profile.fits(now):
            return self._profile.expected(now, end) * self._with_others
        return None if self.gap == 0.0 else (end - now) / self.gap * self._with_others

    def state(self) -> dict[str, Any]:
        """Return what is to be kept besides the total."""
        return {"gap": self.gap, **({} if self._profile is None else {"profile": self._profile.state()})}

    def _left(self, slack: float) -> float:
        return self.amount - self.total.spent + slack

    def _add(self, added: SharedTotal) -> SharedTotal:
        self._totals[self._period] = self.total + added
        return added


class PerSession:
    """An amount for each session, shared out over the steps that a session still takes on average.

    Parameters
    ----------
    amount
        For each session.
    total
        What all processes have counted for this session.
    steps
        Counts the steps of all sessions.

    Examples
    --------
    >>> steps = SessionSteps()
    >>> for session in ("a", "b"):
    ...     wallet = PerSession(amount=1.0, steps=steps)
    ...     for _ in range(4):
    ...         _ = wallet.enter(0.1, least=0.1, now=0.0)
    >>> wallet = PerSession(amount=1.0, steps=steps)
    >>> _ = wallet.enter(0.4, least=0.1, now=0.0)
    >>> round(wallet.target(0.0), 3)  # .6 are left for the two steps that are still expected
    0.3
    """

    def __init__(self, *, amount: float, steps: SessionSteps, total: SharedTotal = SharedTotal()) -> None:  # noqa: B008
        self.total: SharedTotal = total
        self.amount = amount
        self._steps = steps
        if total.requests == 0:
            steps.sessions += 1

    def begin(self, now: float) -> bool:
        """Return whether a new period begins: never."""
        return False

    def holds(self, decided_at: float) -> bool:
        """Return whether a request of that time still counts: always."""
        return True

    def enter(self, spend: float, least: float, now: float) -> SharedTotal:
        """Count a step that is expected to spend ``spend``."""
        self._steps.steps += 1
        return self._add(SharedTotal(0, 1, spend))

    def correct(self, more: float) -> SharedTotal:
        """Count that a step spent so much ``more`` than was expected of it."""
        return self._add(SharedTotal(0, 0, more))

    def merge(self, joint: SharedTotal) -> None:
        """Take over what all processes have counted by now."""
        self.total = joint

    def target(self, now: float, slack: float = 0.0) -> float:
        """Return what each of the next steps may spend on average."""
        return max(self._left, 0.0) / self.expected_requests(now)

    def most(self, now: float, slack: float = 0.0) -> float:
        """Return the most that the next step may spend: what is left."""
        return self._left

    def granted(self, now: float) -> float:
        """Return what was granted: the whole amount."""
        return self.amount

    def expected_requests(self, now: float) -> float:
        """Return how many more steps this session is expected to take, at least 1."""
        return max(self._steps.mean - self.total.requests, 1.0)

    def state(self) -> dict[str, Any]:
        """Return what is to be kept besides the total."""
        return {}

    @property
    def _left(self) -> float:
        return self.amount - self.total.spent

    def _add(self, added: SharedTotal) -> SharedTotal:
        self.total += added
        return added


class SessionSteps:
    """How many steps a session takes on average."""

    def __init__(self) -> None:
        self.sessions = 0
        self.steps = 0

    @property
    def mean(self) -> float:
        """Steps of an average session, at least 1."""
        return max(self.steps / max(self.sessions, 1), 1.0)
