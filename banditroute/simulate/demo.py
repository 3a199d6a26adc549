"""The demo: learn on real LLM outcomes, beside what needs no learning; then keep what was learned in a database."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.features import TextFeatures
from banditroute.learners import EpsilonGreedy, Learner, LinUCB, ThompsonSampling
from banditroute.logs import OutcomeTable
from banditroute.policies import Mixture, Uniform
from banditroute.router import Router
from banditroute.simulate.metrics import Row, references, static_mixture, summarize
from banditroute.simulate.plots import draw, text_table
from banditroute.simulate.replay import Trace
from banditroute.simulate.sweep import sweep
from banditroute.store.sql.sql_store import SQLStore

PREFER = Preference(quality=1.0, cost_usd=10.0)
_LIVE_REQUESTS = 200


def run(*, table: OutcomeTable, out: Path, seeds: int, echo: Callable[[str], None]) -> None:
    """Replay a table through every policy, print the table, draw the picture, and serve some requests for real.

    Parameters
    ----------
    table
        What every arm did for every prompt. Static mixtures are shown where it has the cost of every arm for every
        prompt.
    out
        Folder for the picture, the figures and the database; made if it is not there.
    seeds
        How many orders of the requests.
    echo
        Prints a line.
    """
    out.mkdir(parents=True, exist_ok=True)
    echo(f"{len(table):,} prompts with the real answers of {len(table.arms)} models; {PREFER}, {seeds} seeds.\n")
    features = TextFeatures()
    x = features.transform([Request(text=prompt) for prompt in table.prompts])

    traces = _replay(table, x, {"LinUCB": LinUCB(), "ThompsonSampling": ThompsonSampling()}, seeds, "learning ")
    learned = {policy: summarize(table, PREFER, policy, runs) for policy, runs in traces.items()}
    baselines: dict[str, Learner] = {"epsilon-greedy": EpsilonGreedy(), "uniform": Learner(policy=Uniform())}
    for policy, row in learned.items():
        if "cost_usd" in row.objectives:
            shares = static_mixture(table, cost_usd=row.objectives["cost_usd"].mean)
            baselines[f"static mixture at {policy}'s cost"] = Learner(policy=Mixture(shares=shares))
    baseline_traces = _replay(table, x, baselines, seeds, "baselines")
    traces |= {"epsilon-greedy": baseline_traces["epsilon-greedy"]}
    rows = [
        *learned.values(),
        *(summarize(table, PREFER, policy, runs) for policy, runs in baseline_traces.items()),
        *references(table, PREFER),
    ]
    echo(text_table(rows))
    echo("\nregret: utility lost over the pass against the best single arm in hindsight (negative: gained).")
    echo("±: 95% interval over seeds. best arm per task and oracle know what no router knows.")
    _write(out / "figures.json", table, rows)
    draw(out / "demo.png", table=table, preference=PREFER, traces=traces, rows=rows)
    _serve(table, features, out / "demo.db", echo)
    echo(f"\nPicture: {out / 'demo.png'}   figures: {out / 'figures.json'}   learned state: {out / 'demo.db'}")


def _replay(
    table: OutcomeTable, x: Vector, learners: dict[str, Learner], seeds: int, what: str
) -> dict[str, list[Trace]]:
    traces: dict[str, list[Trace]] = {policy: [] for policy in learners}
    cells = sweep(table, x, learners=learners, preference=PREFER, seeds=range(seeds))
    for trace in tqdm(cells, total=len(learners) * seeds, desc=what, unit="pass", disable=None):
        traces[trace.policy].append(trace)
    return traces


def _serve(table: OutcomeTable, features: TextFeatures, database: Path, echo: Callable[[str], None]) -> None:
    """Route prompts as a service would: texts in, feedback back, all of it in SQLite."""
    with Router(
        arms=table.arms,
        features=features,
        preference=PREFER,
        store=SQLStore(f"sqlite:///{database.resolve()}"),
        name=table.name,  # what was learned on another log is not continued
    ) as router:
        before = router.learned
        echo(
            f"\nA router on SQLite: {'continues from' if before else 'begins with'} {before:,} learned outcomes "
            f"in {database.name}, serves {_LIVE_REQUESTS} requests."
        )
        first = before % len(table)
        for i in range(first, first + _LIVE_REQUESTS):
            row = i % len(table)
            decision = router.route(table.prompts[row])
            k = table.arms.index(decision.arm)
            outcome = {name: float(values[row, k]) for name, values in table.outcomes.items()}
            known: dict[str, Any] = {name: value for name, value in outcome.items() if value == value}
            router.feedback(decision.id, **known)
        echo(f"It has learned from {router.learned:,} now. Its next decision, explained:\n")
        prompt = table.prompts[(first + _LIVE_REQUESTS) % len(table)]
        echo(f"  {' '.join(prompt.split())[:100]!r}")
        echo("  " + str(router.route(prompt).explain()).replace("\n", "\n  "))


def _write(path: Path, table: OutcomeTable, rows: list[Row]) -> None:
    document = {
        "log": table.name,
        "prompts": len(table),
        "preference": dict(PREFER),
        "rows": [asdict(row) for row in rows],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
