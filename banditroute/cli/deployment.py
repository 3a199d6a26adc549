"""``banditroute set``, ``guard`` and ``arms``: change what all routers on a database do."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from banditroute.cli.options import database_argument
from banditroute.cli.output import table
from banditroute.errors import InvalidConfigurationError

_TRAFFIC = re.compile(r"traffic\.(?P<arm>.+?)(\.(?P<bound>at_least|at_most))?=(?P<share>[^=]+)")


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--dry-run", is_flag=True, help="Change nothing; show what would be expected."),
        click.option("--who", help="Who makes the change, for the record.  [default: user and machine]"),
        click.option("--router", default="default", show_default=True, help="Name of the routers."),
    ):
        command = option(command)
    return command


@click.command("set", short_help="Set traffic shares in all processes at once.")
@database_argument
@click.argument("changes", nargs=-1, required=True, metavar="traffic.ARM=SHARE...")
@_shared
def set_(url: str, changes: tuple[str, ...], **options: Any) -> None:
    """Set shares of the traffic, as in traffic.canary=0.05, in all routers that use a database.

    traffic.ARM.at_least=SHARE and traffic.ARM.at_most=SHARE set one bound; traffic.ARM=SHARE sets both. Running
    processes follow within half a second, later ones when they start.
    """
    from banditroute import admin

    for change in changes:
        found = _TRAFFIC.fullmatch(change)
        try:
            share = float(found["share"]) if found else 0.0
        except ValueError:
            found = None
        if found is None:
            raise InvalidConfigurationError(f"{change[:80]!r} is not of the form traffic.ARM=0.05")
        least = None if found["bound"] == "at_most" else share
        most = None if found["bound"] == "at_least" else share
        expected = admin.set_traffic(url, found["arm"], at_least=least, at_most=most, **options)
        _show(change, expected, **options)


@click.command(short_help="Switch the guard of all processes at once.")
@database_argument
@click.argument("mode", type=click.Choice(["apply", "observe", "bypass"]))
@_shared
def guard(url: str, mode: Any, **options: Any) -> None:
    """Restart the rollout in MODE in all routers that use a database; bypass goes back to the baseline at once."""
    from banditroute import admin

    _show(f"guard {mode}", admin.set_guard_mode(url, mode, **options), **options)


@click.group(short_help="Add or remove arms in all processes at once.")
def arms() -> None:
    """Add or remove arms in all routers that use a database, and list what was changed."""


@arms.command()
@database_argument
@click.argument("name")
@click.option("--input-price", type=float, help="US dollars for a million tokens of input.")
@click.option("--output-price", type=float, help="US dollars for a million tokens of output.")
@click.option("--replaces", help="The arm that it succeeds.")
@_shared
def add(
    url: str, name: str, input_price: float | None, output_price: float | None, replaces: str | None, **options: Any
) -> None:
    """Let the arm NAME be chosen. The applications must know how to ask it."""
    from banditroute import Arm, admin

    arm = Arm(
        name=name,
        input_usd_per_million_tokens=input_price,
        output_usd_per_million_tokens=output_price,
        replaces=replaces,
    )
    _show(f"arms add {name}", admin.add_arm(url, arm, **options), **options)


@arms.command()
@database_argument
@click.argument("name")
@_shared
def remove(url: str, name: str, **options: Any) -> None:
    """Let the arm NAME no longer be chosen; what is learned of it is kept."""
    from banditroute import admin

    _show(f"arms remove {name}", admin.remove_arm(url, name, **options), **options)


@arms.command()
@database_argument
@click.option("--router", default="default", show_default=True, help="Name of the routers.")
def changes(url: str, router: str) -> None:
    """List the changes that the routers follow: when, who, and what."""
    from banditroute import admin

    for change in admin.shared_changes(url, router=router):
        at = datetime.fromtimestamp(change.at, tz=UTC).isoformat(sep=" ", timespec="seconds")
        click.echo(f"{change.number:4d}  {at}  {change.who}  {change}")


def _show(change: str, expected: Any, *, dry_run: bool, **_: Any) -> None:
    click.echo(f"{change}: {'nothing is changed' if dry_run else 'recorded; running processes follow'}")
    if expected.before:
        rows = [["arm", "share", "expected"]]
        rows += [[arm, f"{share:.1%}", f"{expected.after[arm]:.1%}"] for arm, share in expected.before.items()]
        click.echo(f"shares of the last {expected.decisions} decisions, and as they would be:\n{table(rows)}")
