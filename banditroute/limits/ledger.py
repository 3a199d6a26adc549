"""The ledger: what requests are expected to take until it is known what they took."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple


class _Reservation(NamedTuple):
    amount: float
    deadline: float
    by_tokens: tuple[float, float] | None


class Ledger:
    """Each request is entered once, as expected, and settled once: by a report, or as expected at its deadline.

    Parameters
    ----------
    settle_seconds
        How long a report is waited for.
    spent
        What is settled already.

    Attributes
    ----------
    spent
        Sum of what is settled.
    reserved
        Sum of what is not; never below 0.

    Examples
    --------
    >>> ledger = Ledger(settle_seconds=60.0)
    >>> ledger.reserve("a", 0.25, now=0.0)
    >>> ledger.reserve("b", 0.5, now=30.0)
    >>> ledger.settle("a", 1.0)  # more than expected
    0.75
    >>> ledger.expire(now=100.0)
    >>> ledger.spent, ledger.reserved
    (1.5, 0.0)
    """

    def __init__(self, *, settle_seconds: float, spent: float = 0.0) -> None:
        self.spent = spent
        self.reserved = 0.0
        self._settle_seconds = settle_seconds
        self._open: OrderedDict[str, _Reservation] = OrderedDict()

    @property
    def committed(self) -> float:
        """All that is spent or reserved."""
        return self.spent + self.reserved

    def reserve(self, id: str, amount: float, now: float, by_tokens: tuple[float, float] | None = None) -> None:
        """Enter a request that is expected to take ``amount``, at least 0.

        ``by_tokens`` is what its input costs, and each token of its output; None where that is not known.
        """
        self._open[id] = _Reservation(amount, now + self._settle_seconds, by_tokens)
        self.reserved += amount

    def cost(self, id: str, output_tokens: float) -> float | None:
        """What an open request took by its tokens, None where that is not known."""
        reservation = self._open.get(id)
        if reservation is None or reservation.by_tokens is None:
            return None
        return reservation.by_tokens[0] + output_tokens * reservation.by_tokens[1]

    def settle(self, id: str, amount: float) -> float:
        """Enter what a request took; returns how much more than expected, 0 for one that is not open."""
        reservation = self._open.get(id)
        if reservation is None:
            return 0.0
        self._close(id, amount)
        return amount - reservation.amount

    def expire(self, now: float) -> None:
        """Settle as expected what nobody reported in time."""
        while self._open:
            id, reservation = next(iter(self._open.items()))
            if now < reservation.deadline:
                return
            self._close(id, reservation.amount)

    def _close(self, id: str, amount: float) -> None:
        self.reserved -= self._open.pop(id).amount
        self.spent += amount
        if not self._open or self.reserved < 0.0:  # what rounding leaves
            self.reserved = math.fsum(reservation.amount for reservation in self._open.values())

    def clear(self) -> None:
        """Begin anew; what was open is counted no more."""
        self._open.clear()
        self.spent = self.reserved = 0.0
