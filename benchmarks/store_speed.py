"""Pairs of decision and feedback a second, beside a bare SQLAlchemy loop; and events folded a second."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from sqlalchemy import Connection
from tqdm import tqdm

from banditroute.beliefs import Linear
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.router.sources import fold_with
from banditroute.store import SQLStore
from banditroute.store.sql import folding, log
from banditroute.store.sql.database import database_at, parse
from banditroute.store.sql.session import Session
from banditroute.testing.samples import decision, feedback
from benchmarks.server import server

DIMENSION = 64
ARMS = 4
FOLD = 1024  # events of one fold
_x = np.random.default_rng(0).normal(size=(256, DIMENSION))
_numbers = count()


def made() -> tuple[Decision, Feedback]:
    """A new decision with 64 features, and its feedback."""
    number = next(_numbers)
    one = decision(number, arm=f"arm-{number % ARMS}", x=_x[number % len(_x)])
    return one, feedback(number, quality=float(number % 2))


def per_second(group: int, repeats: int, step: Callable[[], None]) -> float:
    gc.collect()  # so that none of what was made before is looked for meanwhile
    begin = time.perf_counter()
    for _ in range(repeats):
        step()
    return group * repeats / (time.perf_counter() - begin)


def bare(url: str, group: int, repeats: int) -> float:
    """The same rows by the same statements in a plain loop: for one pair two commits, for a group one."""
    database = database_at(parse(url))
    with database.engine.connect() as connection:
        with database.writing(connection):
            epoch, _ = log.begin_epoch(
                connection, router="bare", features_version="1", dimension=DIMENSION, fold_settings=""
            )

        def add(work: Callable[[Connection], object]) -> None:
            with database.writing(connection):
                work(connection)

        def rows(parts: list[Feedback]) -> list[dict[str, object]]:
            same = {"objective": "quality", "epoch_id": epoch}
            return [
                {"decision_id": p.decision_id, "value": p.values["quality"], "received_at": p.received_at, **same}
                for p in parts
            ]

        def step() -> None:
            pairs = [made() for _ in range(group)]
            decisions, parts = [(one, None) for one, _ in pairs], [part for _, part in pairs]
            if group == 1:
                add(lambda c: log.add_decisions(c, epoch, decisions))
                add(lambda c: c.execute(log.feedback.insert(), rows(parts)))
            else:

                def both(c: Connection) -> None:
                    log.add_decisions(c, epoch, decisions)
                    c.execute(log.feedback.insert(), rows(parts))

                add(both)

        return per_second(group, repeats, step)


def ours(url: str, group: int, repeats: int) -> float:
    """Through the store: each feedback acknowledged alone, or a group of them waited for together."""
    store = SQLStore(url, durability="all" if group == 1 else "feedback")  # so that both commit twice
    store.open(router="ours", arms=(), features_version="1", dimension=DIMENSION, fold=fold_with(Linear()))

    def step() -> None:
        pairs = [made() for _ in range(group)]
        for one, _ in pairs:
            store.add_decision(one)
        for ticket in [store.add_feedback(part) for _, part in pairs]:
            ticket.result()

    figure = per_second(group, repeats, step)
    store.close()
    return figure


def folded(url: str, events: int) -> float:
    """Events folded a second, with 64 features."""
    database = database_at(parse(url))
    settings = {"router": "fold", "features_version": "1", "dimension": DIMENSION}
    ledger = Session(database, fold=fold_with(Linear()), **settings)  # type: ignore[arg-type]
    ledger.begin(())
    for _ in range(events // 500):
        pairs = [made() for _ in range(500)]
        ledger.add([(one, None) for one, _ in pairs], {}, {}, [part for _, part in pairs])
    if url.startswith("postgresql"):
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")  # what autovacuum does in time
    begin = time.perf_counter()
    with database.engine.connect() as connection:
        for _ in range(events // FOLD):
            with database.writing(connection):
                folding.fold_pending(connection, 1, fold_with(Linear()), limit=FOLD, expected=None, wait=True)
    figure = events / (time.perf_counter() - begin)
    ledger.close()
    return figure


@command(
    seeds=3,
    options=[
        click.option("--singles", default=200, show_default=True, help="Pairs that are committed alone."),
        click.option("--groups", default=20, show_default=True, help="Groups of 128 pairs."),
        click.option("--events", default=8192, show_default=True, help="Events to fold."),
    ],
)
def main(*, files: list[Path], seeds: int, singles: int, groups: int, events: int) -> list[Row]:
    """Throughput of the store on SQLite and PostgreSQL; the bare loop and ours take turns. No FILE is read."""
    figures: dict[tuple[str, str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name, server() as running:
        places = places_in(Path(name), running.database)
        for _ in tqdm(range(seeds)):
            for case, place in places:
                for metric, group, repeats in (("single", 1, singles), ("grouped", 128, groups)):
                    plain = bare(place(), group, repeats)
                    store = ours(place(), group, repeats)
                    figures.setdefault((case, "bare", f"{metric}_pairs_per_second"), []).append(plain)
                    figures.setdefault((case, "banditroute", f"{metric}_pairs_per_second"), []).append(store)
                    figures.setdefault((case, "banditroute", f"{metric}_ratio"), []).append(store / plain)
                fold = folded(place(), events)
                figures.setdefault((case, "banditroute", "folded_events_per_second"), []).append(fold)
    return [row(*key, values) for key, values in figures.items()]


def places_in(folder: Path, database: Callable[[], str]) -> list[tuple[str, Callable[[], str]]]:
    """How to make a new place of each kind."""
    numbers: Iterator[int] = count()

    def sqlite() -> str:
        url = f"sqlite:///{folder / f'{next(numbers)}.db'}"
        database_at(parse(url)).prepare()
        return url

    return [("sqlite", sqlite), ("postgresql", database)]


if __name__ == "__main__":
    main()
