"""Sessions: their identity, their warm prompt caches, and what a switch of the arm costs."""

from banditroute.sessions.identity import session_key

__all__ = ["session_key"]
