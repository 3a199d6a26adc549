"""``banditroute simulate``: compare policies on a table of outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from banditroute.cli.options import (
    ANY_LOG,
    json_option,
    log_options,
    objective_option,
    report_left_out,
    with_objectives,
)
from banditroute.cli.output import answer
from banditroute.learners.specs import preference_of
from banditroute.objectives import Objective


@click.command(short_help="Compare policies on a table of outcomes.")
@click.argument("log", required=False, type=ANY_LOG)
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with log, policies, seeds, warm, settings.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    help="A learner, as in linucb or 'thompson(scale=1)', or MODULE:NAME of your own. Can be repeated.",
)
@click.option(
    "--preference",
    "--prefer",
    "preferences",
    metavar="OBJECTIVE=WEIGHT,...",
    multiple=True,
    help="Worth of one unit of each objective, as in quality=1,cost_usd=50. Can be repeated.",
)
@objective_option
@click.option(
    "--prices",
    metavar="log|FILE",
    help="Let routers know what each arm costs: its mean in the log, or by the token prices in a TOML or JSON file.",
)
@click.option("--seeds", type=click.IntRange(min=1), help="Number of orders of the requests.  [default: 20]")
@click.option("--warm", type=click.IntRange(min=0), help="Number of prompts that a warm start knows.  [default: 0]")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("simulate-output"),
    show_default=True,
    help="Folder for the figures and for finished parts: the same command continues where it stopped.",
)
@click.option(
    "--executor",
    default="processes",
    show_default=True,
    help="processes, dask, or the address of a Dask scheduler.",
)
@click.option(
    "--cascade",
    "judge",
    metavar="ERROR|OUTCOME",
    help="Compare cascades with single calls in place of policies. A judge looks at each answer: it errs in this share "
    "of them, as in 0.1, or is an outcome of the log, as in judge.",
)
@click.option("--partial", is_flag=True, help="Accept queries that only some arms answered.")
@log_options
@json_option
def simulate(
    config: Path | None,
    preferences: tuple[str, ...],
    policies: tuple[str, ...],
    objectives: list[Objective],
    out: Path,
    executor: str,
    judge: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare policies on LOG, a table of outcomes, with policies that do not learn.

    LOG is a file or a folder of files; by default the table that is shipped. Options replace what --config says.
    """
    from banditroute.cli.policies import policy_of
    from banditroute.simulate.experiment import Experiment, read_settings, run, run_cascades

    given = read_settings(config) if config else {}
    settings = [{"name": text, "preference": preference_of(text)} for text in preferences]
    options |= {"settings": settings, "policies": [policy_of(text) for text in policies], "objectives": objectives}
    options = with_objectives(options, objectives)
    given |= {name: value for name, value in options.items() if value not in (None, [], {}) and value is not False}
    experiment = Experiment.of(given)
    report_left_out(experiment.environment.table.skipped, err=as_json)
    echo = _say_nothing if as_json else click.echo
    if judge is not None:
        found = run_cascades(experiment, judge, out=out, echo=echo)
        answer(f"the figures are in {out / 'cascades.csv'}", found, as_json=as_json)
        return
    results = run(experiment, out=out, executor=executor, echo=echo)
    answer(f"the figures are in {out}, as results.csv and results.json", results, as_json=as_json)


def _say_nothing(text: str) -> None:
    """Take the tables in place of a terminal."""
