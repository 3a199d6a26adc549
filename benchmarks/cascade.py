"""Cascades beside single calls: what the best arm's quality costs, with judges that err more or less often."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.core.request import Request
from banditroute.features import TextFeatures
from banditroute.logs import OutcomeTable, read_outcomes
from banditroute.objectives import willingness_to_pay
from banditroute.router import Router
from banditroute.simulate.frontier import frontier
from banditroute.store import MemoryStore

DOLLARS = (0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
"""For a right answer."""
ERRORS = (0.1, 0.2, 0.3)
"""How often the judge is wrong about an answer."""


def serve(table: OutcomeTable, x: np.ndarray, usd: float, error: float | None, seed: int) -> tuple[float, float]:
    """Mean cost of a request and quality of its answer over one cold pass; without a judge for an ``error`` of None."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(table))
    wrong = rng.random(table.outcomes["quality"].shape) < (error or 0.0)
    quality, cost = table.outcomes["quality"], table.outcomes["cost_usd"]
    paid = reached = 0.0
    with Router(
        arms=table.arms, features=x.shape[1], preference=willingness_to_pay(usd), seed=seed, store=MemoryStore()
    ) as router:
        for i in order:
            decision = router.route(x[i])
            while True:
                k = table.arms.index(decision.arm)
                router.feedback(decision.id, cost_usd=cost[i, k])
                paid += cost[i, k]
                if error is None:
                    break
                looks = 1.0 - quality[i, k] if wrong[i, k] else quality[i, k]
                again = router.escalate(decision.id, signal=looks)
                if again is None:
                    break
                decision = again
            router.feedback(decision.id, quality=quality[i, k])
            reached += quality[i, k]
    return paid / len(order), reached / len(order)


@command(
    default_files=["cascades9.parquet", "routerbench3.parquet"],
    options=[click.option("--error", "errors", multiple=True, type=click.FloatRange(0.0, 1.0), default=ERRORS)],
)
def main(*, files: list[Path], seeds: int, errors: Sequence[float]) -> list[Row]:
    """For every FILE that knows the cost of all its arms: what a cascade costs at the best arm's quality.

    A judge says of each answer whether it is right, and errs in a given share of the cases; the router learns what that
    is worth from the quality of final answers alone. One cold pass for each price of a right answer and seed; all
    calls of a request are charged to it. `cost_of_best` is the cost at the quality of the best arm, as a share of that
    arm's own; `cost_of_98_percent` that at 98% of its quality; a policy that does not get there sends some requests to
    the best arm. `aiq` is the mean height of the hull between the costs of the cheapest and the dearest arm.
    """
    rows: list[Row] = []
    for file in files:
        table = read_outcomes(file)
        if np.isnan(table.outcomes.get("cost_usd", np.nan)).any():
            raise click.UsageError(f"{file.name} does not have the cost of every arm for every prompt")
        x = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
        judges: list[float | None] = [None, *errors]
        cells = [(table, x, usd, error, seed) for error in judges for seed in range(seeds) for usd in DOLLARS]
        with ProcessPoolExecutor() as pool:
            found = list(tqdm(pool.map(_cell, cells, chunksize=4), total=len(cells), desc=table.name))
        points = np.array(found).reshape(len(judges), seeds, len(DOLLARS), 2)
        for judge, of_judge in zip(judges, points, strict=True):
            rows += _rows(table, judge, of_judge)
    return rows


def _cell(cell: tuple[OutcomeTable, np.ndarray, float, float | None, int]) -> tuple[float, float]:
    return serve(*cell)


def _rows(table: OutcomeTable, error: float | None, points: np.ndarray) -> list[Row]:
    """Figures of one judge from the cost and quality of each seed and price."""
    case = table.name if error is None else f"{table.name}/judge_errs={error:g}"
    policy = "banditroute" if error is None else "banditroute/cascade"
    price, single = table.outcomes["cost_usd"].mean(axis=0), table.outcomes["quality"].mean(axis=0)
    best = int(single.argmax())
    rows = [
        row(f"{case}@{usd:g}", policy, metric, points[:, k, j], higher_is_better=j == 1)
        for k, usd in enumerate(DOLLARS)
        for j, metric in enumerate(("cost_usd_pass", "score_pass"))
    ]
    lines = [frontier(np.append(p[:, 0], price[best]), np.append(p[:, 1], single[best])) for p in points]
    for metric, share in (("cost_of_best", 1.0), ("cost_of_98_percent", 0.98)):
        costs = [line.cost_of(share * float(single[best])) / float(price[best]) for line in lines]
        rows.append(row(case, policy, metric, costs, higher_is_better=False))
    aiq = [frontier(*p.T).aiq(low=float(price.min()), high=float(price.max())) for p in points]
    return [*rows, row(case, policy, "aiq", aiq)]


if __name__ == "__main__":
    main()
