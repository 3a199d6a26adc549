"""Slices: a limit that several processes share and none of them exceeds.

A process spends only what it has drawn. It draws ahead, in the background: it adds a slice to the total that all
processes share, and may use the slice once the store has returned the sum, as far as the sum is within the limit.
What is beyond it is given back. The store adds in one order, so the usable parts never sum to more than the limit:
with D what was drawn before a slice d, its usable part is ``min(d, limit - D)``, and at least 0. The limit is the one
that was known when the slice was asked for: what raised it since then is not in D yet. A slice that comes late is
used as it is: its size comes with it, as the balance of the total.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from banditroute.core.shared_total import SharedTotal

AddTotal: TypeAlias = Callable[[SharedTotal], "SharedTotal | None"]
"""Adds to a shared total. Returns the sum if it is known at once; else ``Slices.merge`` is called with it later."""

_USED_SLICES = 2.0  # a slice lasts for twice what was used since the last one
_LARGEST_PART = 0.25  # of what is left: so that the others find something, too
_HOARDED_SHARES = 1.5  # from this stock on, what is beyond a share is given back
_LOST_SECONDS = 60.0  # after which a slice that was asked for is taken to be lost
_RETRY_SECONDS = 0.25  # between two attempts where nothing is left


class Slices:
    """The part of a shared limit that one process has drawn. Not thread-safe: the engine holds a lock.

    Parameters
    ----------
    add
        Adds to the total of all processes.
    period
        Number of the period that the limit is for; 0 where it is for all time.

    Attributes
    ----------
    stock
        What was drawn and not used: the next call may use that much. Below 0 after a call that used more than was
        reserved for it.

    Examples
    --------
    >>> drawn = SharedTotal()
    >>> def add(total):  # the total of a single process
    ...     global drawn
    ...     drawn += total
    ...     return drawn
    >>> slices = Slices(add=add)
    >>> slices.draw(limit=10.0, need=3.0, now=0.0)
    >>> slices.stock  # a quarter of what is left, or what is needed
    3.0
    >>> slices.use(2.5)
    >>> slices.stock
    0.5
    """

    def __init__(self, *, add: AddTotal, period: int = 0) -> None:
        self.stock: float = 0.0
        self._add = add
        self._period = period
        self._limit = 0.0
        self._drawn = 0.0  # by all processes, as far as is known
        self._waiting = 0  # slices that were asked for and have not come
        self._asked_at = -float("inf")
        self._used = 0.0  # since the last slice was asked for

    @property
    def waiting(self) -> bool:
        """True if a slice was asked for that has not come."""
        return self._waiting > 0

    @property
    def undrawn(self) -> float:
        """Amount that nobody has drawn yet, as far as is known, at least 0."""
        return max(self._limit - self._drawn, 0.0)

    def use(self, amount: float) -> None:
        """Use some of the stock, or put back what is below 0."""
        self.stock -= amount
        self._used += amount

    def grant(self, amount: float) -> None:
        """Put into the stock what raises the limit by as much, such as the amount for one more request."""
        self.stock += amount
        self._share(SharedTotal(self._period, 0, amount))

    def keep(self, share: float) -> None:
        """Give back what the stock holds beyond ``share``, if that is much."""
        if self.stock > _HOARDED_SHARES * share:
            surplus, self.stock = self.stock - share, share
            self._share(SharedTotal(self._period, 0, -surplus))

    def draw(self, *, limit: float, need: float, now: float) -> None:
        """Ask for a slice if the stock does not last for ``need`` and as much as was used since the last slice.

        Parameters
        ----------
        limit
            What all processes may use together.
        need
            What the next calls may use.
        now
            Unix time in seconds.
        """
        if self._waiting and abs(now - self._asked_at) < _LOST_SECONDS:
            return
        if self.stock >= max(need, self._used):
            return
        left = limit - self._drawn
        if left <= 0.0:
            if abs(now - self._asked_at) < _RETRY_SECONDS:
                return
            left = need  # others may have given something back: the store knows
        size = min(max(need, _USED_SLICES * self._used), max(_LARGEST_PART * left, min(need, left)))
        # A slice that is still on its way was asked for under an earlier limit: both keep the lower one.
        self._limit = min(limit, self._limit) if self._waiting else limit
        self._waiting += 1
        self._asked_at, self._used = now, 0.0
        self._share(SharedTotal(self._period, 1, size, size))

    def merge(self, joint: SharedTotal, added: SharedTotal) -> None:
        """Take over the sum of all processes, this one's ``added`` included."""
        self._drawn = joint.spent
        if not added.requests:
            return
        self._waiting = max(self._waiting - added.requests, 0)
        asked = added.balance
        usable = min(max(asked - max(joint.spent - self._limit, 0.0), 0.0), asked)
        self.stock += usable
        if usable < asked:
            self._share(SharedTotal(self._period, 0, usable - asked))

    def close(self) -> None:
        """Give back what is left, or enter what was used beyond the slices."""
        left, self.stock = self.stock, 0.0
        if left != 0.0:
            self._share(SharedTotal(self._period, 0, -left))

    def _share(self, total: SharedTotal) -> None:
        joint = self._add(total)
        if joint is not None:
            self.merge(joint, total)
