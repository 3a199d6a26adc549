"""A total that all processes of a router share, such as the spend of a budget."""

from __future__ import annotations

from typing import NamedTuple


class SharedTotal(NamedTuple):
    """The spend that a budget has counted: of all processes together, or the part that one of them adds.

    Attributes
    ----------
    period
        Number of the period since 1970; 0 without periods.
    requests
        Number of requests in it.
    spent
        Their spend, reported or expected, in dollars or joules.
    balance
        The rest of their allowance, below 0 for a debt.

    Examples
    --------
    >>> SharedTotal(requests=1, spent=0.5) + SharedTotal(requests=1, spent=0.25)
    SharedTotal(period=0, requests=2, spent=0.75, balance=0.0)
    >>> SharedTotal(period=8, requests=3, spent=0.5) + SharedTotal(period=9, requests=1, spent=0.25)
    SharedTotal(period=9, requests=1, spent=0.25, balance=0.0)
    """

    period: int = 0
    requests: int = 0
    spent: float = 0.0
    balance: float = 0.0

    def __add__(self, other: SharedTotal) -> SharedTotal:  # type: ignore[override]
        """Return the sum; of different periods only the later one counts."""
        if self.period != other.period:
            return max(self, other)
        return SharedTotal(
            self.period, self.requests + other.requests, self.spent + other.spent, self.balance + other.balance
        )
