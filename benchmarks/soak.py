"""A router for days on an accelerated clock: whether memory, write-ahead log, rows and files stay bounded."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute import admin
from banditroute.router import Router
from banditroute.store import SQLStore

DECISIONS_PER_SECOND = 100.0  # of the clock
KEPT_SECONDS = 600.0  # of the clock; with feedback twice as long
GROUP = 200  # decisions whose feedback is reported together


def memory_bytes() -> int:
    """What of the process is in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def live(path: Path, decisions: int) -> list[Row]:
    """Route ``decisions``, report four of five, prune, and look now and then."""
    url, now = f"sqlite:///{path}", 1_700_000_000.0
    rng = np.random.default_rng(0)
    log = Path(f"{path}-wal")
    memory: list[int] = []
    files: list[int] = []
    log_bytes: list[int] = []
    rows: list[int] = []
    every = max(GROUP, decisions // 100 // GROUP * GROUP)
    with Router(arms=["a", "b", "c"], features=8, store=SQLStore(url), seed=0, clock=lambda: now) as router:
        for number in tqdm(range(0, decisions, GROUP)):
            ids = []
            for features in rng.normal(size=(GROUP, 8)):
                ids.append(router.route(features, session=f"s{rng.integers(1000)}").id)
                now += 1.0 / DECISIONS_PER_SECOND
            told = rng.random((GROUP, 2))
            reports = (router.afeedback(id, quality=q) for id, (q, u) in zip(ids, told, strict=True) if u < 0.8)
            await asyncio.gather(*reports)
            if number % every == 0:
                admin.prune(url, unanswered_seconds=KEPT_SECONDS, answered_seconds=2 * KEPT_SECONDS, now=now)
                memory.append(memory_bytes())
                files.append(len(list(Path("/proc/self/fd").iterdir())))
                log_bytes.append(log.stat().st_size)
                rows.append(sum(epoch.decisions for epoch in admin.inspect(url)))
        learned = router.status().learned
    (epoch,) = admin.inspect(url)
    warm = len(memory) // 5
    figures = {
        "memory_growth": max(memory[warm:]) / memory[warm] - 1.0,
        "log_mebibytes": max(log_bytes) / 2**20,
        "rows": float(max(rows)),
        "rows_allowed": DECISIONS_PER_SECOND * 2 * KEPT_SECONDS + every,
        "files_growth": float(max(files[warm:]) - files[warm]),
        "differences_from_replay": float(len(admin.verify(url))),
        "lost": float(decisions - epoch.decisions - epoch.pruned + learned - epoch.answered),
    }
    return [row("soak", "banditroute", name, [value], higher_is_better=False) for name, value in figures.items()]


@command(seeds=1, options=[click.option("--decisions", default=100_000, show_default=True)])
def main(*, files: list[Path], seeds: int, decisions: int) -> list[Row]:
    """A SQLite file under 100 decisions a second of an accelerated clock, pruned as it goes. No FILE is read."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(live(Path(folder) / "soak.db", decisions))


if __name__ == "__main__":
    main()
