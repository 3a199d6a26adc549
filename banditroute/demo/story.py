"""The story: five chapters, each a sentence, three numbers and a picture, told on real answers of real models."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from pathlib import Path

from banditroute.core.request import Request
from banditroute.core.worker_processes import worker_processes
from banditroute.demo import budget, change, look_first, restart, unknown_best
from banditroute.demo.chapter import Chapter
from banditroute.demo.service import Service, Traffic, keep_warnings_out_of_the_story
from banditroute.features import TextFeatures
from banditroute.logs.outcome_table import OutcomeTable
from banditroute.report import page

_WIDTH = 80  # columns of a terminal


def tell(*, table: OutcomeTable, out: Path, seeds: int, echo: Callable[[str], None], show: bool = False) -> Path:
    """Tell the story of a table in the terminal, and write it as a page with a picture for each chapter.

    Parameters
    ----------
    table
        The quality and the cost in dollars of every arm for every prompt.
    out
        Folder for the page, its figures and the database; made where it does not exist.
    seeds
        Number of passes over the prompts, each in an order of its own.
    echo
        Prints a line.
    show
        Whether a browser opens the page.

    Returns
    -------
    Path
        The page.
    """
    out.mkdir(parents=True, exist_ok=True)
    echo(
        f"{len(table):,} real prompts, with the real answers of {len(table.arms)} models and their cost.\n"
        f"Every figure is the mean of {seeds} runs, each over the prompts in another order."
    )
    features = TextFeatures()
    traffic = Traffic.of(table, features.transform([Request(text=prompt) for prompt in table.prompts]))
    chapters: list[Chapter] = []
    with worker_processes(preload=Service.__module__, begin=keep_warnings_out_of_the_story) as submit:
        service = Service(seeds=seeds, submit=submit)
        for number, chapter in enumerate((unknown_best, budget, change, look_first), 1):
            chapters.append(chapter.tell(traffic, service))
            _print(number, chapters[-1], echo)
    chapters.append(restart.tell(table, features, out / "demo.db"))
    _print(len(chapters), chapters[-1], echo)
    written = page(
        out,
        title="Which model should serve each request?",
        facts={"log": f"{table.name}: {len(table):,} prompts, {len(table.arms)} models", "runs": str(seeds)},
        sections=[chapter.section(number) for number, chapter in enumerate(chapters, 1)],
    )
    echo(f"\nThe same story with pictures: {written}")
    if show:
        webbrowser.open(written.resolve().as_uri())
    return written


def _print(number: int, chapter: Chapter, echo: Callable[[str], None]) -> None:
    echo(f"\n{number}. {chapter.title}\n{chapter.text(width=_WIDTH)}")
