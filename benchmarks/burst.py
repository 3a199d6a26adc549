"""Hard and soft budgets from a cold start: how far one pass goes beyond the budget, and what quality it buys."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import Row, command, priced, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.budgets import Budget
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.features import TextFeatures
from banditroute.router import Router
from banditroute.store import MemoryStore, SQLStore, Store

FACTORS = (1.25, 2.0, 4.0)  # of the mean cost of the cheapest arm: the budget for each request
REQUESTS = 800
ARRIVAL_SECONDS = 0.02  # from one request of a process to its next, where processes share a budget
FIRST_GRANT_REQUESTS = 200  # that a hard budget grants at once
NO_CALL = -1  # instead of an arm: the hard budget covers no call, so none is made
POLICIES = ("banditroute/soft", "banditroute/soft_bounds", "banditroute/hard")


class Cell(NamedTuple):
    """One pass: contexts ``(n, d)``, quality and cost ``(n, K)``, the budget for each request, and a seed."""

    x: Vector
    quality: Vector
    cost: Vector
    most: Vector
    usd: float
    seed: int
    policy: str
    processes: int


def serve(cell: Cell) -> dict[str, float]:
    """Return share of the budget spent, score, and whether the spend was ever beyond what was granted."""
    if cell.processes == 1:
        spent, quality = _serve_part((cell, 0, None))
    else:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'routes.db'}"
            SQLStore(url).close()
            with get_context("spawn").Pool(cell.processes) as pool:
                parts = pool.map(_serve_part, [(cell, k, url) for k in range(cell.processes)], chunksize=1)
        spent, quality = (np.concatenate(each) for each in zip(*parts, strict=True))
    total, n = spent.cumsum(), np.arange(1, len(spent) + 1)
    granted = cell.usd * (np.maximum(n, FIRST_GRANT_REQUESTS) if cell.processes == 1 else len(n))
    return {
        "refused": float((spent == 0.0).mean()),
        "spend_ratio": float(total[-1]) / (cell.usd * len(n)),
        "score": float(quality.mean()),
        "bursts": float((total > granted * (1.0 + 1e-9)).any()),
    }


def _serve_part(part: tuple[Cell, int, str | None]) -> tuple[Vector, Vector]:
    cell, process, url = part
    bounded = cell.policy != "banditroute/soft"
    arms = [Arm(name=str(k), max_cost_usd=float(most) if bounded else None) for k, most in enumerate(cell.most)]
    store: Store = MemoryStore() if url is None else SQLStore(url)
    budget = Budget(usd=cell.usd, hard=cell.policy == "banditroute/hard")
    steps = range(process, len(cell.x), cell.processes)
    chosen = []
    with Router(
        arms=arms, features=cell.x.shape[1], budgets=[budget], store=store, seed=cell.seed * 100 + process
    ) as router:
        for i in steps:
            if url is not None:
                time.sleep(ARRIVAL_SECONDS)
            decision = router.route(cell.x[i])
            k = int(decision.arm) if decision.granted else NO_CALL
            if k != NO_CALL:
                router.feedback(decision.id, quality=cell.quality[i, k], cost_usd=cell.cost[i, k])
            chosen.append(k)
    made = np.not_equal(chosen, NO_CALL)
    return np.where(made, cell.cost[steps, chosen], 0.0), np.where(made, cell.quality[steps, chosen], 0.0)


@command(
    default_files=[
        "cascades9.parquet",
        "nq6.parquet",
        "paretobandit3_extra.parquet",
        "paretobandit3_val.parquet",
        "paretobandit4.parquet",
        "routerbench3.parquet",
    ],
    options=[
        click.option("--processes", default=1, show_default=True, type=click.IntRange(min=1), help="On one database."),
        click.option("--policy", "policies", multiple=True, type=click.Choice(POLICIES), help="Default: all."),
        click.option("--factor", "factors", multiple=True, type=float, help="Of the cheapest arm's mean cost."),
    ],
)
def main(
    *, files: list[Path], seeds: int, processes: int, policies: tuple[str, ...], factors: tuple[float, ...]
) -> list[Row]:
    """Share of the budget spent, score, and bursts of one pass of 800 requests, with feedback at once.

    The budget is for each request: 1.25, 2 and 4 times the mean cost of the cheapest arm. Nothing is known at the
    beginning, but for `soft_bounds` and `hard` the most that a call of each arm can cost. A pass is a burst if at any
    time more was spent than was granted: the budget for each request so far, the first 200 at once. A call that the
    hard budget does not grant is not made: it counts as `refused`, with a quality of 0. With several processes, each
    has a request every 20 ms.
    """
    cells, names = [], []
    for file in files:
        table = priced(file)
        x = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
        quality, cost = table.outcomes["quality"], table.outcomes["cost_usd"]
        for factor in factors or FACTORS:
            for policy in policies or POLICIES:
                for seed in range(seeds):
                    order = np.random.default_rng(seed).permutation(len(x))[:REQUESTS]
                    usd = factor * float(cost.mean(axis=0).min())
                    cells.append(
                        Cell(x[order], quality[order], cost[order], cost.max(axis=0), usd, seed, policy, processes)
                    )
                    names.append((f"{table.name}@{factor:g}", policy))
    found: dict[tuple[str, str, str], list[float]] = {}
    if processes == 1:
        with ProcessPoolExecutor() as pool:
            results = list(tqdm(pool.map(serve, cells), total=len(cells)))
    else:
        results = [serve(cell) for cell in tqdm(cells)]
    for (case, policy), figures in zip(names, results, strict=True):
        for metric, value in figures.items():
            found.setdefault((case, policy, metric), []).append(value)
    return [
        row(case, policy, metric, values, higher_is_better=metric == "score")
        for (case, policy, metric), values in found.items()
    ]


if __name__ == "__main__":
    main()
