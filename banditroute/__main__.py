"""``python -m banditroute`` is the command line."""

from banditroute.cli import main

main(prog_name="banditroute")
