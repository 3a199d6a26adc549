"""The command line: ``banditroute COMMAND``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from banditroute import Preference, Records, __version__
from banditroute.errors import BanditRouteError, InvalidConfigurationError
from banditroute.learners.specs import preference_of


class _Group(click.Group):
    """Shows banditroute's own errors as one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BanditRouteError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group)
@click.version_option(__version__, prog_name="banditroute")
def main() -> None:
    """Learns, online, which LLM or LoRA adapter should serve each request."""


def _columns(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    if wrong := next(("".join(pair) for pair in pairs if not (pair[0] and pair[2])), None):
        raise click.BadParameter(f"{wrong!r} is not OURS=THEIRS, such as quality=score")
    return {ours: theirs for ours, _, theirs in pairs}


def _reading(command: Callable[..., None]) -> Callable[..., None]:
    """The options of commands that read a log."""
    for option in (
        click.option("--skip-bad", is_flag=True, help="Pass over rows that cannot be used, and count them."),
        click.option(
            "--column",
            "columns",
            metavar="OURS=THEIRS",
            multiple=True,
            callback=_columns,
            help="What the log calls a name of ours.",
        ),
        click.option("--format", help="What it is, if not to be recognised; docs/formats.md names the formats."),
    ):
        command = option(command)
    return command


_router = click.option("--router", help="Only of the router of this name.")


def _tell(skipped: Mapping[str, int]) -> None:
    for why, count in sorted(skipped.items()):
        click.echo(f"{count:,} passed over: {why}")


@main.command()
@click.option(
    "--log", metavar="FILE", help="Table of outcomes, also a folder of files. Default: the one that is shipped."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for the picture, the figures and the database.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="Orders of the requests.")
@_reading
def demo(log: str | None, out: Path, seeds: int, **reading: Any) -> None:
    """Learn on real LLM outcomes, beside what needs no learning, and keep what was learned."""
    from banditroute.logs import SHIPPED, read_outcomes
    from banditroute.simulate.demo import run

    table = read_outcomes(log or SHIPPED, **reading)
    _tell(table.skipped)
    run(table=table, out=out, seeds=seeds, echo=click.echo)


def _weights(context: click.Context, parameter: click.Parameter, value: str) -> Preference:
    try:
        return Preference(**preference_of(value))
    except InvalidConfigurationError as error:
        raise click.BadParameter(str(error)) from error


_preference = click.option(
    "--preference",
    metavar="OBJECTIVE=WEIGHT,...",
    default="quality=1",
    show_default=True,
    callback=_weights,
    help="What one unit of each objective is worth, such as quality=1,cost_usd=50.",
)


@main.command()
@click.argument("log", required=False)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("report"),
    show_default=True,
    help="Folder for the page and its figures.",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="Orders of a table's requests."
)
@_preference
@click.option("--budget-usd", type=float, help="What a request may cost on average: shown beside the spending.")
@click.option("--slots", type=int, help="A table's arms are adapters, of which so many are kept resident.")
@click.option("--load-seconds", type=float, help="What a load takes, with --slots.")
@_reading
@_router
def report(
    log: str | None,
    out: Path,
    seeds: int,
    preference: Preference,
    budget_usd: float | None,
    slots: int | None,
    load_seconds: float | None,
    **reading: Any,
) -> None:
    """Write a page to read, with charts and figures, of a LOG in any format: a file, a folder, or a router's database.

    Of a table of outcomes (without LOG, the one that is shipped): what the default policies do with it. Of decisions:
    what was done, what came of it, and whether that was to be expected.
    """
    from banditroute.logs import SHIPPED, read_any
    from banditroute.report import report as write
    from banditroute.simulate.adapter_slots import AdapterSlots

    if (slots is None) != (load_seconds is None):
        raise click.UsageError("--slots and --load-seconds go together")
    paging = None if slots is None or load_seconds is None else AdapterSlots(slots=slots, load_seconds=load_seconds)
    read = read_any(log or SHIPPED, **reading)
    _tell(read.skipped)
    name = log or SHIPPED
    page = write(
        read,
        out,
        name=name,
        seeds=seeds,
        preference=preference,
        budget_usd=budget_usd,
        adapter_slots=paging,
        executor="processes",
    )
    click.echo(f"{page}; the figures are beside it, as figures.json, CSV and PNG")


