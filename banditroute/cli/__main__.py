"""``python -m banditroute.cli`` is the command line, too."""

from banditroute.cli import main

main(prog_name="banditroute")
