"""Chapter 5: the router restarts, continues from its database, and explains a decision."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from banditroute.core.decision import Decision
from banditroute.core.preference import Preference
from banditroute.demo.chapter import Chapter, short
from banditroute.features.base import Featurizer
from banditroute.logs.outcome_table import OutcomeTable
from banditroute.router import Router
from banditroute.store import SQLStore

_REQUESTS = 200


def tell(table: OutcomeTable, features: Featurizer, database: Path) -> Chapter:
    """Serve prompts as a service would, stop, and start again on the same database."""
    with _router(table, features, database) as router:
        before = router.status().learned
        for i in range(before, before + _REQUESTS):
            row = i % len(table)
            decision = router.route(table.prompts[row])
            k = table.arms.index(decision.arm)
            outcomes: dict[str, Any] = {name: float(values[row, k]) for name, values in table.outcomes.items()}
            router.feedback(decision.id, **{name: value for name, value in outcomes.items() if value == value})
    with _router(table, features, database) as router:
        after = router.status().learned
        prompt = table.prompts[after % len(table)]
        next_decision = router.route(prompt)
    return Chapter(
        name="restart",
        title="It remembers, and explains itself.",
        sentence=f"The router kept everything in {database.name}. It was stopped and started again, and continues from "
        "there; so it does when you run this demo again.",
        numbers=[
            ("decisions learned from before", f"{before:,}"),
            ("served in between", f"{_REQUESTS:,}"),
            ("decisions known after the restart", f"{after:,}"),
        ],
        columns=("decisions learned from", "number"),
        rows=[("before", float(before)), ("after the restart", float(after))],
        afterword=f"The next prompt begins {' '.join(prompt.split())[:48]!r}.\n{_explained(next_decision)}\n\n"
        f"Try next:\n  {_command('banditroute')} inspect sqlite:///{database}\n"
        f"  {_command('banditroute')} report sqlite:///{database}\n  {_command('python')} examples/01_serve.py",
    )


def _command(name: str) -> str:
    """Return a program of this Python as a shell here must be given it."""
    program = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if not program.exists() or (found is not None and Path(found) == program):
        return name
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)


def _explained(decision: Decision) -> str:
    """Return what was expected of every arm, the chosen one first; `decision.explain()` says more."""
    lines = [f"{'':<26}{'probability':>11}{'right':>15}{'USD per 1,000':>17}"]
    for row in decision.explain().rows:
        quality, usd = row.predictions["quality"], row.predictions["cost_usd"]
        right = f"{quality[0]:.2f} ± {quality[1]:.2f}"
        cost = f"{1000 * usd[0]:.2f} ± {1000 * usd[1]:.2f}"
        lines.append(f"{short(row.arm):<26}{row.probability:>11.3f}{right:>15}{cost:>17}")
    return "\n".join(lines)


def _router(table: OutcomeTable, features: Featurizer, database: Path) -> Router:
    return Router(
        arms=table.arms,
        features=features,
        preference=Preference(quality=1.0, cost_usd=10.0),
        store=SQLStore(f"sqlite:///{database.resolve()}"),
        name=table.name,  # a router on another log starts from nothing
    )
