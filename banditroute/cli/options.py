"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import click

from banditroute.core.preference import Preference
from banditroute.errors import BanditRouteError, InvalidConfigurationError
from banditroute.learners.specs import preference_of
from banditroute.logs import FORMATS
from banditroute.objectives import Objective
from banditroute.store.sql.database import parse
from banditroute.store.sql.existing import require_existing

_Command = TypeVar("_Command", bound=Callable[..., Any])
Option: TypeAlias = Callable[[Any], Any]
"""Adds an option or an argument to a command."""

ANY_LOG = click.Path(path_type=str)
"""A path, which the shell completes, or the URL of a database."""


def _columns(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    if wrong := next(("".join(pair) for pair in pairs if not (pair[0] and pair[2])), None):
        raise click.BadParameter(f"{wrong[:80]!r} is not NAME=COLUMN, such as quality=judge_score")
    return {name.strip(): column.strip() for name, _, column in pairs}


def log_options(command: _Command) -> _Command:
    """Add the options of commands that read a log."""
    for option in (
        click.option("--skip-bad", is_flag=True, help="Leave out rows that cannot be used, and count them."),
        click.option(
            "--column",
            "columns",
            metavar="NAME=COLUMN",
            multiple=True,
            callback=_columns,
            help="Read a column of another name, as in quality=judge or latency_seconds=ms*0.001. Can be repeated.",
        ),
        click.option("--format", type=click.Choice(list(FORMATS)), help="Format of the log.  [default: recognised]"),
    ):
        command = option(command)
    return command


router_option: Option = click.option("--router", help="Read only the decisions of this router.")

json_option: Option = click.option("--json", "as_json", is_flag=True, help="Print JSON in place of a table.")


def _preference(context: click.Context, parameter: click.Parameter, value: str) -> Preference:
    try:
        return Preference(**preference_of(value))
    except InvalidConfigurationError as error:
        raise click.BadParameter(str(error)) from error


preference_option: Option = click.option(
    "--preference",
    "--prefer",
    "preference",
    metavar="OBJECTIVE=WEIGHT,...",
    default="quality=1",
    show_default=True,
    callback=_preference,
    help="Worth of one unit of each objective, as in quality=1,cost_usd=50.",
)


def objective_of(spec: str) -> Objective:
    """Return the objective that ``NAME``, ``NAME:lower`` or ``NAME:LOW..HIGH`` declares.

    Raises
    ------
    InvalidConfigurationError
        If it has another form.

    Examples
    --------
    >>> found = objective_of("toxicity:lower:0..1")
    >>> found.name, found.higher_is_better, found.low, found.high
    ('toxicity', False, 0.0, 1.0)
    """
    name, *parts = spec.split(":")
    settings: dict[str, Any] = {"name": name.strip(), "higher_is_better": True}
    for part in map(str.strip, parts):
        low, dots, high = part.partition("..")
        if part in ("lower", "higher"):
            settings["higher_is_better"] = part == "higher"
        elif dots:
            try:
                settings |= {side: float(text) for side, text in (("low", low), ("high", high)) if text}
            except ValueError:
                raise _not_an_objective(spec) from None
        else:
            raise _not_an_objective(spec)
    return Objective(**settings)


def _not_an_objective(spec: str) -> InvalidConfigurationError:
    return InvalidConfigurationError(
        f"{spec[:80]!r} does not declare an objective; give NAME, NAME:lower or NAME:LOW..HIGH, such as stars:1..5"
    )


def _objectives(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[Objective]:
    try:
        return [objective_of(value) for value in values]
    except BanditRouteError as error:
        raise click.BadParameter(str(error)) from error


objective_option: Option = click.option(
    "--objective",
    "objectives",
    metavar="NAME[:lower][:LOW..HIGH]",
    multiple=True,
    callback=_objectives,
    help="Declare an objective of your own, as in stars:1..5 or toxicity:lower. Can be repeated.",
)


def with_objectives(reading: Mapping[str, Any], objectives: Sequence[Objective]) -> dict[str, Any]:
    """Return the options of reading a log with the columns of declared objectives, which have the objectives' names."""
    own = {each.name: each.name for each in objectives}
    return {**reading, "columns": own | dict(reading["columns"])}


def _database_url(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Return the URL of a database that exists; a path is that of a SQLite file."""
    url = value if "://" in value else f"sqlite:///{value}"
    try:
        parse(url)
        require_existing(url)
    except InvalidConfigurationError as error:
        raise click.BadParameter(str(error)) from error
    return url


database_argument: Option = click.argument("url", metavar="DB", callback=_database_url, type=ANY_LOG)


def report_left_out(skipped: Mapping[str, int], *, err: bool = False) -> None:
    """Say how many rows were left out, and why; with ``err`` on the error stream, so that JSON stays clean."""
    for reason, count in sorted(skipped.items()):
        click.echo(f"{count:,} left out: {reason}", err=err)
