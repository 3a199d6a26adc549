"""Sections of a report about policies that were simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.evaluate import Calibration, calibration
from banditroute.learners import Learner
from banditroute.logs import OutcomeTable
from banditroute.objectives.objective import Objective
from banditroute.report import charts
from banditroute.report.adapter_waits import paging_of_traces
from banditroute.report.prequential import prequential_predictions
from banditroute.report.section import Section, Table
from banditroute.simulate.conditions import Conditions
from banditroute.simulate.frontier import frontier
from banditroute.simulate.metrics import Row, estimate, gained, references, summarize, utilities
from banditroute.simulate.replay import Trace

_AS_LOGGED = Conditions.as_logged()
_WINDOW = 200  # requests over which shares and spend are averaged


def simulated(
    table: OutcomeTable,
    x: Vector,
    *,
    traces: Mapping[str, Sequence[Trace]],
    learners: Mapping[str, Learner],
    preference: Preference,
    objectives: Sequence[Objective] = (),
    budget_usd: float | None = None,
    conditions: Conditions = _AS_LOGGED,
) -> list[Section]:
    """Return sections about policies that were replayed on a table.

    Parameters
    ----------
    table
        The outcomes of every arm.
    x
        Contexts of its prompts without bias ``(n, d - 1)``.
    traces
        Policy -> its traces, one for each seed.
    learners
        Policy -> its learner, of those that believe something: their calibration is shown.
    preference
        What the outcomes are worth.
    budget_usd
        What a request may cost on average, where there is a budget.
    conditions
        What they were replayed under; of adapters that are paged, or none.
    """
    own: dict[str, Any] = {"objectives": objectives}
    rows = [summarize(table, preference, policy, runs, conditions=conditions, **own) for policy, runs in traces.items()]
    value = utilities(table, preference, **own)
    reward = {policy: np.array([gained(run, value, preference) for run in runs]) for policy, runs in traces.items()}
    best = int(value.mean(axis=0).argmax())
    load = 0.0 if conditions.paging is None else conditions.paging.seconds(table.arms)[best]
    alone = {policy: np.array([value[run.rows, best] for run in runs]) for policy, runs in traces.items()}
    first = next(iter(traces.values()))[0].rows
    sections = [
        _overview(rows, references(table, preference, conditions=conditions, orders=[first], **own)),
        _utility(reward),
        _regret(
            {policy: alone[policy] - reward[policy] for policy in reward}, preference.get("latency_seconds", 0.0) * load
        ),
    ]
    if conditions.paging is not None:
        sections.append(paging_of_traces(table.arms, traces, conditions.paging))
    if not np.isnan(table.outcomes.get("cost_usd", np.nan)).any():
        sections += [_frontier(table, rows), _spend(table, traces, budget_usd)]
    sections += [_shares(table, policy, runs[0]) for policy, runs in traces.items() if policy in learners]
    return [*sections, _calibration(table, x, traces, learners)]


def _overview(rows: Sequence[Row], others: Sequence[Row]) -> Section:
    objectives = tuple(rows[0].objectives)
    body = [
        (
            row.policy,
            row.utility.mean,
            row.utility.half_width if row.utility.n > 1 else None,
            row.utility.worst,
            row.regret.mean,
            *(row.objectives[name].mean for name in objectives),
        )
        for row in (*rows, *others)
    ]
    columns = ("policy", "utility", "utility ±", "worst seed", "regret", *objectives)
    says = (
        "Means per request over one pass; ± is a 95% interval over seeds. Regret is the utility lost over the pass "
        "against the arm that is best in hindsight. Best per task and oracle know what no router knows."
    )
    return Section(
        name="policies", title="Policies", says=says, table=Table(columns=columns, rows=body, usd=("cost_usd",))
    )


def _utility(reward: Mapping[str, Vector]) -> Section:
    curves = {policy: np.cumsum(runs, axis=1) for policy, runs in reward.items()}
    return Section(
        name="utility",
        title="Total utility",
        says="Total utility so far; bands are 95% intervals over seeds.",
        chart=charts.lines(curves, x="requests", y="total utility"),
        table=_quarters(curves),
    )


def _regret(lost: Mapping[str, Vector], load: float) -> Section:
    """Show the utility that each request lost against the best arm, which paid ``load`` before the first."""
    curves = {policy: np.cumsum(runs, axis=1) - load for policy, runs in lost.items()}
    return Section(
        name="regret",
        title="Cumulative regret",
        says="Utility lost against always choosing the arm that is best in hindsight; below 0 it is gained.",
        chart=charts.lines(curves, x="requests", y="cumulative regret", level={"best single arm": 0.0}),
        table=_quarters(curves),
    )


def _quarters(curves: Mapping[str, Vector]) -> Table:
    at = {f"after {quarter}/4": quarter / 4 for quarter in (1, 2, 3, 4)}
    rows: list[tuple[str | float | None, ...]] = [
        (policy, *(float(values[:, max(int(values.shape[1] * share) - 1, 0)].mean()) for share in at.values()))
        for policy, values in curves.items()
    ]
    return Table(columns=("policy", *at), rows=rows)


def _frontier(table: OutcomeTable, rows: Sequence[Row]) -> Section:
    cost, quality = (table.outcomes[name].mean(axis=0) for name in ("cost_usd", "quality"))
    static = frontier(cost, quality)
    arms = {arm: (float(c), float(q)) for arm, c, q in zip(table.arms, cost, quality, strict=True)}
    points = {row.policy: (row.objectives["cost_usd"].mean, row.objectives["quality"].mean) for row in rows}
    joules = table.outcomes.get("energy_joules")
    energy: dict[str, float] = {}
    if joules is not None and not np.isnan(joules).any():
        energy = dict(zip(table.arms, joules.mean(axis=0).tolist(), strict=True))
    body: list[tuple[str | float | None, ...]] = [
        (
            name,
            spent,
            reached,
            reached - static.at(spent),
            energy.get(name, _mean(rows, name, "energy_joules")),
        )
        for name, (spent, reached) in (points | arms).items()
    ]
    return Section(
        name="frontier",
        title="Quality against cost and energy",
        says="The dashed line is what mixtures of two arms reach without seeing the prompt, known in hindsight.",
        chart=charts.trade_off(points, arms, static),
        table=Table(
            columns=("policy or arm", "cost_usd", "quality", "above mixtures", "energy_joules"),
            rows=body,
            usd=("cost_usd",),
        ),
    )


def _mean(rows: Sequence[Row], policy: str, objective: str) -> float | None:
    known = next((row.objectives for row in rows if row.policy == policy), {})
    return known[objective].mean if objective in known else None


def _spend(table: OutcomeTable, traces: Mapping[str, Sequence[Trace]], budget_usd: float | None) -> Section:
    cost = table.outcomes["cost_usd"]
    curves = {
        policy: 1_000.0 * np.array([charts.averaged(run.outcome(cost), _WINDOW) for run in runs])
        for policy, runs in traces.items()
    }
    level = {} if budget_usd is None else {"budget": 1_000.0 * budget_usd}
    spent = {policy: np.mean([run.outcome(cost).mean() for run in runs]) for policy, runs in traces.items()}
    body = [(name, float(usd), None if budget_usd is None else float(usd / budget_usd)) for name, usd in spent.items()]
    return Section(
        name="spend",
        title="Pace of spending",
        says=f"Dollars per 1,000 requests, over the latest {_WINDOW}" + ("; dashed: the budget." if level else "."),
        chart=charts.lines(curves, x="requests", y="USD per 1,000 requests", level=level),
        table=Table(columns=("policy", "cost_usd", "share of the budget"), rows=body, usd=("cost_usd",)),
    )


def _shares(table: OutcomeTable, policy: str, run: Trace) -> Section:
    """Show one seed: over many, a collapse on different arms would look like an even mixture."""
    parts = {arm: charts.averaged(run.chosen == k, _WINDOW) for k, arm in enumerate(table.arms)}
    body = [(arm, float((run.chosen == k).mean()), float(parts[arm][-1])) for k, arm in enumerate(table.arms)]
    last = np.array([part[-1] for part in parts.values()])
    entropy = float(-(last[last > 0.0] * np.log(last[last > 0.0])).sum() / np.log(max(len(last), 2)))
    return Section(
        name=f"shares-{policy.lower().replace(' ', '-')}",
        title=f"Arms over time: {policy}",
        says=f"Shares of the latest {_WINDOW} requests, seed {run.seed}. Entropy at the end: {entropy:.2f}; it is 1 "
        "if all arms are used equally, and 0 if a single one is left.",
        chart=charts.shares(parts, x="requests"),
        table=Table(columns=("arm", "share of all", f"share of the last {_WINDOW}"), rows=body),
    )


def _calibration(
    table: OutcomeTable, x: Vector, traces: Mapping[str, Sequence[Trace]], learners: Mapping[str, Learner]
) -> Section:
    contexts = np.column_stack([x, np.ones(len(x))])
    curves: dict[str, Calibration] = {}
    body: list[tuple[str | float | None, ...]] = []
    for policy, learner in learners.items():
        expected, observed = [], []
        for run in traces[policy]:
            quality = run.outcome(table.outcomes["quality"])
            expected.append(
                prequential_predictions(learner.belief, table.arms, contexts[run.rows], run.chosen, quality)
            )
            observed.append(quality)
        found = calibration(np.concatenate(expected), np.concatenate(observed), low=0.0, high=1.0)
        curves[policy] = found
        bins = zip(found.predicted.tolist(), found.observed.tolist(), found.rows.tolist(), strict=True)
        body += [(policy, a, b, float(n), found.error) for a, b, n in bins]
    columns = ("policy", "expected", "observed", "answers", "calibration error of the policy")
    return Section(
        name="calibration",
        title="Calibration",
        says="Expected and observed quality, in ten bins of equally many answers; the dashed line would be perfect. "
        "Bars are 95% bounds; they take answers of several seeds for independent.",
        chart=charts.calibration(curves),
        table=Table(columns=columns, rows=body),
    )


def verdict(
    traces: Mapping[str, Sequence[Trace]],
    table: OutcomeTable,
    preference: Preference,
    objectives: Sequence[Objective] = (),
) -> str:
    """Return the answer of a page about policies: the best of them against the arm that is best in hindsight."""
    value = utilities(table, preference, objectives=objectives)
    best = int(value.mean(axis=0).argmax())
    alone = np.nanmean(value[:, best])
    means = {
        policy: np.array([gained(run, value, preference).mean() for run in runs]) for policy, runs in traces.items()
    }
    policy = max(means, key=lambda name: float(means[name].mean()))
    found = estimate(means[policy] - alone)
    error = f" ± {found.half_width:.4f}" if found.n > 1 else ""
    return (
        f"{policy} reaches a mean utility of {means[policy].mean():.4f}, {found.mean:+.4f}{error} against always "
        f"{table.arms[best]}, the arm that is best in hindsight ({alone:.4f})."
    )
