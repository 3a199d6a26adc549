"""Readers of logs: any format as arrays, or some rows at a time."""

from __future__ import annotations

from banditroute.logs.readers.read import FORMATS, LogFile, open_log, read_log

__all__ = ["FORMATS", "LogFile", "open_log", "read_log"]
