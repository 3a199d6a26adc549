"""``banditroute report``: a page with charts and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from banditroute.cli.options import (
    ANY_LOG,
    log_options,
    objective_option,
    preference_option,
    report_left_out,
    router_option,
    with_objectives,
)
from banditroute.core.addresses import shown_address
from banditroute.core.preference import Preference
from banditroute.objectives import Objective


@click.command(short_help="Write a page with charts and figures.")
@click.argument("log", required=False, type=ANY_LOG)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("report"),
    show_default=True,
    help="Folder for the page and its figures.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Number of orders of a table's requests.",
)
@preference_option
@objective_option
@click.option("--budget-usd", type=float, help="Dollars that a request may cost on average, shown with the spending.")
@click.option("--slots", type=int, help="Treat a table's arms as adapters, of which this many are resident.")
@click.option("--load-seconds", type=float, help="Seconds that it takes to load an adapter; goes with --slots.")
@log_options
@router_option
def report(
    log: str | None,
    out: Path,
    seeds: int,
    preference: Preference,
    objectives: list[Objective],
    budget_usd: float | None,
    slots: int | None,
    load_seconds: float | None,
    **reading: Any,
) -> None:
    """Write a page with charts and figures of LOG, in any format: a file, a folder, or a router's database.

    For a table of outcomes (by default the shipped one), the page shows how the default policies perform on it. For a
    log of decisions, it shows which arms were used, their outcomes over time, and calibration.
    """
    from banditroute.logs import SHIPPED, read_any
    from banditroute.report import report
    from banditroute.simulate.adapter_slots import AdapterSlots

    if (slots is None) != (load_seconds is None):
        raise click.UsageError("--slots and --load-seconds go together")
    slotted = None if slots is None or load_seconds is None else AdapterSlots(slots=slots, load_seconds=load_seconds)
    read = read_any(log or SHIPPED, **with_objectives(reading, objectives))
    report_left_out(read.skipped)
    page = report(
        read,
        out,
        name=shown_address(log or SHIPPED),
        seeds=seeds,
        preference=preference,
        objectives=objectives,
        budget_usd=budget_usd,
        adapter_slots=slotted,
        executor="processes",
    )
    click.echo(f"{page}; its figures are in the same folder, as figures.json, CSV and PNG")
