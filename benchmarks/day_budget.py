"""Day budgets: what is spent of each day, and who gets the expensive arm at peak and at other hours."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.budgets import Budget
from banditroute.core.arrays import Vector
from banditroute.router import Router
from banditroute.store import MemoryStore

DAY_SECONDS, HOUR_SECONDS = 86_400.0, 3_600.0
MONDAY = 4 * DAY_SECONDS + 2_800 * 7 * DAY_SECONDS
QUALITY = {"small": 0.6, "large": 0.9}
COST_USD = {"small": 0.001, "large": 0.01}
USD_PER_REQUEST = 0.005
LEARNED_DAYS = 3  # from the fourth day on, the day is known
SHAPES = ("flat", "day_and_night", "bursty")


class Cell(NamedTuple):
    """One pass over some days with about so many requests each."""

    shape: str
    requests: int
    days: int
    seed: int


def hourly_shares(shape: str) -> Vector:
    """Return the share of a day's requests in each hour ``(24,)``.

    Examples
    --------
    >>> float(hourly_shares("bursty")[10:12].sum())
    0.8
    """
    hours = np.arange(24)
    if shape == "flat":
        shares = np.ones(24)
    elif shape == "day_and_night":
        shares = np.where((hours >= 8) & (hours < 20), 1.0, 0.1)
    else:
        shares = np.where((hours == 10) | (hours == 11), 0.4, 0.2 / 22)
    found: Vector = shares / shares.sum()
    return found


def serve(cell: Cell) -> dict[str, float]:
    """Return the share of the budget spent on each day, and the shares of the large arm at peak and otherwise."""
    rng = np.random.default_rng(cell.seed)
    shares = hourly_shares(cell.shape)
    at_peak = shares > 0.99 * shares.max()
    now = [MONDAY]
    budget = Budget(usd=USD_PER_REQUEST * cell.requests, per="day")
    figures: dict[str, float] = {}
    chosen: dict[bool, list[bool]] = {True: [], False: []}
    with Router(
        arms=list(QUALITY), features=1, budgets=[budget], store=MemoryStore(), seed=cell.seed, clock=lambda: now[0]
    ) as router:
        for day in range(cell.days):
            spent = 0.0
            for hour, count in enumerate(rng.poisson(cell.requests * shares)):
                for second in np.sort(rng.random(count)) * HOUR_SECONDS:
                    now[0] = MONDAY + day * DAY_SECONDS + hour * HOUR_SECONDS + second
                    decision = router.route([rng.normal()])
                    cost = COST_USD[decision.arm] * rng.exponential()
                    spent += cost
                    right = float(rng.random() < QUALITY[decision.arm])
                    router.feedback(decision.id, quality=right, cost_usd=cost)
                    if day >= LEARNED_DAYS:
                        chosen[bool(at_peak[hour])].append(decision.arm == "large")
            figures[f"spend_ratio_day_{day + 1}"] = spent / budget.amount
    figures["large_share_peak"] = float(np.mean(chosen[True]))
    if chosen[False]:
        figures["large_share_other_hours"] = float(np.mean(chosen[False]))
    return figures


@command(
    options=[
        click.option("--requests", default=1_000, show_default=True, type=click.IntRange(min=24), help="A day."),
        click.option("--days", default=6, show_default=True, type=click.IntRange(min=LEARNED_DAYS + 1)),
    ]
)
def main(*, files: list[Path], seeds: int, requests: int, days: int) -> list[Row]:
    """Share of a day's budget that is spent, from a cold start, and shares of the large arm from the fourth day on.

    The budget pays the large arm for some 44% of the requests. Traffic is flat; or a tenth at night; or 80% of it comes
    within two hours. Requests and costs are random. The worst seed of a spend is the one that spends least.
    """
    cells = [Cell(shape, requests, days, seed) for shape in SHAPES for seed in range(seeds)]
    with ProcessPoolExecutor() as pool:
        results = list(tqdm(pool.map(serve, cells), total=len(cells)))
    found: dict[tuple[str, str], list[float]] = {}
    for cell, figures in zip(cells, results, strict=True):
        for metric, value in figures.items():
            found.setdefault((cell.shape, metric), []).append(value)
    return [row(shape, "banditroute", metric, values) for (shape, metric), values in found.items()]


if __name__ == "__main__":
    main()
