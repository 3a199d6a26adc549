"""``banditroute convert``: a log of any format in our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from banditroute.cli.options import ANY_LOG, json_option, log_options, report_left_out, router_option
from banditroute.cli.output import answer


@click.command(short_help="Write a log of any format in our own.")
@click.argument("log", metavar="IN", type=ANY_LOG)
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@log_options
@router_option
@json_option
def convert(log: str, out: Path, as_json: bool, **reading: Any) -> None:
    """Write the log IN (file, folder or URL) in our own format to OUT: .parquet, .jsonl or .jsonl.gz."""
    from banditroute import logs

    opened = logs.open_log(log, **reading)
    written, name = logs.convert(opened, out), opened.format.name
    text = f"{written:,} rows of format {name} written to {out}"
    answer(text, {"written": written, "format": name, "out": out, "left_out": opened.skipped}, as_json=as_json)
    report_left_out(opened.skipped, err=as_json)
