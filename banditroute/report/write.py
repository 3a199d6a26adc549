"""A report, from a log to a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError
from banditroute.features import TextFeatures
from banditroute.learners import Learner, LinUCB, ThompsonSampling
from banditroute.logs import DecisionLog, OutcomeTable
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import check_preference, merge_objectives
from banditroute.policies import Uniform
from banditroute.report.logged import logged
from banditroute.report.page import page
from banditroute.report.simulated import simulated
from banditroute.simulate.adapter_slots import AdapterSlots
from banditroute.simulate.conditions import Conditions
from banditroute.simulate.replay import Trace
from banditroute.simulate.sweep import sweep

_LEARNERS: dict[str, Learner] = {"ThompsonSampling": ThompsonSampling(), "LinUCB": LinUCB()}
_UNIFORM = "uniform"


def write(
    log: OutcomeTable | DecisionLog,
    out: Path,
    *,
    name: str,
    seeds: int,
    preference: Preference,
    objectives: Sequence[Objective] = (),
    budget_usd: float | None = None,
    paging: AdapterSlots | None = None,
) -> Path:
    """Write the page of a log: of a table of outcomes what policies would have done, of decisions what was done.

    Parameters
    ----------
    log
        As :func:`~banditroute.logs.outcome_table.read_any` reads it.
    out
        Folder of the page.
    name
        How the page calls a log of decisions; a table has its name.
    seeds
        How many orders of a table's requests.
    preference
        What the outcomes are worth.
    objectives
        The user's own objectives.
    budget_usd
        What a request may cost on average, to be shown beside what it does.
    paging
        What a table's arms are, if they are adapters. A log of decisions tells for itself what paging took.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    InvalidConfigurationError
        For ``paging`` with a log of decisions, or of arms that the table does not have.
    """
    check_preference(preference, merge_objectives(objectives))
    if isinstance(log, OutcomeTable):
        conditions = Conditions(paging=paging)
        return _of_table(
            log,
            out,
            seeds=seeds,
            preference=preference,
            objectives=objectives,
            budget_usd=budget_usd,
            conditions=conditions,
        )
    if paging is not None:
        raise InvalidConfigurationError(
            f"{name} is a log of decisions, whose paging is over; leave out paging (--slots)"
        )
    facts = {"log": name, "decisions": f"{len(log):,}", "arms": ", ".join(log.arms), "preference": str(preference)}
    sections = logged(log, preference=preference, objectives=objectives, budget_usd=budget_usd)
    return page(out, title="Decisions and outcomes", facts=facts, sections=sections)


def _of_table(
    table: OutcomeTable,
    out: Path,
    *,
    seeds: int,
    preference: Preference,
    objectives: Sequence[Objective],
    budget_usd: float | None,
    conditions: Conditions,
) -> Path:
    x = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
    learners = {**_LEARNERS, _UNIFORM: Learner(policy=Uniform())}
    traces: dict[str, list[Trace]] = {policy: [] for policy in learners}
    passes = sweep(
        table,
        x,
        learners=learners,
        preference=preference,
        objectives=objectives,
        seeds=range(seeds),
        conditions=conditions,
    )
    for trace in tqdm(passes, total=len(learners) * seeds, desc=table.name, unit="pass", disable=None):
        traces[trace.policy].append(trace)
    facts = {
        "log": table.name,
        "prompts": f"{len(table):,}",
        "arms": ", ".join(table.arms),
        "preference": str(preference),
        "seeds": str(seeds),
    }
    sections = simulated(
        table,
        x,
        traces=traces,
        learners=_LEARNERS,
        preference=preference,
        objectives=objectives,
        budget_usd=budget_usd,
        conditions=conditions,
    )
    return page(out, title=f"Routing {table.name}", facts=facts, sections=sections)
