"""``banditroute db``: look after a router's database."""

from __future__ import annotations

from datetime import datetime
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
@click.option("--dry-run", is_flag=True, help="Change nothing; say how much would be erased.")
def erase(
    url: str, router: str | None, decision_id: str | None, session: str | None, source: str | None, dry_run: bool
) -> None:
    """Delete decisions or feedback, and take back what was learned from them."""
    erased = admin.erase(url, decision_id=decision_id, session=session, source=source, router=router, dry_run=dry_run)
    done = "without that feedback" if source else "erased"
    click.echo(f"{erased:,} decisions {'would be ' if dry_run else ''}{done}")


@db.command()
@database_argument
@router_option
def snapshot(url: str, router: str | None) -> None:
    """Copy what was learned, to go back to it later; the copy is kept however old it is."""
    for epoch, version in admin.snapshot(url, router=router).items():
        click.echo(f"snapshot {version} of epoch {epoch}")


def _moment(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    try:
        return None if value is None else datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a time such as 2026-11-30T18:00") from None


@db.command()
@database_argument
@router_option
@click.option("--to", "moment", metavar="TIME", callback=_moment, help="A time, such as 2026-11-30T18:00, in UTC.")
@click.argument("epoch", type=int, required=False)
@click.argument("version", type=int, required=False)
def rollback(url: str, router: str | None, moment: datetime | None, epoch: int | None, version: int | None) -> None:
    """Go back to a time, or to the snapshot VERSION of EPOCH; banditroute inspect lists the snapshots."""
    dropped = admin.roll_back(url, to=moment, router=router, epoch=epoch, version=version)
    click.echo(f"{dropped:,} later outcomes no longer count")


@db.command()
@database_argument
@click.argument("target")
def copy(url: str, target: str) -> None:
    """Copy all routers of a database into the empty one at the URL TARGET; stop the routers first."""
    click.echo(f"{admin.copy(url, target):,} decisions copied")
