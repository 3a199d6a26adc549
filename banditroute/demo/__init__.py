"""The demo: one story on a shipped log of real answers, told in the terminal and on one page."""

from banditroute.demo.story import tell

__all__ = ["tell"]
