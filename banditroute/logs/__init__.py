"""Logs: tables of outcomes, logs of decisions, and the formats they are read from."""

from banditroute.logs.decision_log import DecisionLog
from banditroute.logs.outcome_table import OutcomeTable, read_outcomes

__all__ = ["DecisionLog", "OutcomeTable", "read_outcomes"]
