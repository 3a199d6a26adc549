"""Notice what changed in a router since the last look, and tell the observers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from banditroute.beliefs.drift import Reset
from banditroute.core.events import BudgetChanged, CircuitChanged, DriftDetected, Event, RolloutChanged, StoreTrouble
from banditroute.core.forking import hold_while_forking
from banditroute.guard.guard import Rollout
from banditroute.router.engine import Engine
from banditroute.router.observation import Observation
from banditroute.router.status import trouble_of
from banditroute.store.base import Store

_log = logging.getLogger("banditroute")


class _Seen(NamedTuple):
    open_circuits: tuple[str, ...]
    shadow_prices: tuple[tuple[str, float], ...]
    resets: tuple[Reset, ...]
    rollout: Rollout | None
    trouble: str | None


class Changes:
    """Compares the state of a router with what was seen before; safe to use from many threads.

    Parameters
    ----------
    engine, store
        What is looked at.
    observation
        Takes the events.
    clock
        Gives Unix time in seconds.
    """

    def __init__(self, *, engine: Engine, store: Store, observation: Observation, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._store = store
        self._observation = observation
        self._clock = clock
        self._lock = threading.RLock()
        hold_while_forking(self, "_lock")
        self._seen = self._look() if observation.active else None

    def emit(self) -> None:
        """Emit an event for everything that changed since the last call."""
        if not self._observation.active:
            return
        try:
            with self._lock:  # each change is emitted once, whichever thread sees it first
                after = self._look()
                before, self._seen = self._seen or after, after
                for event in _events(before, after, self._clock()):
                    self._observation.emit(event)
        except Exception:  # feedback is learned already, and must not fail for what is observed
            _log.warning("changes could not be observed", exc_info=True)

    def _look(self) -> _Seen:
        now = self._clock()
        open_circuits, budgets, rollout = self._engine.with_constraints(
            lambda constraints: (constraints.open_circuits, constraints.budget_statuses(now), constraints.rollout())
        )
        prices = tuple((each.budget.name, each.shadow_price) for each in budgets)
        return _Seen(open_circuits, prices, self._engine.resets, rollout, trouble_of(self._store))


def _events(before: _Seen, after: _Seen, at: float) -> Sequence[Event]:
    """Return the events that lead from one state to another."""
    events: list[Event] = []
    events += [CircuitChanged(at=at, arm=arm, open=True) for arm in after.open_circuits if arm not in before[0]]
    events += [CircuitChanged(at=at, arm=arm, open=False) for arm in before.open_circuits if arm not in after[0]]
    prices = dict(before.shadow_prices)
    events += [
        BudgetChanged(at=at, budget=name, shadow_price=price)
        for name, price in after.shadow_prices
        if (price > 0.0) != (prices.get(name, 0.0) > 0.0)
    ]
    events += [
        DriftDetected(at=at, arm=reset.arm, objective=reset.objective, times=reset.times)
        for reset in after.resets
        if reset not in before.resets
    ]
    if after.rollout is not None and before.rollout is not None:
        mode, share = after.rollout.mode, after.rollout.share
        if (mode, share) != (before.rollout.mode, before.rollout.share):
            events.append(RolloutChanged(at=at, mode=mode, share=share))
    if after.trouble != before.trouble:
        events.append(StoreTrouble(at=at, trouble=after.trouble))
    return events
