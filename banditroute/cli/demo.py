"""``banditroute demo``: learn on real outcomes of LLMs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from banditroute.cli.options import ANY_LOG, log_options, report_left_out


@click.command(short_help="Learn on real outcomes of LLMs.")
@click.option(
    "--log", type=ANY_LOG, metavar="FILE", help="Table of outcomes, or a folder of its files.  [default: shipped]"
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for the picture, the figures and the database.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="Orders of the requests.")
@log_options
def demo(log: str | None, out: Path, seeds: int, **reading: Any) -> None:
    """Learn on real outcomes of LLMs, and compare with policies that do not learn."""
    from banditroute.logs import SHIPPED, read_outcomes
    from banditroute.simulate.demo import run

    table = read_outcomes(log or SHIPPED, **reading)
    report_left_out(table.skipped)
    run(table=table, out=out, seeds=seeds, echo=click.echo)
