"""Readers of logs: whatever form they are in, as arrays, or some rows at a time."""

from __future__ import annotations

from banditroute.logs.conversion import convert
from banditroute.logs.readers.read import FORMATS, LogFile, open_log, read_log

__all__ = ["FORMATS", "LogFile", "convert", "open_log", "read_log"]