@main.command()
@click.argument("log", required=False)
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with log, policies, seeds, warm, settings.")
@click.option("--policy", "policies", multiple=True, help="Such as linucb or 'thompson(scale=1)'; may be repeated.")
@click.option("--preference", "preferences", multiple=True, help="Such as quality=1,cost_usd=50; may be repeated.")
@click.option("--seeds", type=int, help="Orders of the requests.  [default: 20]")
@click.option("--warm", type=int, help="Prompts of each order that a warm start knows.  [default: 0]")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("simulate-output"),
    show_default=True,
    help="Folder for the figures, and for what is done: the same command again goes on where it was.",
)
@click.option(
    "--executor", default="processes", show_default=True, help="processes, dask, or the address of a Dask scheduler."
)
@click.option("--partial", is_flag=True, help="Take queries that only some arms answered.")
@_reading
def simulate(config: Path | None, preferences: tuple[str, ...], out: Path, executor: str, **options: Any) -> None:
    """Compare policies on LOG, a table of outcomes, beside what needs no learning; options go before --config.

    LOG is a file, or a folder of files; without one, and without --config, that which is shipped.
    """
    from banditroute.simulate.experiment import Experiment, read_settings, run

    given = read_settings(config) if config else {}
    settings = [{"name": text, "preference": preference_of(text)} for text in preferences]
    options |= {"policies": list(options["policies"]), "settings": settings}
    given |= {name: value for name, value in options.items() if value not in (None, [], {}) and value is not False}
    experiment = Experiment.of(given)
    _tell(experiment.environment.table.skipped)
    run(experiment, out=out, executor=executor, echo=click.echo)


def _at(context: click.Context, parameter: click.Parameter, value: str) -> Records:
    """The records at a database URL, or in a SQLite file."""
    if "://" not in value:
        if not Path(value).is_file():
            raise click.BadParameter(f"there is no file {value!r}; give that of a router's database, or a URL")
        value = f"sqlite:///{value}"
    try:
        return Records(value)
    except InvalidConfigurationError as error:
        raise click.BadParameter(str(error)) from error


_records = click.argument("records", metavar="DB", callback=_at)


@main.command()
@_records
@_router
def inspect(records: Records, router: str | None) -> None:
    """Show what a database (file or URL) holds: decisions, feedback, arms, and how well each is known."""
    epochs = records.epochs(router)
    if not epochs:
        click.echo("nothing is recorded")
    for epoch in epochs:
        click.echo(
            f"epoch {epoch.id}: router {epoch.router!r}, {epoch.dimension} features of {epoch.features_version!r}\n"
            f"  version {epoch.version}, snapshots {', '.join(map(str, epoch.snapshots)) or 'none'}\n"
            f"  {epoch.decisions:,} decisions ({epoch.pruned:,} pruned), {epoch.answered:,} with feedback, spend "
            f"${epoch.spend_usd:,.4f}\n"
            f"  {epoch.pending:,} outcomes pending, the oldest for {epoch.lag_seconds:.1f} s"
        )
        for name, size in epoch.states.items():
            click.echo(f"  state {name!r}: {size:,} bytes")
        for each in epoch.budgets:
            click.echo(
                f"  budget {each.budget.amount:g} {each.budget.name}: {each.requests:,} requests, {each.spent:.4g} "
                f"spent (pace {each.pace:.2f}), shadow price {each.shadow_price:.4g}"
            )
        for arm in epoch.arms:
            counts = ", ".join(f"{count:,} {objective}" for objective, count in arm.counts.items()) or "nothing learned"
            gone = "" if arm.active else " (not active)"
            click.echo(f"  arm {arm.name!r}{gone}: {counts}; {arm.information_nats:.1f} nats")


@main.command()
@click.argument("log", metavar="IN")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@_reading
@_router
def convert(log: str, out: Path, **reading: Any) -> None:
    """Write the log IN (file, folder or URL), whatever its format, as OUT in ours: .parquet, .jsonl or .jsonl.gz."""
    from banditroute.logs import readers

    opened = readers.open_log(log, **reading)
    click.echo(f"{readers.convert(opened, out):,} rows of format {opened.format.name} written to {out}")
    _tell(opened.skipped)


