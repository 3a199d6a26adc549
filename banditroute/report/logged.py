"""What a log of decisions shows, as sections of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.evaluate import arm_use, calibration, with_answers
from banditroute.learners import ThompsonSampling
from banditroute.logs import DecisionLog
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import table as objective_table
from banditroute.report import charts
from banditroute.report.adapter_waits import paging_of_log
from banditroute.report.prequential import prequential_predictions
from banditroute.report.section import Section, Table
from banditroute.store.outcomes import reported

_WINDOW = 200  # decisions over which outcomes and shares are averaged


def logged(log: DecisionLog, *, preference: Preference, budget_usd: float | None = None) -> list[Section]:
    """Sections about decisions that were made.

    Parameters
    ----------
    log
        At least one decision.
    preference
        What the outcomes are worth; of those that the log has.
    budget_usd
        What a request may cost on average, where there is a budget.
    """
    paging = paging_of_log(log, preference=preference)
    log = replace(log, outcomes=with_answers(reported(log.outcomes)))
    known = objective_table([Objective(name=name, higher_is_better=True) for name in _own(log)])
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
            sections.append(_calibration(log.arms, log.contexts[usable], log.chosen[usable], quality[usable]))
    return [*sections, *paging]


def _own(log: DecisionLog) -> Sequence[str]:
    """Objectives of the user's own; in a log nothing says which way they are better."""
    return [name for name in log.outcomes if name.isidentifier() and name not in objective_table([])]


def _arms(log: DecisionLog) -> Section:
    rows: list[tuple[str | float | None, ...]] = []
    for k, arm in enumerate(log.arms):
        mine = log.chosen == k
        means = (_mean(values[mine]) for values in log.outcomes.values())
        rows.append((arm, float(mine.sum()), float(mine.mean()), *means))
    every = (_mean(values) for values in log.outcomes.values())
    rows.append(("all", float(len(log)), 1.0, *every))
    return Section(
        name="arms",
        title="Arms",
        says="Means of what was reported. Arms were asked different things: who is better they do not say.",
        table=Table(columns=("arm", "decisions", "share", *log.outcomes), rows=rows),
    )


def _shares(log: DecisionLog) -> Section:
    use = arm_use(log.chosen, log.arms)
    parts = {arm: charts.averaged(log.chosen == k, _WINDOW) for k, arm in enumerate(log.arms)}
    says = (
        f"Shares of the latest {_WINDOW} decisions. They use {use.recently:.1f} arms of {len(log.arms)}, as by entropy."
    )
    return Section(
        name="shares",
        title="Who was asked",
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
    had = np.asarray(utility)[answered]
    curves = {"logged": np.cumsum(had)[None, :]} if len(had) else {}
    return Section(
        name="utility",
        title="Cumulative utility",
        says=f"Over the {len(had):,} decisions of {len(log):,} whose outcomes are all known.",
        chart=charts.lines(curves, x="decisions with feedback", y="cumulative utility") if curves else None,
        table=Table(columns=("mean utility", "decisions with feedback"), rows=[(_mean(had), float(len(had)))]),
    )


def _outcome(log: DecisionLog, name: str, budget: float | None) -> Section:
    values = log.outcomes[name]
    had = values[~np.isnan(values)]
    half = len(had) // 2
    rows: list[tuple[str | float | None, ...]] = [
        (name, float(len(had)), float(had.sum()), _mean(had), _mean(had[:half]), _mean(had[half:]), budget)
    ]
    return Section(
        name=f"over-time-{name}",
        title=f"{name} over time",
        says=f"Mean of the latest {_WINDOW} that were reported"
        + ("." if budget is None else ", beside what a request may cost on average."),
        chart=charts.lines(
            {name: charts.averaged(had, _WINDOW)[None, :]},
            x="decisions with feedback",
            y=name,
            level=None if budget is None else {"budget": budget},
        ),
        table=Table(columns=("outcome", "reported", "sum", "mean", "first half", "second half", "budget"), rows=rows),
    )


def _calibration(arms: Sequence[str], x: Vector, chosen: NDArray[np.intp], quality: Vector) -> Section:
    found = calibration(prequential_predictions(ThompsonSampling().belief, arms, x, chosen, quality), quality)
    return Section(
        name="calibration",
        title="Calibration",
        says="Quality that the default belief, learning along the log, expected before each outcome, and what came, in "
        f"equally filled bins. Expected calibration error: {found.error:.3f}.",
        chart=charts.calibration({"default belief": (found.predicted, found.observed)}),
        table=Table(
            columns=("expected", "observed", "answers"),
            rows=[
                (float(a), float(b), float(n))
                for a, b, n in zip(found.predicted, found.observed, found.rows, strict=True)
            ],
        ),
    )


def _mean(values: Vector) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
