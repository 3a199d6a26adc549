"""``banditroute check``: name the mistakes in a router's file."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command(short_help="Name the mistakes in a router's file.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--schema", is_flag=True, help="Print the JSON schema of the file instead, for an editor.")
def check(file: Path | None, schema: bool) -> None:
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
    for mistake in mistakes:
        click.echo(str(mistake))
    if mistakes:
        raise click.exceptions.Exit(1)
    click.echo(f"{file} describes a router")
