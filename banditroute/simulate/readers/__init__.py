"""Readers of logs: whatever form they are in, as arrays, or some rows at a time."""

from __future__ import annotations

from banditroute.simulate.readers.convert import convert
from banditroute.simulate.readers.read import FORMATS, LogFile, open_log, read_log

__all__ = ["FORMATS", "LogFile", "convert", "open_log", "read_log"]
