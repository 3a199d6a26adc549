"""The report of a log: read it, take its figures, write the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from banditroute.core.addresses import shown_address
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError
from banditroute.features import TextFeatures
from banditroute.learners import Learner, LinUCB, ThompsonSampling
from banditroute.logs import DecisionLog, OutcomeTable, read_any
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import check_preference, merge_objectives
from banditroute.policies import Uniform
from banditroute.report.logged import logged
from banditroute.report.logged import verdict as logged_verdict
from banditroute.report.page import page
from banditroute.report.simulated import simulated
from banditroute.report.simulated import verdict as simulated_verdict
from banditroute.simulate.adapter_slots import AdapterSlots
from banditroute.simulate.conditions import Conditions
from banditroute.simulate.replay import Trace
from banditroute.simulate.sweep import sweep

_LEARNERS: dict[str, Learner] = {"ThompsonSampling": ThompsonSampling(), "LinUCB": LinUCB()}
_UNIFORM = "uniform"


def report(
    log: OutcomeTable | DecisionLog | Any,
    out: str | Path = "report",
    *,
    name: str | None = None,
    seeds: int = 20,
    preference: Preference | None = None,
    objectives: Sequence[Objective] = (),
    budget_usd: float | None = None,
    adapter_slots: AdapterSlots | None = None,
    executor: str = "serial",
) -> Path:
    """Write a page to read about a log, with charts, and its figures as JSON, CSV and PNG next to it.

    For a table of outcomes the page says what the default policies would have done with it. For decisions it says which
    arms were used, their outcomes over time, and whether outcomes were as expected.

    Parameters
    ----------
    log
        A table, a log of decisions, or anything that :func:`banditroute.logs.read_any` reads: a path, a URL.
    out
        Folder of the page; it is made if it does not exist.
    name
        Name of the log on the page. Default: the table's name, or the path or URL without its password.
    seeds
        How many orders of a table's requests.
    preference
        Weights of the objectives in the utility. Default: ``Preference(quality=1.0)``.
    objectives
        The user's own objectives.
    budget_usd
        Mean dollars that a request may cost, to be shown next to what it does cost.
    adapter_slots
        How a table's arms are loaded, if they are adapters. A log of decisions holds its own loads.
    executor
        Where a table's passes run: ``"serial"`` uses this process, ``"processes"`` every core.

    Returns
    -------
    Path
        Path of the page.

    Raises
    ------
    InvalidInputError
        If the preference names an objective that is neither a standard one nor declared.
    InvalidConfigurationError
        If ``adapter_slots`` come with a log of decisions, or name arms that the table does not have.
    MissingDependencyError
        If matplotlib is not installed.
    """
    if not isinstance(log, OutcomeTable | DecisionLog):
        name = name or (log if isinstance(log, str) else str(log) if isinstance(log, Path) else "frame")
        log = read_any(log)
    preference = Preference(quality=1.0) if preference is None else preference
    check_preference(preference, merge_objectives(objectives))
    if isinstance(log, OutcomeTable):
        conditions = Conditions(paging=adapter_slots)
        return _of_table(
            log,
            Path(out),
            seeds=seeds,
            preference=preference,
            objectives=objectives,
            budget_usd=budget_usd,
            conditions=conditions,
            executor=executor,
        )
    name = shown_address(name or "decisions")
    if adapter_slots is not None:
        raise InvalidConfigurationError(
            f"{name} is a log of decisions, whose loads are over; leave out adapter_slots (--slots)"
        )
    facts = {"log": name, "decisions": f"{len(log):,}", "arms": ", ".join(log.arms), "preference": str(preference)}
    sections = logged(log, preference=preference, objectives=objectives, budget_usd=budget_usd)
    return page(out, title="Decisions and outcomes", facts=facts, sections=sections, verdict=logged_verdict(log))


def _of_table(
    table: OutcomeTable,
    out: Path,
    *,
    seeds: int,
    preference: Preference,
    objectives: Sequence[Objective],
    budget_usd: float | None,
    conditions: Conditions,
    executor: str,
) -> Path:
    x = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
    learners = {**_LEARNERS, _UNIFORM: Learner(policy=Uniform())}
    traces: dict[str, list[Trace]] = {policy: [] for policy in learners}
    settings: dict[str, Any] = {"preference": preference, "objectives": objectives, "conditions": conditions}
    passes = sweep(table, x, learners=learners, seeds=range(seeds), executor=executor, **settings)
    for trace in tqdm(passes, total=len(learners) * seeds, desc=table.name, unit="pass", disable=None):
        traces[trace.policy].append(trace)
    facts = {
        "log": shown_address(table.name),
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
    return page(
        out,
        title=f"Routing {shown_address(table.name)}",
        facts=facts,
        sections=sections,
        verdict=simulated_verdict(traces, table, preference, objectives),
    )