@main.command()
@click.argument("log")
@click.option("--policy", required=True, help="What to ask about: an arm, uniform, or a learner: 'linucb(alpha=1)'.")
@click.option("--against", default="logged", show_default=True, help="What to compare it with.")
@_preference
@click.option(
    "--frozen", is_flag=True, help="Teach a learner with the first half, and judge it by the second as it is."
)
@click.option(
    "--cluster",
    "clusters",
    type=click.Choice(["session", "template", "task"]),
    help="What rows hang together by.  [default: session, if there are]",
)
@click.option(
    "--features",
    type=click.Choice(["auto", "none"]),
    default="auto",
    show_default=True,
    help="Contexts to use: those of the log, or text features of its prompts; or none.",
)
@click.option(
    "--missing",
    type=click.Choice(["drop", "weight"]),
    default="drop",
    show_default=True,
    help="Decisions without an outcome: leave them out, or weigh the others by predicted reporting.",
)
@click.option("--seed", default=0, show_default=True, help="Random seed.")
@_reading
@_router
def evaluate(
    log: str,
    policy: str,
    against: str,
    preference: Preference,
    frozen: bool,
    clusters: Any,
    features: Any,
    missing: Any,
    seed: int,
    **reading: Any,
) -> None:
    """Compare a policy with what is logged in LOG (file, folder or URL); exit status 1 if the log cannot answer."""
    from banditroute.evaluate import evaluate
    from banditroute.logs import read_log

    read = read_log(log, **reading)
    _tell(read.skipped)
    found = evaluate(
        read,
        policy,
        against=against,
        preference=preference,
        learning=not frozen,
        clusters=clusters,
        features=features,
        missing=missing,
        seed=seed,
    )
    click.echo(found)
    if found.utility is None or found.utility.value is None:
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("log")
@_preference
@click.option("--miss-cost", type=float, help="Utility that paging an adapter in costs. Default: nobody pages.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="PNG that is to show the figures.")
@click.option("--seed", default=0, show_default=True, help="Of the order of a table's rows, which have none.")
@_reading
@_router
def diagnose(
    log: str, preference: Preference, miss_cost: float | None, plot: Path | None, seed: int, **reading: Any
) -> None:
    """Show how many adapters to keep resident, and for how long, by the requests of LOG (file, folder or URL)."""
    from banditroute.evaluate import residency
    from banditroute.logs import OutcomeTable, read_any

    read = read_any(log, **reading)
    _tell(read.skipped)
    if isinstance(read, OutcomeTable):
        demands = residency.demand_of_table(read, preference, seed=seed)
    else:
        demands = residency.demand_of_log(read, preference)
    found = [residency.residency(demand, miss_cost=miss_cost) for demand in demands]
    click.echo("\n\n".join(map(str, found)))
    if plot is not None:
        residency.draw(plot, found)
        click.echo(f"\nPicture: {plot}")


@main.command()
@click.argument("log")
@click.option("--baseline", required=True, help="The arm that would have served every request.")
@_reading
@_router
def savings(log: str, baseline: str, **reading: Any) -> None:
    """Show what routing saved in LOG (file, folder or URL) against always asking one arm; exit status 1: no answer."""
    from banditroute.evaluate import savings
    from banditroute.logs import read_log

    read = read_log(log, **reading)
    _tell(read.skipped)
    found = savings(read, baseline=baseline)
    click.echo(found)
    if found.usd_per_1000 is None:
        raise click.exceptions.Exit(1)


@main.group()
def db() -> None:
    """Keep a router's database: make, check, rebuild, prune, export, erase."""


@db.command()
@click.argument("url")
def upgrade(url: str) -> None:
    """Make the tables at a URL, or bring them to the schema of this version."""
    Records(url).upgrade()
    click.echo("the schema is that of this version")


@db.command()
@_records
def verify(records: Records) -> None:
    """Look for damage, and for sums that are not what the log makes; exit status 1 if there is any."""
    found = records.verify()
    for line in found:
        click.echo(line)
    if found:
        raise click.exceptions.Exit(1)
    click.echo("no damage, and the sums are those of the log")


@db.command()
@_records
@_router
def rebuild(records: Records, router: str | None) -> None:
    """Make the sums anew from the log."""
    records.rebuild(router)
    click.echo("the sums are made anew")


@db.command()
@_records
@_router
@click.option("--unanswered-days", default=30.0, show_default=True, help="Keep decisions without feedback so long.")
@click.option("--answered-days", default=90.0, show_default=True, help="Keep those with feedback so long.")
@click.option("--export", type=click.Path(path_type=Path), help="Folder that gets them as Parquet first.")
def prune(
    records: Records, router: str | None, unanswered_days: float, answered_days: float, export: Path | None
) -> None:
    """Delete decisions that are too old to keep; what was learned from them stays."""
    day = 86_400.0
    pruned = records.prune(
        unanswered_seconds=unanswered_days * day, answered_seconds=answered_days * day, export=export, router=router
    )
    click.echo(f"{pruned:,} decisions deleted")


@db.command()
@_records
@_router
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
def export(records: Records, router: str | None, out: Path) -> None:
    """Write all decisions with their outcomes to the Parquet file OUT."""
    click.echo(f"{records.export(out, router):,} decisions written to {out}")


@db.command()
@_records
@_router
@click.option("--decision", "decision_id", help="Id of one decision.")
@click.option("--session", help="Label of a session: all its decisions.")
@click.option("--source", help="Who reported: all feedback of this source, without the decisions.")
def erase(records: Records, **what: str | None) -> None:
    """Delete decisions or feedback, and take back what was learned from them."""
    click.echo(f"{records.erase(**what):,} decisions erased, or without that feedback")


@db.command()
@_records
@click.argument("epoch", type=int)
@click.argument("version", type=int)
def rollback(records: Records, epoch: int, version: int) -> None:
    """Go back to the snapshot VERSION of EPOCH; banditroute inspect shows which there are."""
    click.echo(f"{records.roll_back(epoch, version):,} outcomes that came later count for nothing now")


if __name__ == "__main__":
    main()
