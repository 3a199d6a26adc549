"""``banditroute dashboard``: the live page of a database."""

from __future__ import annotations

import click

from banditroute.cli.options import database_argument


@click.command(short_help="Show a live page of a database in a browser.")
@database_argument
@click.option("--port", type=click.IntRange(1, 65535), default=8081, show_default=True, help="Port to listen on.")
def dashboard(url: str, port: int) -> None:
    """Serve a live page of a database (file or URL) on this machine alone, until Ctrl-C.

    The database is opened read-only. The page shows savings, shares, outcomes, spending, health, and why each request
    got its arm.
    """
    from banditroute.dashboard import run

    click.echo(f"http://127.0.0.1:{port}/ shows the page; Ctrl-C ends it")
    run(url, port=port)
