"""``banditroute inspect``: the content of a router's database."""

from __future__ import annotations

import click

from banditroute import admin
from banditroute.admin import EpochRecord
from banditroute.cli.options import database_argument, json_option, router_option
from banditroute.cli.output import print_json, table
from banditroute.core.times import utc


@click.command(short_help="Show decisions, feedback and arms of a database.")
@database_argument
@router_option
@json_option
@click.option("--by", metavar="KIND", help="Show who is good at what: by task, cluster, or a tag such as tenant.")
@click.option("--out", type=click.Path(dir_okay=False), help="With --by: draw it into this PNG as well.")
def inspect(url: str, router: str | None, as_json: bool, by: str | None, out: str | None) -> None:
    """Show what a database (file or URL) holds: decisions, feedback, arms, and how much is known of each."""
    if by is not None:
        found = admin.competence(url, by=by, router=router)
        if out is not None:
            found.plot(out)
        print_json(found) if as_json else click.echo(found)
        return
    epochs = admin.inspect(url, router=router)
    if as_json:
        print_json(epochs)
    elif not epochs:
        click.echo("nothing is recorded")
    else:
        click.echo("\n\n".join(map(_shown, epochs)))


def _shown(epoch: EpochRecord) -> str:
    lines = [
        f"epoch {epoch.id}: router {epoch.router!r}, {epoch.dimension} features of {epoch.features_version!r}",
        f"  version {epoch.version}, {len(epoch.snapshots)} snapshots",
        *(f"    {version} of {utc(at)}" for version, at in epoch.snapshots.items()),
        f"  {epoch.decisions:,} decisions ({epoch.pruned:,} pruned), {epoch.answered:,} with feedback, spend "
        f"${epoch.spend_usd:,.4f}",
        f"  {epoch.pending:,} outcomes pending, the oldest for {epoch.lag_seconds:.1f} s",
        *(f"  state {name!r}: {size:,} bytes" for name, size in epoch.states.items()),
        *(
            f"  budget {each.budget.amount:g} {each.budget.name}: {each.requests:,} requests, {each.spent:.4g} spent "
            f"(pace {each.pace:.2f}), shadow price {each.shadow_price:.4g}"
            for each in epoch.budgets
        ),
    ]
    objectives = sorted({name for arm in epoch.arms for name in arm.counts})
    rows = [["arm", *objectives, "nats"]]
    for arm in epoch.arms:
        name = arm.name if arm.active else f"{arm.name} (not active)"
        rows.append([name, *(f"{arm.counts.get(each, 0):,.0f}" for each in objectives), f"{arm.information_nats:.1f}"])
    return "\n".join(
        [*lines, "", "outcomes reported for each arm, and what was learned from them (nats):", table(rows)]
    )
