"""``banditroute diagnose``: how many adapters to keep resident, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from banditroute.cli.options import (
    ANY_LOG,
    json_option,
    log_options,
    objective_option,
    preference_option,
    report_left_out,
    router_option,
    with_objectives,
)
from banditroute.cli.output import print_json
from banditroute.core.preference import Preference
from banditroute.objectives import Objective


@click.command(short_help="Show how many adapters to keep resident.")
@click.argument("log", type=ANY_LOG)
@preference_option
@objective_option
@click.option(
    "--miss-cost",
    type=float,
    help="Utility that loading an adapter costs. Without it, adapters that are not resident cannot serve.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="PNG file for a picture of the figures.")
@click.option("--seed", default=0, show_default=True, help="Random seed of the order of a table's rows.")
@json_option
@log_options
@router_option
def diagnose(
    log: str,
    preference: Preference,
    objectives: list[Objective],
    miss_cost: float | None,
    plot: Path | None,
    seed: int,
    as_json: bool,
    **reading: Any,
) -> None:
    """Show how many adapters to keep resident, and for how long, given the requests of LOG (file, folder or URL)."""
    from banditroute.evaluate import residency
    from banditroute.logs import OutcomeTable, read_any

    read = read_any(log, **with_objectives(reading, objectives))
    report_left_out(read.skipped, err=as_json)
    if isinstance(read, OutcomeTable):
        demands = residency.demand_of_table(read, preference, objectives=objectives, seed=seed)
    else:
        demands = residency.demand_of_log(read, preference, objectives=objectives)
    found = [residency.residency(demand, miss_cost=miss_cost) for demand in demands]
    if as_json:
        print_json(found)
    else:
        click.echo("\n\n".join(map(str, found)))
    if plot is not None:
        residency.draw(plot, found)
        click.echo(f"\nPicture: {plot}", err=as_json)
