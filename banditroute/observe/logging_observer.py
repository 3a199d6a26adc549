"""Write decisions, feedback and events to a logger, with structured fields."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from banditroute.core.decision import Decision
from banditroute.core.events import (
    BudgetChanged,
    CircuitChanged,
    DriftDetected,
    DriftSuspected,
    Event,
    FeedbackRecorded,
    FellBack,
    StoreTrouble,
    TrafficCollapsed,
)

TROUBLES = (BudgetChanged, CircuitChanged, DriftDetected, DriftSuspected, FellBack, StoreTrouble, TrafficCollapsed)
"""The events that somebody may have to act on."""


class LoggingObserver:
    """Writes a line for every decision, feedback and event; its fields are in ``record.banditroute``.

    The message names the arm and the kind of event, and no id: a log pipeline may group by it. Prompts and features
    are never written.

    Parameters
    ----------
    logger
        The logger, or its name.
    level
        The level of decisions, feedback and ordinary events. Trouble, such as a fallback, has at least WARNING.

    Examples
    --------
    >>> from banditroute import Router
    >>> router = Router(arms=["small"], features=1, observers=[LoggingObserver(logger="app.routing")])
    >>> decision = router.route([0.5])
    >>> router.close()
    """

    def __init__(self, *, logger: logging.Logger | str = "banditroute.observe", level: int = logging.INFO) -> None:
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._level = level

    def on_decision(self, decision: Decision) -> None:
        """Write the arm, its propensity, the reason and the labels of a decision."""
        fields = {
            "decision_id": decision.id,
            "arm": decision.arm,
            "propensity": decision.propensity,
            "reason": decision.reason,
            "decided_at": decision.decided_at,
            "session": decision.session,
            "tags": list(decision.tags),
            "input_tokens": decision.input_tokens,
        }
        self._write(self._level, "decision", f"decision for {decision.arm}", fields)

    def on_feedback(self, feedback: FeedbackRecorded) -> None:
        """Write the outcomes of a decision."""
        self._write(self._level, "feedback", f"feedback for {feedback.arm}", asdict(feedback))

    def on_event(self, event: Event) -> None:
        """Write an event."""
        level = max(self._level, logging.WARNING) if isinstance(event, TROUBLES) else self._level
        self._write(level, type(event).__name__, type(event).__name__, asdict(event))

    def _write(self, level: int, kind: str, message: str, fields: dict[str, Any]) -> None:
        self._logger.log(level, message, extra={"banditroute": {"kind": kind, **fields}})
