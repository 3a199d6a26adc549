"""``banditroute savings``: what routing saved against always asking one arm."""

from __future__ import annotations

from typing import Any

import click

from banditroute.cli.options import ANY_LOG, json_option, log_options, report_left_out, router_option
from banditroute.cli.output import print_json


@click.command(short_help="Say what routing saved against one arm.")
@click.argument("log", type=ANY_LOG)
@click.option("--baseline", required=True, help="The arm that would have served every request.")
@click.option(
    "--own-usd", default=0.0, show_default=True, help="Dollars that routing took beyond the log, as a judge's calls."
)
@json_option
@log_options
@router_option
def savings(log: str, baseline: str, own_usd: float, as_json: bool, **reading: Any) -> None:
    """Say what routing saved in LOG (file, folder or URL) against always asking one arm.

    The bounds hold however often one looks. The exit status is 1 if the log cannot answer.
    """
    from banditroute.evaluate import savings
    from banditroute.logs import read_log

    read = read_log(log, **reading)
    report_left_out(read.skipped, err=as_json)
    found = savings(read, baseline=baseline, own_usd=own_usd)
    if as_json:
        print_json(found)
    else:
        click.echo(found)
    if found.usd_per_1000 is None:
        raise click.exceptions.Exit(1)
