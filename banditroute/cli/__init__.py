"""The command line."""

from banditroute.cli.commands import main

__all__ = ["main"]
