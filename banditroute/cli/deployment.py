"""``banditroute set``, ``guard`` and ``arms``: change what all routers on a database do."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from banditroute.cli.options import database_argument, json_option
from banditroute.cli.output import answer, print_json, table
from banditroute.errors import InvalidConfigurationError

if TYPE_CHECKING:
    from banditroute.admin import ExpectedShares

_FORMS = {
    "traffic": re.compile(r"traffic\.(?P<subject>.+?)(\.(?P<field>at_least|at_most))?=(?P<value>[^=]+)"),
    "budget": re.compile(r"budget\.(?P<subject>.+)(?P<field>)=(?P<value>[^=]+)"),
    "prices": re.compile(r"prices\.(?P<subject>.+)\.(?P<field>input|output|cached_input|cache_write)=(?P<value>[^=]+)"),
}
"""Kind of a change -> its form on the command line."""


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--dry-run", is_flag=True, help="Change nothing; show what would be expected."),
        click.option("--who", help="Who makes the change, for the record.  [default: user and machine]"),
        click.option("--router", default="default", show_default=True, help="Name of the routers."),
        json_option,
    ):
        command = option(command)
    return command


@click.command("set", short_help="Set shares, budgets and prices in all processes at once.")
@database_argument
@click.argument("changes", nargs=-1, required=True, metavar="NAME=VALUE...")
@_shared
def set_(url: str, changes: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Set traffic shares, budgets and prices in all routers that use a database.

    \b
    traffic.canary=0.05           the share of an arm, at least and at most
    traffic.canary.at_most=0.05   one bound of it
    "budget.cost_usd per day=30"  a budget, by its name in banditroute inspect
    prices.large.input=2.5        US dollars for a million tokens of input;
                                  also .output, .cached_input, .cache_write

    Running processes follow within half a second, later ones when they start.
    """
    parsed = [_change_of(change) for change in changes]  # all of them, before any is recorded
    _show([(text, make(url, options)) for text, make in _together(parsed)], as_json=as_json, dry_run=options["dry_run"])


class _Change(NamedTuple):
    text: str
    kind: str
    subject: str
    field: str | None
    value: float


def _change_of(text: str) -> _Change:
    """Return the change that ``KIND.SUBJECT=VALUE`` or ``KIND.SUBJECT.FIELD=VALUE`` asks for."""
    for kind, pattern in _FORMS.items():
        if found := pattern.fullmatch(text):
            with suppress(ValueError):
                return _Change(text, kind, found["subject"], found["field"], float(found["value"]))
    raise InvalidConfigurationError(
        f"{text[:80]!r} is not of the form traffic.ARM=0.05, 'budget.NAME=30' or prices.ARM.input=2.5"
    )


def _together(changes: list[_Change]) -> list[tuple[str, Callable[[str, Any], ExpectedShares]]]:
    """Return each change to be made and its text; the prices of one arm are one change."""
    from banditroute import admin

    made: list[tuple[str, Callable[[str, Any], ExpectedShares]]] = []
    prices: dict[str, list[_Change]] = {}
    for change in changes:
        if change.kind == "traffic":
            bounds = {bound: change.value for bound in ("at_least", "at_most") if change.field in (None, bound)}
            made.append((change.text, partial(_call, admin.set_traffic, change.subject, bounds)))
        elif change.kind == "budget":
            made.append((change.text, partial(_call, admin.set_budget, change.subject, {"amount": change.value})))
        else:
            prices.setdefault(change.subject, []).append(change)
    for arm, some in prices.items():
        given = {f"{each.field}_usd_per_million_tokens": each.value for each in some}
        made.append((" ".join(each.text for each in some), partial(_call, admin.set_prices, arm, given)))
    return made


def _call(
    function: Callable[..., ExpectedShares], subject: str, values: dict[str, float], url: str, options: Any
) -> ExpectedShares:
    return function(url, subject, **values, **options)


@click.command(short_help="Switch the guard of all processes at once.")
@database_argument
@click.argument("mode", type=click.Choice(["apply", "observe", "bypass"]))
@_shared
def guard(url: str, mode: Any, as_json: bool, **options: Any) -> None:
    """Restart the rollout in MODE in all routers that use a database; bypass goes back to the baseline at once."""
    from banditroute import admin

    expected = admin.set_guard_mode(url, mode, **options)
    _show([(f"guard {mode}", expected)], as_json=as_json, dry_run=options["dry_run"])


@click.command(short_help="Let the challenger serve in all processes at once.")
@database_argument
@_shared
def promote(url: str, as_json: bool, **options: Any) -> None:
    """Let the challenger serve in all routers that use a database, without a cold start.

    The learner that served becomes the challenger: the same command again takes the promotion back. Judge the
    challenger first, by banditroute evaluate URL --policy LEARNER --progressive.
    """
    from banditroute import admin

    change = admin.promote(url, **options)
    said = "nothing is changed" if options["dry_run"] else "recorded; running processes follow"
    over = change.values["over"]
    answer(f"{change.subject}\nin place of {over}: {said}", change, as_json=as_json)


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
    url: str,
    name: str,
    input_price: float | None,
    output_price: float | None,
    replaces: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Let the arm NAME be chosen. The applications must know how to ask it."""
    from banditroute import Arm, admin

    arm = Arm(
        name=name,
        input_usd_per_million_tokens=input_price,
        output_usd_per_million_tokens=output_price,
        replaces=replaces,
    )
    expected = admin.add_arm(url, arm, **options)
    _show([(f"arms add {name}", expected)], as_json=as_json, dry_run=options["dry_run"])


@arms.command()
@database_argument
@click.argument("name")
@_shared
def remove(url: str, name: str, as_json: bool, **options: Any) -> None:
    """Let the arm NAME no longer be chosen; what is learned of it is kept."""
    from banditroute import admin

    expected = admin.remove_arm(url, name, **options)
    _show([(f"arms remove {name}", expected)], as_json=as_json, dry_run=options["dry_run"])


@arms.command()
@database_argument
@click.option("--router", default="default", show_default=True, help="Name of the routers.")
@json_option
def changes(url: str, router: str, as_json: bool) -> None:
    """List the changes that the routers follow: when, who, and what."""
    from banditroute import admin

    found = admin.shared_changes(url, router=router)
    lines = [
        f"{each.number:4d}  {datetime.fromtimestamp(each.at, tz=UTC):%Y-%m-%d %H:%M:%S+00:00}  {each.who}  {each}"
        for each in found
    ]
    answer("\n".join(lines) or "nothing is changed", found, as_json=as_json)


def _show(changes: list[tuple[str, ExpectedShares]], *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        print_json([{"change": change, "dry_run": dry_run, "expected": expected} for change, expected in changes])
        return
    for change, expected in changes:
        click.echo(f"{change}: {'nothing is changed' if dry_run else 'recorded; running processes follow'}")
        if dry_run and not expected.before:
            click.echo("expected shares are not known")
        if expected.before:
            rows = [["arm", "share", "expected"]]
            rows += [[arm, f"{share:.1%}", f"{expected.after[arm]:.1%}"] for arm, share in expected.before.items()]
            click.echo(f"shares of the last {expected.decisions} decisions, and as they would be:\n{table(rows)}")
