"""Watch the traffic of a running router, and say when nearly all of it goes to one arm."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Sequence

from banditroute.core.decision import Decision
from banditroute.core.events import Event, FeedbackRecorded, Observer, TrafficCollapsed
from banditroute.core.validation import shown, whole
from banditroute.errors import InvalidConfigurationError
from banditroute.statistics import effective_arms

_MIN_EFFECTIVE_ARMS = 1.1  # 98% on one of two arms, or of many

_log = logging.getLogger("banditroute")


class CollapseMonitor:
    """Reports when a router's latest decisions use fewer than 1.1 effective arms.

    With shares s of the arms in the ``last`` decisions, ``exp(-sum s log s)`` arms are effective: K if all K get the
    same traffic, 1 if one gets everything; 1.1 is about 98% for one arm. A router may come to prefer one arm, but then
    it learns nothing about the others. So the monitor logs it and gives its ``observers`` a
    :class:`~banditroute.core.events.TrafficCollapsed`: once, also if traffic was so from the start, and again only
    after it was distributed over more arms in between. Decisions that had one arm to choose from do not count.
    Give each router a monitor of its own.

    Parameters
    ----------
    last
        How many decisions are watched, at least 2; there is no report before so many were made.
    observers
        They see the reports.

    Raises
    ------
    InvalidConfigurationError
        If ``last`` is no such number, or an observer lacks ``on_event``.

    Examples
    --------
    >>> from banditroute import Router
    >>> router = Router(arms=["small", "large"], features=1, observers=[CollapseMonitor(last=500)])
    >>> router.close()
    """

    def __init__(self, *, last: int = 1000, observers: Sequence[Observer] = ()) -> None:
        self._last = whole(last, name="last", low=2, error=InvalidConfigurationError)
        for observer in observers:
            if not hasattr(observer, "on_event"):
                raise InvalidConfigurationError(f"observer {shown(observer)} has no on_event; give an Observer")
        self._observers = tuple(observers)
        self.begin_in_child()

    def begin_in_child(self) -> None:
        """Begin with no decisions in a forked child: it makes its own."""
        self._latest: deque[str] = deque()
        self._counts: Counter[str] = Counter()
        self._collapsed = False

    def on_decision(self, decision: Decision) -> None:
        """Count the arm of a decision; report a collapse when there are enough."""
        if len(decision.arms) < 2:
            return
        self._latest.append(decision.arm)
        self._counts[decision.arm] += 1
        if len(self._latest) <= self._last:
            if len(self._latest) < self._last:
                return
        else:
            oldest = self._latest.popleft()
            self._counts[oldest] -= 1
        arm, most = max(self._counts.items(), key=lambda item: item[1])
        collapsed = effective_arms(self._counts.values()) < _MIN_EFFECTIVE_ARMS
        if collapsed and not self._collapsed:
            self._report(arm, most / self._last, decision.decided_at)
        self._collapsed = collapsed

    def on_feedback(self, feedback: FeedbackRecorded) -> None:
        """Pass over feedback."""

    def on_event(self, event: Event) -> None:
        """Pass over what else happens."""

    def _report(self, arm: str, share: float, at: float) -> None:
        _log.warning(
            "%.1f%% of the last %d decisions are arm %r; check that the others are eligible, that their feedback "
            "arrives and is right, and that the exploration floor is above 0",
            100.0 * share,
            self._last,
            arm,
        )
        for observer in self._observers:
            observer.on_event(TrafficCollapsed(at=at, arm=arm, share=share, decisions=self._last))
