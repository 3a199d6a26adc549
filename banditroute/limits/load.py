"""Load: the open decisions of every arm, of all processes, and what they add to its latency."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.forking import hold_while_forking
from banditroute.core.shared_total import SharedTotal
from banditroute.limits.slowdown import Slowdown

_OPEN_SECONDS = 120.0  # after which a decision without a report no longer counts as open
_SHARE_SECONDS = 0.25  # between two exchanges with the other processes
_PERIOD_SECONDS = 60.0  # for which counts are shared: what a crashed process left open is forgotten with the next
_PREFIX = "load "


class _Open(NamedTuple):
    arm: str
    at: float
    others: float  # open decisions of the arm when this one was made


class _Shared:
    """The open decisions of one arm as the processes exchange them, in one period."""

    __slots__ = ("others", "period", "sent", "summed")

    def __init__(self) -> None:
        self.period = -1
        self.sent = 0.0  # of this process, as the store was asked to add
        self.summed = 0.0  # of this process, as the sum of all contains them
        self.others = 0.0


class Load:
    """Counts the open decisions of every arm, and learns what each of them adds to its latency.

    A decision is open until something is reported of it, for two minutes at most. The counts of all processes on one
    database are exchanged four times a second, in the background, while decisions are made. What a process left open
    when it crashed is forgotten within a minute. Not thread-safe: the engine holds a lock.

    Parameters
    ----------
    arms
        Names of the K arms.
    add
        Adds to the shared total of a name; returns the sum if it is known at once.

    Examples
    --------
    >>> load = Load(arms=["a", "b"], add=lambda name, total: total)
    >>> for number in range(40):  # ten at a time, one after the other
    ...     load.open(str(number), "a", now=0.0)
    ...     if number % 10 == 9:
    ...         for each in range(number - 9, number + 1):
    ...             load.close(str(each), latency_seconds=each % 10 + 1.0, now=0.0)
    >>> load.extra_seconds(now=0.0).round()  # nothing is open; 4.5 others were, on average, and each added a second
    array([-4.,  0.])
    """

    def __init__(self, *, arms: Sequence[str], add: Callable[[str, SharedTotal], SharedTotal | None]) -> None:
        self._add = add
        self._decisions: OrderedDict[str, _Open] = OrderedDict()
        self._slowdowns: dict[str, Slowdown] = {}
        self._shared: dict[str, _Shared] = {}
        self._shared_at = -float("inf")
        self._own: dict[str, int] = {}
        self.watched: bool = False
        self.set_arms(arms)
        hold_while_forking(self)

    def set_arms(self, arms: Sequence[str]) -> None:
        """Count for these arms from now on; what was learned of others is kept."""
        self._positions = {arm: k for k, arm in enumerate(arms)}
        self._seconds, self._mean_open, self._open = np.zeros((3, len(arms)))
        for arm in arms:
            self._refresh(arm)

    def open_decisions(self, arm: str) -> float:
        """Return the number of open decisions of an arm, of all processes."""
        shared = self._shared.get(arm)
        return self._own.get(arm, 0) + (0.0 if shared is None else shared.others)

    def extra_seconds(self, now: float) -> Vector | None:
        """Return what the present load adds to each arm's mean latency ``(K,)``; None while it is not known to matter.

        With ``b`` seconds for each of ``n`` open decisions, and ``m`` of them on average when the latencies were
        measured, it is ``b (n - m)``. So it is below 0 for an arm that is less busy than usual.
        """
        self.watched = True
        if not self._seconds.any():
            return None
        self._forget_old(now)
        extra: Vector = self._seconds * (self._open - self._mean_open)
        return extra

    def open(self, decision_id: str, arm: str, now: float) -> None:
        """Count a decision for ``arm``."""
        self._decisions[decision_id] = _Open(arm, now, self.open_decisions(arm))
        self._change(arm, 1)
        self._forget_old(now)
        self._exchange(now)

    def close(self, decision_id: str, latency_seconds: float | None, now: float) -> None:
        """Count a decision no longer, as something is reported of it; learn from its latency."""
        found = self._decisions.pop(decision_id, None)
        if found is None:
            return
        if latency_seconds is not None:
            self._slowdowns.setdefault(found.arm, Slowdown()).learn(found.others, latency_seconds)
        self._change(found.arm, -1)
        self._exchange(now)

    def merge(self, name: str, joint: SharedTotal, added: SharedTotal) -> bool:
        """Take over the open decisions of all processes under ``name``; return whether it is one of theirs."""
        if not name.startswith(_PREFIX):
            return False
        arm = name.removeprefix(_PREFIX)
        shared = self._shared.get(arm)
        if shared is not None and shared.period == joint.period:
            shared.summed += added.spent
            shared.others = max(joint.spent - shared.summed, 0.0)
            self._refresh(arm)
        return True

    def begin_in_child(self) -> None:
        """Leave the open decisions to the parent process, which made them."""
        self._decisions.clear()
        self._own.clear()
        self._shared.clear()
        for arm in self._positions:
            self._refresh(arm)

    def _change(self, arm: str, by: int) -> None:
        self._own[arm] = self._own.get(arm, 0) + by
        self._refresh(arm)

    def _refresh(self, arm: str) -> None:
        """Bring an arm's numbers up to date in the arrays."""
        k = self._positions.get(arm)
        if k is None:
            return
        self._open[k] = self.open_decisions(arm)
        if (slowdown := self._slowdowns.get(arm)) is not None:
            self._seconds[k], self._mean_open[k] = slowdown.seconds_per_decision, slowdown.mean_open

    def _forget_old(self, now: float) -> None:
        while self._decisions and now - next(iter(self._decisions.values())).at > _OPEN_SECONDS:
            _, old = self._decisions.popitem(last=False)
            self._change(old.arm, -1)

    def _exchange(self, now: float) -> None:
        """Tell the other processes how many decisions are open here, and ask for theirs."""
        if abs(now - self._shared_at) < _SHARE_SECONDS:
            return
        self._shared_at = now
        period = int(now // _PERIOD_SECONDS)
        for arm, own in self._own.items():
            shared = self._shared.setdefault(arm, _Shared())
            if shared.period != period:  # the others enter their counts as well
                shared.period, shared.sent, shared.summed = period, 0.0, 0.0
            change, shared.sent = own - shared.sent, float(own)
            total = SharedTotal(period, 1, change)
            joint = self._add(_PREFIX + arm, total)
            if joint is not None:
                self.merge(_PREFIX + arm, joint, total)
