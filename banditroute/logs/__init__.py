"""Logs: tables of outcomes, logs of decisions, and the formats they are read from."""

from banditroute.logs.conversion import convert
from banditroute.logs.decision_log import DecisionLog
from banditroute.logs.outcome_table import SHIPPED, OutcomeTable, read_any, read_outcomes
from banditroute.logs.readers.read import FORMATS, LogFile, open_log, read_log

__all__ = [
    "FORMATS",
    "SHIPPED",
    "DecisionLog",
    "LogFile",
    "OutcomeTable",
    "convert",
    "open_log",
    "read_any",
    "read_log",
    "read_outcomes",
]
