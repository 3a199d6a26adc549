"""The router's subscriber: feedback that the store has recorded becomes better models."""

from __future__ import annotations

from banditroute.core.shared_total import SharedTotal
from banditroute.router.engine import Engine
from banditroute.router.escalation import Cascade
from banditroute.store.base import Recorded, StoredState


class Learning:
    """Hands on what the store tells: to the models first, then to limits, budgets, guard and escalation.

    Parameters
    ----------
    engine
        Holds the models, and the limits, budgets and guard.
    cascade
        Learns how good answers with a known signal turned out.
    """

    def __init__(self, *, engine: Engine, cascade: Cascade) -> None:
        self._engine = engine
        self._cascade = cascade

    def on_recorded(self, recorded: Recorded) -> None:
        """Learn from feedback that is durable now."""
        self._engine.learn(recorded.event)
        self._engine.report(recorded)
        if "quality" in recorded.event.values:
            self._cascade.learn(recorded.decision_id, recorded.event.values["quality"])

    def on_total(self, budget: str, total: SharedTotal, added: SharedTotal) -> None:
        """Take what all processes together have counted for a budget."""
        self._engine.at_gate(lambda gate: gate.accounts.merge(budget, total, added))

    def on_changed(self, state: StoredState) -> None:
        """Believe what is stored now in place of what was."""
        self._engine.refresh(state)
