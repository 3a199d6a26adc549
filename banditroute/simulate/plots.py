"""Print and plot the results of replays: a table, utility over time, and quality against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from banditroute.core.optional_imports import optional
from banditroute.core.preference import Preference
from banditroute.logs import OutcomeTable
from banditroute.simulate.cascades import CascadeRow
from banditroute.simulate.frontier import frontier
from banditroute.simulate.metrics import Estimate, Row, utilities
from banditroute.simulate.replay import Trace

_COLUMNS = {
    "quality": ("quality", "{:.4f}"),
    "cost_usd": ("cost USD", "{:.6f}"),
    "energy_joules": ("energy J", "{:.1f}"),
}
_OF_PAGING = {"hit_rate": ("hit rate", "{:.3f}"), "paged_seconds": ("paging s", "{:.4f}")}


def text_table(rows: Sequence[Row]) -> str:
    """Return a table with means, 95% intervals over seeds, and the share of each arm; "–" is unknown."""
    arms = list(rows[0].shares)
    head = ["policy", *(title for title, _ in _COLUMNS.values()), "utility", "regret", *(_short(arm) for arm in arms)]
    body = []
    for row in rows:
        measured = [
            _cell(row.objectives[name], form) if name in row.objectives else "–" for name, (_, form) in _COLUMNS.items()
        ]
        shares = [f"{row.shares[arm]:.0%}" for arm in arms]
        body.append([row.policy, *measured, _cell(row.utility, "{:.4f}"), _cell(row.regret, "{:.1f}"), *shares])
    return _aligned([head, *body])


def std_table(rows: Sequence[Row]) -> str:
    """Return a table of mean, standard deviation and worst utility over seeds, mean regret and objectives."""
    columns = _COLUMNS | _OF_PAGING
    known = [name for name in columns if any(name in row.objectives for row in rows)]
    head = ["policy", "mean", "std", "worst", "regret", *(columns[name][0] for name in known)]
    body = []
    for row in rows:
        std = [f"{value:.4f}" for value in (row.utility.mean, row.utility.std, row.utility.worst)]
        means = [
            columns[name][1].format(row.objectives[name].mean) if name in row.objectives else "–" for name in known
        ]
        body.append([row.policy, *std, f"{row.regret.mean:.1f}", *means])
    return _aligned([head, *body])


def cascade_table(rows: Sequence[CascadeRow]) -> str:
    """Return a table of mean, standard deviation and worst utility over seeds, and mean quality, cost and calls."""
    body = [
        [
            row.policy,
            *(f"{value:.4f}" for value in (row.utility.mean, row.utility.std, row.utility.worst)),
            f"{row.quality.mean:.4f}",
            f"{row.cost_usd.mean:.3g}",
            f"{row.calls.mean:.2f}",
        ]
        for row in rows
    ]
    return _aligned([["policy", "mean", "std", "worst", "quality", "cost_usd", "calls"], *body])


def _aligned(table: Sequence[Sequence[str]]) -> str:
    """Align the first column to the left and the others to the right, with a rule below the head."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    head, *body = ("  ".join([line[0].ljust(widths[0]), *(map(str.rjust, line[1:], widths[1:]))]) for line in table)
    return "\n".join([head, "-" * len(head), *body])


def _cell(estimate: Estimate, form: str) -> str:
    mean = form.format(estimate.mean)
    return mean if estimate.n == 1 else f"{mean} ± {form.format(estimate.half_width)}"


def _short(arm: str) -> str:
    """Return an arm's name without its vendor."""
    return arm.rsplit("/", 1)[-1]


def draw(
    path: str | Path,
    *,
    table: OutcomeTable,
    preference: Preference,
    traces: Mapping[str, Sequence[Trace]],
    rows: Sequence[Row],
) -> None:
    """Write a PNG: utility gained over the best single arm as requests pass, and quality against cost.

    Bands are 95% intervals over seeds; the dashed line is what mixtures of two arms reach without seeing the prompt.
    Quality against cost is shown where the cost of every arm is known for every prompt.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    optional("matplotlib", extra="plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    value = utilities(table, preference)
    best = float(value.mean(axis=0).max())
    steps = np.arange(1, len(table) + 1)
    for policy, runs in traces.items():
        gained = np.cumsum([run.outcome(value) - best for run in runs], axis=1)
        middle = gained.mean(axis=0)
        band = 1.96 * gained.std(axis=0, ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else np.zeros_like(middle)
        (line,) = left.plot(steps, middle, label=policy, linewidth=1.6)
        left.fill_between(steps, middle - band, middle + band, color=line.get_color(), alpha=0.2, linewidth=0.0)
    left.axhline(0.0, color="0.4", linewidth=0.8)
    left.set_xlabel("requests")
    left.set_ylabel("cumulative utility less that of the best single arm")
    left.set_title("Learning")
    left.legend(frameon=False, fontsize=9)

    costs = table.outcomes.get("cost_usd")
    if costs is not None and costs.sum() > 0.0:  # neither with gaps nor all free, which no logarithmic axis can show
        quality = table.outcomes["quality"].mean(axis=0)
        cost = costs.mean(axis=0)
        hull = frontier(cost, quality)
        # Straight mixtures look curved on a logarithmic axis, so they are drawn in steps.
        corners = np.arange(len(hull.corners))
        at = np.linspace(0.0, len(corners) - 1.0, 400)
        line_cost, line_quality = np.interp(at, corners, hull.cost), np.interp(at, corners, hull.quality)
        right.plot(line_cost, line_quality, "--", color="0.4", linewidth=1.0, label="mixtures of two arms")
        right.scatter(cost, quality, marker="s", color="0.4", s=28)
        for rank, k in enumerate(np.argsort(cost)):
            place = (6, -14) if rank % 2 == 0 else (-6, 8)  # neighbours in cost do not cover each other's names
            right.annotate(
                _short(table.arms[k]), (cost[k], quality[k]), textcoords="offset points", xytext=place, fontsize=8
            )
        by_policy = {row.policy: row for row in rows}
        for policy in traces:
            objectives = by_policy[policy].objectives
            right.errorbar(
                objectives["cost_usd"].mean,
                objectives["quality"].mean,
                xerr=objectives["cost_usd"].half_width,
                yerr=objectives["quality"].half_width,
                fmt="o",
                label=policy,
            )
        right.set_xscale("log")
        right.set_xlabel("mean cost per request (USD, logarithmic)")
        right.set_ylabel("mean quality")
        right.set_title("Quality against cost")
        right.legend(frameon=False, fontsize=9, loc="lower right")
    figure.suptitle(f"{table.name}: {len(table):,} prompts, {len(table.arms)} arms, {preference}", fontsize=11)
    figure.savefig(path, dpi=110, format="png")
