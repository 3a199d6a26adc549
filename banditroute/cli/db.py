"""``banditroute db``: look after a router's database."""

from __future__ import annotations

from pathlib import Path

import click

from banditroute import admin
from banditroute.cli.options import database_argument, router_option
from banditroute.logs import convert, open_log

_DAY_SECONDS = 86_400.0


@click.group(short_help="Make, check, prune, export or erase a database.")
def db() -> None:
    """Make, check, rebuild, prune, export or erase a router's database."""


@db.command()
@click.argument("url")
def upgrade(url: str) -> None:
    """Create the tables at a URL, or bring them to the schema of this version."""
    admin.upgrade(url)
    click.echo("the schema is that of this version")


@db.command()
@database_argument
def verify(url: str) -> None:
    """Look for damage, and for learned state that differs from the log; exit status 1 if there is any."""
    found = admin.verify(url)
    for line in found:
        click.echo(line)
    if found:
        raise click.exceptions.Exit(1)
    click.echo("no damage; the learned state is that of the log")


@db.command()
@database_argument
@router_option
def rebuild(url: str, router: str | None) -> None:
    """Compute the learned state from the log once more."""
    admin.rebuild(url, router=router)
    click.echo("the learned state is computed from the log")


@db.command()
@database_argument
@router_option
@click.option("--unanswered-days", default=30.0, show_default=True, help="Days to keep decisions without feedback.")
@click.option("--answered-days", default=90.0, show_default=True, help="Days to keep decisions with feedback.")
@click.option(
    "--export",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to which they are written as Parquet first.",
)
def prune(url: str, router: str | None, unanswered_days: float, answered_days: float, export: Path | None) -> None:
    """Delete decisions that are too old to keep; what was learned from them stays."""
    pruned = admin.prune(
        url,
        unanswered_seconds=unanswered_days * _DAY_SECONDS,
        answered_seconds=answered_days * _DAY_SECONDS,
        export=export,
        router=router,
    )
    click.echo(f"{pruned:,} decisions deleted")


@db.command()
@database_argument
@router_option
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
def export(url: str, router: str | None, out: Path) -> None:
    """Write all decisions with their outcomes to OUT: .parquet, .jsonl or .jsonl.gz."""
    written = convert(open_log(url, router=router), out)
    click.echo(f"{written:,} decisions written to {out}")


@db.command()
@database_argument
@router_option
@click.option("--decision", "decision_id", help="Erase the decision of this id.")
@click.option("--session", help="Erase all decisions of this session.")
@click.option("--source", help="Erase all feedback of this source; the decisions stay.")
def erase(url: str, router: str | None, decision_id: str | None, session: str | None, source: str | None) -> None:
    """Delete decisions or feedback, and take back what was learned from them."""
    erased = admin.erase(url, decision_id=decision_id, session=session, source=source, router=router)
    click.echo(f"{erased:,} decisions {'without that feedback' if source else 'erased'}")


@db.command()
@database_argument
@click.argument("epoch", type=int)
@click.argument("version", type=int)
def rollback(url: str, epoch: int, version: int) -> None:
    """Go back to the snapshot VERSION of EPOCH; banditroute inspect lists the snapshots."""
    click.echo(f"{admin.roll_back(url, epoch=epoch, version=version):,} later outcomes no longer count")
