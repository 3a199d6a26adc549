"""``banditroute demo``: what a router is worth, told on real answers of real models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from banditroute.cli.options import ANY_LOG, log_options, report_left_out


@click.command(short_help="See what a router is worth, on real answers.")
@click.option(
    "--log", type=ANY_LOG, metavar="FILE", help="Table of outcomes, or a folder of its files.  [default: shipped]"
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for the page, its figures and the database.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=4, show_default=True, help="Runs, each in another order.")
@log_options
def demo(log: str | None, out: Path, seeds: int, **reading: Any) -> None:
    """Tell, on real answers of real models, what a router is worth; in the terminal and on one page."""
    from banditroute.demo import tell
    from banditroute.logs import SHIPPED, read_outcomes

    table = read_outcomes(log or SHIPPED, **reading)
    report_left_out(table.skipped)
    tell(table=table, out=out, seeds=seeds, echo=click.echo, show=sys.stdout.isatty())
