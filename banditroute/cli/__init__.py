"""The command line: ``banditroute COMMAND``, one file for each command."""

from banditroute.cli.main import main

__all__ = ["main"]
