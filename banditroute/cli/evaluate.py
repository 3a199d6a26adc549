"""``banditroute evaluate``: would another policy have been better?"""

from __future__ import annotations

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
from banditroute.cli.policies import policy_of
from banditroute.core.preference import Preference
from banditroute.objectives import Objective


@click.command(short_help="Say whether another policy would have been better.")
@click.argument("log", type=ANY_LOG)
@click.option(
    "--policy",
    required=True,
    help="The policy to ask about: an arm, uniform, a learner as in 'linucb(alpha=1)', or MODULE:NAME of your own.",
)
@click.option("--against", default="logged", show_default=True, help="The policy to compare it with.")
@preference_option
@objective_option
@click.option("--frozen", is_flag=True, help="Let a learner learn from the first half, and judge it by the second.")
@click.option(
    "--progressive",
    is_flag=True,
    help="Let a learner learn from every row, after it is asked about it, as a challenger does.",
)
@click.option(
    "--cluster",
    "clusters",
    type=click.Choice(["session", "template", "task"]),
    help="Cluster rows that depend on each other.  [default: session, if the log has them]",
)
@click.option(
    "--features",
    type=click.Choice(["auto", "none"]),
    default="auto",
    show_default=True,
    help="Contexts to use: those of the log, else text features of its prompts; or none.",
)
@click.option(
    "--missing",
    type=click.Choice(["drop", "weight"]),
    default="drop",
    show_default=True,
    help="Decisions without an outcome: leave them out, or weigh the others by predicted reporting.",
)
@click.option(
    "--per",
    type=click.Choice(["decision", "session"]),
    default="decision",
    show_default=True,
    help="What an outcome belongs to: its decision, or all decisions of a session.",
)
@click.option("--seed", default=0, show_default=True, help="Random seed.")
@json_option
@log_options
@router_option
def evaluate(
    log: str,
    policy: str,
    against: str,
    preference: Preference,
    objectives: list[Objective],
    frozen: bool,
    progressive: bool,
    clusters: Any,
    features: Any,
    missing: Any,
    per: Any,
    seed: int,
    as_json: bool,
    **reading: Any,
) -> None:
    """Say whether a policy would have been better than the one in LOG (file, folder or URL).

    The exit status is 1 if the log cannot answer.
    """
    if frozen and progressive:
        raise click.UsageError("--frozen and --progressive exclude each other; give one of them")
    from banditroute.evaluate import evaluate
    from banditroute.logs import read_log

    read = read_log(log, **with_objectives(reading, objectives))
    report_left_out(read.skipped, err=as_json)
    found = evaluate(
        read,
        policy_of(policy),
        against=policy_of(against),
        preference=preference,
        objectives=objectives,
        learning="progressive" if progressive else not frozen,
        clusters=clusters,
        features=features,
        missing=missing,
        per=per,
        seed=seed,
    )
    if as_json:
        print_json(found)
    else:
        click.echo(found)
    if found.utility is None or found.utility.value is None:
        raise click.exceptions.Exit(1)
