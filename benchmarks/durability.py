"""What is lost when processes, migrations and the server are killed, and when a write-ahead log is cut or damaged."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
from alembic import command as alembic
from sqlalchemy import inspect
from tqdm import tqdm

from banditroute.errors import StoreError
from banditroute.store import SQLStore
from banditroute.store.sql import migrations
from banditroute.store.sql.database import database_at, parse
from banditroute.store.sql.schema import REVISION, VERSION_TABLE, metadata
from banditroute.testing.samples import decision, event, feedback, fold, remembered, summed
from benchmarks.crash import Finding, examine, fork, kill_cycle, opened, write_for_ever
from benchmarks.server import Server, server


def kills(url: str, cycles: int, rng: random.Random) -> Finding:
    """Kill writers and a folder in every cycle; examined every 50 cycles and at the end."""
    acknowledged: list[int] = []
    total = Finding(0, 0, 0)
    for cycle in tqdm(range(cycles), desc=url.split(":")[0]):
        acknowledged += kill_cycle(url, cycle, rng)
        if cycle % 50 == 49 or cycle == cycles - 1:
            total = worst(total, examine(url, acknowledged))
    click.echo(f"{len(acknowledged):,} acknowledged in {cycles} cycles")
    return total


def crashes(running: Server, cycles: int, rng: random.Random) -> Finding:
    """Stop the server at once while three processes write."""
    url = running.database()
    acknowledged: list[int] = []
    total = Finding(0, 0, 0)
    for cycle in tqdm(range(cycles), desc="server"):
        children = [fork(write_for_ever(url, (cycle * 3 + each) * 1_000_000)) for each in range(3)]
        time.sleep(rng.uniform(0.2, 0.6))
        running.crash()
        acknowledged += [number for child in children for number in child.kill()]
        running.start()
        total = worst(total, examine(url, acknowledged))
    return total


def killed_upgrade(url: str, rng: random.Random) -> bool:
    """Kill an upgrade from the first schema at a random moment; whether it was all or nothing, and can be repeated."""
    database = database_at(parse(url))
    with database.engine.begin() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        alembic.upgrade(config, "0001")
    child = fork(lambda tell: database_at(parse(url)).upgrade())
    time.sleep(rng.uniform(0.0, 0.15))
    child.kill()
    with database.engine.connect() as connection:
        there = {"0001": 5, REVISION: len(metadata.tables)}[database.revision(connection) or ""]
        whole = len([name for name in inspect(connection).get_table_names() if name != VERSION_TABLE]) == there
    database.upgrade()
    opened(url).close()
    return whole


def damaged_log(folder: Path, rng: random.Random, flip: bool) -> str:
    """Cut the write-ahead log at a random byte or flip one of its bits, and open: "prefix", "refused" or "silent"."""
    copy = folder / "copy.db"
    for ending in ("", "-wal"):
        shutil.copy(folder / f"whole.db{ending}", f"{copy}{ending}")
    (folder / "copy.db-shm").unlink(missing_ok=True)
    log = Path(f"{copy}-wal")
    content = bytearray(log.read_bytes())
    if flip:
        at = rng.randrange(8 * len(content))
        content[at // 8] ^= 1 << at % 8
    else:
        del content[rng.randrange(len(content)) :]
    log.write_bytes(content)
    store = SQLStore(f"sqlite:///{copy}")
    try:
        memory = store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    except StoreError:
        return "refused"
    store.close()
    told = memory.feedback
    prefix = summed(event(number, quality=1.0) for number in range(told))
    return "prefix" if remembered(memory) == prefix and told <= memory.decisions else "silent"


def write_log(folder: Path) -> None:
    """A database whose commits are in its log: the writer was killed."""
    url = f"sqlite:///{folder / 'whole.db'}"
    opened(url).close()

    def work(tell: Callable[[int], None]) -> None:
        store = opened(url)
        for number in range(300):
            store.add_decision(decision(number))
            store.add_feedback(feedback(number, quality=1.0)).result()
        tell(1)
        time.sleep(60.0)

    child = fork(work)
    os.read(child.pipe, 8)
    child.kill()


def worst(one: Finding, other: Finding) -> Finding:
    return Finding(max(one.lost, other.lost), max(one.twice, other.twice), max(one.wrong, other.wrong))


_options = [
    click.option("--cycles", default=50, show_default=True, help="Kills for each database."),
    click.option("--crashes", "stops", default=5, show_default=True, help="Immediate stops of the server."),
    click.option("--cuts", default=100, show_default=True, help="Write-ahead logs cut, and as many flipped."),
]


@command(seeds=1, options=_options)
def main(*, files: list[Path], seeds: int, cycles: int, stops: int, cuts: int) -> list[Row]:
    """Kill -9 of writers, folders and upgrades, immediate stops of the server, cut and flipped logs; reads no FILE."""
    rows: list[Row] = []

    def note(case: str, finding: Finding, n: int) -> None:
        for metric, value in vars(finding).items():
            made = row(case, "banditroute", metric, [float(value)], higher_is_better=False)
            rows.append(Row(**{**vars(made), "n": n}))

    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name, server() as running:
        folder = Path(name)
        note("kill_sqlite", kills(f"sqlite:///{folder / 'kill.db'}", cycles, rng), cycles)
        note("kill_postgresql", kills(running.database(), cycles, rng), cycles)
        note("crash_postgresql", crashes(running, stops, rng), stops)
        upgrades = max(1, cycles // 5)
        for case in ("upgrade_sqlite", "upgrade_postgresql"):
            wrong = 0
            for number in tqdm(range(upgrades), desc=case):
                sqlite = f"sqlite:///{folder / f'{number}.db'}"
                url = sqlite if case == "upgrade_sqlite" else running.database(upgraded=False)
                wrong += not killed_upgrade(url, rng)
            note(case, Finding(lost=0, twice=0, wrong=wrong), upgrades)
        write_log(folder)
        for case, flip in (("log_cut", False), ("log_flipped", True)):
            found = [damaged_log(folder, rng, flip) for _ in tqdm(range(cuts), desc=case)]
            rows += [
                Row(**{**vars(row(case, "banditroute", kind, [float(found.count(kind))])), "n": cuts})
                for kind in ("prefix", "refused", "silent")
            ]
    return rows


if __name__ == "__main__":
    main()
