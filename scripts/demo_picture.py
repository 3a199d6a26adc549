"""Write docs/pictures/, the picture of the README and its figures, from the demo: python scripts/demo_picture.py."""

from __future__ import annotations

import json
from pathlib import Path

from banditroute.core.request import Request
from banditroute.core.worker_processes import worker_processes
from banditroute.demo import budget
from banditroute.demo.chapter import Chapter
from banditroute.demo.service import Service, Traffic, keep_warnings_out_of_the_story
from banditroute.features import TextFeatures
from banditroute.logs import SHIPPED, read_outcomes
from banditroute.report import charts

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
_SEEDS = 20


def chapter(seeds: int) -> Chapter:
    """Return the demo's chapter about the budget, on the shipped log."""
    table = read_outcomes(SHIPPED)
    x = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
    with worker_processes(preload=Service.__module__, begin=keep_warnings_out_of_the_story) as submit:
        return budget.tell(Traffic.of(table, x), Service(seeds=seeds, submit=submit))


def figures(told: Chapter) -> list[dict[str, float]]:
    """Return the rows of the chapter's table."""
    return [
        {name: round(float(value or 0.0), 4) for name, value in zip(told.columns, row, strict=True)}
        for row in told.rows
    ]


if __name__ == "__main__":
    found = chapter(_SEEDS)
    assert found.picture is not None
    (FOLDER / "budget.png").write_bytes(charts.png(found.picture))
    (FOLDER / "budget.json").write_text(json.dumps(figures(found), indent=1) + "\n", encoding="utf-8")
