"""Observers of a running router, for ``Router(observers=...)``."""

from banditroute.observe.logging_observer import LoggingObserver

__all__ = ["LoggingObserver"]
