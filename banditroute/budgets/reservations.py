"""Reservations: what is set aside for the open decisions of this process."""

from __future__ import annotations

import math
from collections import OrderedDict

_MOST_OPEN = 100_000  # decisions that are kept one by one
_PARTS = 64  # of the time that a report is waited for, in which older decisions are kept as sums


class Reservations:
    """Amounts set aside for decisions, each until it is reported or its time is over.

    Of more than 100,000 open decisions the oldest are kept as sums, one for each 64th of ``settle_seconds``. What is
    set aside for these stays until their time is over, though they are reported: too much is kept, never too little.

    Parameters
    ----------
    settle_seconds
        How long a report is waited for.

    Attributes
    ----------
    reserved
        Sum of what is set aside, at least 0.
    slack
        How much of that is beyond what the decisions are expected to spend, at least 0.

    Examples
    --------
    >>> reservations = Reservations(settle_seconds=60.0)
    >>> for id, now in (("a", 0.0), ("b", 30.0), ("c", 90.0)):
    ...     reservations.reserve(id, 0.25, now=now)
    >>> reservations.release("c")
    >>> reservations.expire(now=60.0)
    >>> reservations.reserved
    0.25
    """

    def __init__(self, *, settle_seconds: float) -> None:
        self.reserved: float = 0.0
        self.slack: float = 0.0
        self._settle_seconds = settle_seconds
        self._open: OrderedDict[str, tuple[float, float, float]] = OrderedDict()  # amount, slack, deadline
        self._summed: OrderedDict[float, tuple[float, float]] = OrderedDict()  # deadline -> amount, slack

    def reserve(self, id: str, amount: float, now: float, *, expected: float | None = None) -> None:
        """Set ``amount`` aside, at least 0, for a decision that is expected to spend ``expected`` (default: all)."""
        slack = 0.0 if expected is None else max(amount - expected, 0.0)
        self._open[id] = amount, slack, now + self._settle_seconds
        self.reserved += amount
        self.slack += slack
        if len(self._open) > _MOST_OPEN:
            self._sum_oldest()

    def _sum_oldest(self) -> None:
        _, (amount, slack, deadline) = self._open.popitem(last=False)
        part = self._settle_seconds / _PARTS
        end = math.ceil(deadline / part) * part
        before = self._summed.get(end, (0.0, 0.0))
        self._summed[end] = before[0] + amount, before[1] + slack

    def release(self, id: str) -> None:
        """Release what is set aside for a decision, if anything is."""
        amount, slack, _ = self._open.pop(id, (0.0, 0.0, 0.0))
        self._take_off(amount, slack)

    def _take_off(self, amount: float, slack: float) -> None:
        self.reserved -= amount
        self.slack -= slack
        if not self._open or self.reserved < 0.0 or self.slack < 0.0:  # rounding
            kept = [*self._open.values(), *self._summed.values()]
            self.reserved = math.fsum(each[0] for each in kept)
            self.slack = math.fsum(each[1] for each in kept)

    def expire(self, now: float) -> None:
        """Release what was not reported in time."""
        while self._summed and now >= next(iter(self._summed)):
            self._take_off(*self._summed.popitem(last=False)[1])
        while self._open:
            id, (_, _, deadline) = next(iter(self._open.items()))
            if now < deadline:
                return
            self.release(id)

    def clear(self) -> None:
        """Release everything."""
        self._open.clear()
        self._summed.clear()
        self.reserved = self.slack = 0.0
