"""Chapter 5: the router restarts, continues from its database, and explains a decision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from banditroute.core.preference import Preference
from banditroute.demo.chapter import Chapter
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
        explanation = router.route(prompt).explain()
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
        afterword=f"Its next decision, for {' '.join(prompt.split())[:50]!r}:\n{explanation}\n\n"
        f"Try next:\n  banditroute inspect sqlite:///{database}\n  banditroute report sqlite:///{database}\n"
        "  python examples/01_serve.py",
    )


def _router(table: OutcomeTable, features: Featurizer, database: Path) -> Router:
    return Router(
        arms=table.arms,
        features=features,
        preference=Preference(quality=1.0, cost_usd=10.0),
        store=SQLStore(f"sqlite:///{database.resolve()}"),
        name=table.name,  # a router on another log starts from nothing
    )
