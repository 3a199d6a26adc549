"""``banditroute db``: look after a router's database."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from banditroute import admin
from banditroute.cli.options import database_argument, json_option, router_option
from banditroute.cli.output import answer
from banditroute.logs import convert, open_log

_DAY_SECONDS = 86_400.0


@click.group(short_help="Make, check, prune, export or erase a database.")
def db() -> None:
    """Make, check, rebuild, prune, export or erase a router's database."""


@db.command()
@click.argument("url")
@json_option
def upgrade(url: str, as_json: bool) -> None:
    """Create the tables at a URL, or bring them to the schema of this version."""
    admin.upgrade(url)
    answer("the schema is that of this version", {"upgraded": True}, as_json=as_json)


@db.command()
@database_argument
@json_option
def verify(url: str, as_json: bool) -> None:
    """Look for damage, and for learned state that differs from the log; exit status 1 if there is any."""
    found = admin.verify(url)
    text = "\n".join(found) or "no damage; the learned state is that of the log"
    answer(text, {"damage": found}, as_json=as_json)
    if found:
        raise click.exceptions.Exit(1)


@db.command()
@database_argument
@router_option
@json_option
def rebuild(url: str, router: str | None, as_json: bool) -> None:
    """Compute the learned state from the log once more."""
    admin.rebuild(url, router=router)
    answer("the learned state is computed from the log", {"rebuilt": True}, as_json=as_json)


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
@json_option
def prune(
    url: str, router: str | None, unanswered_days: float, answered_days: float, export: Path | None, as_json: bool
) -> None:
    """Delete decisions that are too old to keep; what was learned from them stays."""
    pruned = admin.prune(
        url,
        unanswered_seconds=unanswered_days * _DAY_SECONDS,
        answered_seconds=answered_days * _DAY_SECONDS,
        export=export,
        router=router,
    )
    answer(f"{pruned:,} decisions deleted", {"deleted": pruned}, as_json=as_json)


@db.command()
@database_argument
@router_option
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def export(url: str, router: str | None, out: Path, as_json: bool) -> None:
    """Write all decisions with their outcomes to OUT: .parquet, .jsonl or .jsonl.gz."""
    written = convert(open_log(url, router=router), out)
    answer(f"{written:,} decisions written to {out}", {"written": written, "out": out}, as_json=as_json)


@db.command()
@database_argument
@router_option
@click.option("--decision", "decision_id", help="Erase the decision of this id.")
@click.option("--session", help="Erase all decisions of this session.")
@click.option("--source", help="Erase all feedback of this source; the decisions stay.")
@click.option("--dry-run", is_flag=True, help="Change nothing; say how much would be erased.")
@json_option
def erase(url: str, as_json: bool, **what: Any) -> None:
    """Delete decisions or feedback, and take back what was learned from them."""
    erased = admin.erase(url, **what)
    would_be = "would be " if what["dry_run"] else ""
    text = f"{erased:,} decisions {would_be}{'without that feedback' if what['source'] else 'erased'}"
    answer(text, {"decisions": erased, "dry_run": what["dry_run"]}, as_json=as_json)


@db.command()
@database_argument
@router_option
@json_option
def snapshot(url: str, router: str | None, as_json: bool) -> None:
    """Copy what was learned, to go back to it later; the copy is kept however old it is."""
    taken = admin.snapshot(url, router=router)
    text = "\n".join(f"snapshot {version} of epoch {epoch}" for epoch, version in taken.items())
    answer(text, {"version_of_epoch": taken}, as_json=as_json)


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
@json_option
def rollback(url: str, moment: datetime | None, as_json: bool, **where: Any) -> None:
    """Go back to a time, or to the snapshot VERSION of EPOCH; banditroute inspect lists the snapshots."""
    dropped = admin.roll_back(url, to=moment, **where)
    answer(f"{dropped:,} later outcomes no longer count", {"outcomes_dropped": dropped}, as_json=as_json)


@db.command()
@database_argument
@click.argument("target")
@json_option
def copy(url: str, target: str, as_json: bool) -> None:
    """Copy all routers of a database into the empty one at the URL TARGET; stop the routers first."""
    copied = admin.copy(url, target)
    answer(f"{copied:,} decisions copied", {"copied": copied}, as_json=as_json)
