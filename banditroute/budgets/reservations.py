"""The ledger: what the requests of this process that nobody has reported yet are expected to take."""

from __future__ import annotations

import math
from collections import OrderedDict


class Reservations:
    """Each request is entered once, and struck once: by a report, or at its deadline.

    Parameters
    ----------
    settle_seconds
        How long a report is waited for.

    Attributes
    ----------
    reserved
        Sum of what is entered and not struck; never below 0.

    Examples
    --------
    >>> ledger = Reservations(settle_seconds=60.0)
    >>> for id, now in (("a", 0.0), ("b", 30.0), ("c", 90.0)):
    ...     ledger.reserve(id, 0.25, now=now)
    >>> ledger.strike("c")
    >>> ledger.expire(now=60.0)
    >>> ledger.reserved
    0.25
    """

    def __init__(self, *, settle_seconds: float) -> None:
        self.reserved = 0.0
        self._settle_seconds = settle_seconds
        self._open: OrderedDict[str, tuple[float, float]] = OrderedDict()  # amount, deadline

    def reserve(self, id: str, amount: float, now: float) -> None:
        """Enter a request that is expected to take ``amount``, at least 0."""
        self._open[id] = amount, now + self._settle_seconds
        self.reserved += amount

    def strike(self, id: str) -> None:
        """Strike a request, if it is entered."""
        amount, _ = self._open.pop(id, (0.0, 0.0))
        self.reserved -= amount
        if not self._open or self.reserved < 0.0:  # what rounding leaves
            self.reserved = math.fsum(amount for amount, _ in self._open.values())

    def expire(self, now: float) -> None:
        """Strike what nobody reported in time."""
        while self._open:
            id, (_, deadline) = next(iter(self._open.items()))
            if now < deadline:
                return
            self.strike(id)

    def clear(self) -> None:
        """Strike everything."""
        self._open.clear()
        self.reserved = 0.0
