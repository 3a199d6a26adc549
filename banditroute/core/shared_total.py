"""A total that all processes of a router share, such as the spend of a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class SharedTotal(NamedTuple):
    """What is counted for a budget: by all processes together, or what one of them adds.

    Attributes
    ----------
    period
        Number of the hour or day since 1970; 0 for what has no period.
    requests
        How many requests were counted in it.
    spent
        What they took or are expected to take, in dollars or joules.
    balance
        What is left of their allowance, below 0 for a debt.

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
        """Both together; only the later period counts."""
        if self.period != other.period:
            return max(self, other)
        return SharedTotal(
            self.period, self.requests + other.requests, self.spent + other.spent, self.balance + other.balance
        )


def total_of(totals: Sequence[SharedTotal], *, period: int | None) -> SharedTotal:
    """Return the latest of a budget's totals that has begun; one of a clock that was ahead is passed over.

    Parameters
    ----------
    totals
        One for each period, the latest first.
    period
        The number of the present one; None where there are no periods.

    Examples
    --------
    >>> hours = [SharedTotal(period=900, spent=1.0), SharedTotal(period=7, spent=2.0), SharedTotal(period=6, spent=4.0)]
    >>> total_of(hours, period=7).spent
    2.0
    """
    begun = [total for total in totals if period is None or total.period <= period]
    return begun[0] if begun else SharedTotal()
