"""``banditroute check``: name the mistakes in a router's file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from banditroute.cli.options import json_option
from banditroute.cli.output import answer


@click.command(short_help="Name the mistakes in a router's file.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--schema", is_flag=True, help="Print the JSON schema of the file instead, for an editor.")
@json_option
def check(file: Path | None, schema: bool, as_json: bool) -> None:
    """Name all mistakes in FILE, a TOML file that describes a router, each with its path.

    Nothing is opened or changed. Exit status: 0 no mistake, 1 mistakes.
    """
    from banditroute.config import check_router, json_schema

    if schema:
        click.echo(json.dumps(json_schema(), indent=2))
        return
    if file is None:
        raise click.UsageError("give FILE, or --schema")
    mistakes = check_router(file)
    text = "\n".join(map(str, mistakes)) or f"{file} describes a router"
    answer(text, {"mistakes": mistakes}, as_json=as_json)
    if mistakes:
        raise click.exceptions.Exit(1)
