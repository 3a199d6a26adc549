"""Sections of a report about a log of decisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.evaluate import (
    Reporting,
    arm_use,
    calibration,
    cost_of_pass,
    dollars,
    reporting,
    savings,
    with_answers,
    with_contexts,
)
from banditroute.learners import ThompsonSampling
from banditroute.logs import DecisionLog
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import merge_objectives
from banditroute.report import charts
from banditroute.report.adapter_waits import paging_of_log
from banditroute.report.prequential import prequential_predictions
from banditroute.report.section import Section, Table
from banditroute.store.outcomes import reported

_WINDOW = 200  # decisions over which outcomes and shares are averaged


def logged(
    log: DecisionLog,
    *,
    preference: Preference,
    objectives: Sequence[Objective] = (),
    budget_usd: float | None = None,
) -> list[Section]:
    """Return sections about decisions that were made.

    Parameters
    ----------
    log
        At least one decision.
    preference
        Weights of the objectives in the utility; those that the log does not have are left out.
    objectives
        The user's own objectives.
    budget_usd
        Mean dollars that a request may cost, where there is a budget.
    """
    paging = paging_of_log(log, preference=preference)
    log, contexts = with_contexts(replace(log, outcomes=with_answers(reported(log.outcomes))))
    known = merge_objectives(objectives)
    worth = {name: weight * known[name].sign for name, weight in preference.items() if name in log.outcomes}
    sections = [_arms(log), _shares(log)]
    if worth:
        sections.append(_utility(log, worth))
    sections += [
        _outcome(log, name, budget_usd if name == "cost_usd" else None)
        for name, values in log.outcomes.items()
        if not np.isnan(values).all()
    ]
    quality = log.outcomes.get("quality")
    if log.contexts is not None and quality is not None:
        usable = ~np.isnan(log.contexts).any(axis=1)
        if not np.isnan(quality[usable]).all():
            sections.append(_calibration(log.arms, log.contexts[usable], log.chosen[usable], quality[usable], contexts))
    return [*sections, *paging]


def verdict(log: DecisionLog) -> str:
    """Return the answer of a page about decisions: how many, how good, what they cost, and what was saved."""
    known = {name: float(np.nanmean(values)) for name, values in log.outcomes.items() if not np.isnan(values).all()}
    parts = [f"{len(log):,} decisions between {len(log.arms)} arms"]
    if "quality" in known:
        parts.append(f"mean quality {known['quality']:.3f}")
    if "cost_usd" in known:
        parts.append(f"{dollars(1_000.0 * known['cost_usd'])} per 1,000 requests")
    said = [", ".join(parts) + "."]
    costs = log.outcomes.get("cost_usd")
    if costs is not None and log.propensities is not None and "cost_usd" in known:
        means = [_mean(costs[log.chosen == k]) for k in range(len(log.arms))]
        baseline = log.arms[max(range(len(means)), key=lambda k: means[k] or 0.0)]
        said.append(savings(log, baseline=baseline, features="none").verdict)
    if (warning := _feedback(log).warning) is not None:
        said.append(f"Warning: {warning}.")
    if (alarm := arm_use(log.chosen, log.arms).alarm) is not None:
        said.append(f"Alarm: {alarm}.")
    return " ".join(said)


def _feedback(log: DecisionLog) -> Reporting:
    known = [~np.isnan(values) for name, values in log.outcomes.items() if " " not in name]
    return reporting(np.logical_or.reduce(known, axis=0) if known else np.zeros(len(log), bool), log.chosen, log.arms)


def _arms(log: DecisionLog) -> Section:
    feedback = _feedback(log)
    rows: list[tuple[str | float | None, ...]] = []
    for k, arm in enumerate(log.arms):
        mine = log.chosen == k
        rows.append((arm, float(mine.sum()), float(mine.mean()), feedback.shares[arm], *_figures(log, mine)))
    answered = sum(float(row[1] or 0.0) * float(row[3] or 0.0) for row in rows) / max(len(log), 1)
    rows.append(("all", float(len(log)), 1.0, answered, *_figures(log, np.ones(len(log), bool))))
    warning = "" if feedback.warning is None else f" Warning: {feedback.warning}."
    return Section(
        name="arms",
        title="Arms",
        says="Averages of reported outcomes, and the share of decisions with feedback. Each arm saw different "
        f"requests, so these averages do not rank the arms.{warning}",
        table=Table(
            columns=("arm", "decisions", "share", "with feedback", *log.outcomes, *_costs_of_pass(log)),
            rows=rows,
            usd=("cost_usd",),
        ),
    )


def _costs_of_pass(log: DecisionLog) -> dict[str, str]:
    """Return column -> the objective whose cost of a right answer it shows."""
    known = {"USD per right answer": "cost_usd", "joules per right answer": "energy_joules"}
    return {column: name for column, name in known.items() if {name, "quality"} <= log.outcomes.keys()}


def _figures(log: DecisionLog, mine: NDArray[np.bool_]) -> list[float | None]:
    """Return the mean of each outcome over some decisions, and the costs of a right answer."""
    figures = [_mean(values[mine]) for values in log.outcomes.values()]
    for name in _costs_of_pass(log).values():
        cost = cost_of_pass(log.outcomes["quality"][mine], log.outcomes[name][mine])
        figures.append(cost if math.isfinite(cost) else None)
    return figures


def _shares(log: DecisionLog) -> Section:
    use = arm_use(log.chosen, log.arms)
    parts = {arm: charts.averaged(log.chosen == k, _WINDOW) for k, arm in enumerate(log.arms)}
    says = (
        f"Shares of the latest {_WINDOW} decisions. Traffic is distributed as over {use.recently:.1f} equally "
        f"used arms of {len(log.arms)}."
    )
    return Section(
        name="shares",
        title="Arms over time",
        says=says if use.alarm is None else f"{says} Alarm: {use.alarm}.",
        chart=charts.shares(parts, x="decisions"),
        table=Table(
            columns=("arm", "share of all", f"share of the last {_WINDOW}"),
            rows=[(arm, share, float(parts[arm][-1])) for arm, share in use.shares.items()],
        ),
    )


def _utility(log: DecisionLog, worth: dict[str, float]) -> Section:
    utility = sum(weight * log.outcomes[name] for name, weight in worth.items())
    answered = ~np.isnan(utility)
    gained = np.asarray(utility)[answered]
    curves = {"logged": np.cumsum(gained)[None, :]} if len(gained) else {}
    return Section(
        name="utility",
        title="Total utility",
        says=f"Total utility so far, over the {len(gained):,} of {len(log):,} decisions whose outcomes are all known.",
        chart=charts.lines(curves, x="decisions with feedback", y="total utility") if curves else None,
        table=Table(columns=("mean utility", "decisions with feedback"), rows=[(_mean(gained), float(len(gained)))]),
    )


def _outcome(log: DecisionLog, name: str, budget: float | None) -> Section:
    values = log.outcomes[name]
    known = values[~np.isnan(values)]
    half = len(known) // 2
    cost = name == "cost_usd"
    scale = 1_000.0 if cost else 1.0
    rows: list[tuple[str | float | None, ...]] = [
        (name, float(len(known)), float(known.sum()), _mean(known), _mean(known[:half]), _mean(known[half:]), budget)
    ]
    return Section(
        name=f"over-time-{name}",
        title=f"{name} over time",
        says=f"Mean of the latest {_WINDOW} reported values"
        + ("." if budget is None else "; the dashed line is the budget per request."),
        chart=charts.lines(
            {name: scale * charts.averaged(known, _WINDOW)[None, :]},
            x="decisions with feedback",
            y="USD per 1,000 requests" if cost else name,
            level=None if budget is None else {"budget": scale * budget},
        ),
        table=Table(
            columns=("outcome", "reported", "sum", "mean", "first half", "second half", "budget"),
            rows=rows,
            usd=("mean", "first half", "second half", "budget") if cost else (),
        ),
    )


def _calibration(arms: Sequence[str], x: Vector, chosen: NDArray[np.intp], quality: Vector, contexts: str) -> Section:
    expected = prequential_predictions(ThompsonSampling().belief, arms, x, chosen, quality)
    found = calibration(expected, quality, low=0.0, high=1.0)
    return Section(
        name="calibration",
        title="Calibration",
        says="Quality that the default belief expected before each outcome, learning along the log, and mean quality "
        f"that was observed, in bins of equally many rows; bars are 95% bounds. Contexts: {contexts}. Expected "
        f"calibration error: {found.error:.3f}.",
        chart=charts.calibration({"default belief": found}),
        table=Table(
            columns=("expected", "observed", "lower", "upper", "answers"),
            rows=np.column_stack([found.predicted, found.observed, found.lower, found.upper, found.rows]).tolist(),
        ),
    )


def _mean(values: Vector) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
