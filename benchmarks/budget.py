"""Budgets: what is spent of them and what it buys, beside a static mixture of two arms; then with prices and arms that change."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.features import TextFeatures
from banditroute.learners import Learner, ThompsonSampling
from banditroute.limits import Budget
from banditroute.policies import Uniform
from banditroute.router import Router
from banditroute.simulate.frontier import frontier
from banditroute.simulate.logs import OutcomeTable, read_outcomes
from banditroute.store import MemoryStore
from banditroute.types import Request, Vector

BUDGETS_USD = (2.9e-5, 8.3e-5, 2.3e-4, 6.6e-4, 1.9e-3, 5.3e-3, 1.5e-2)  # per request


class Case:
    """A burn-in and a test: contexts ``(n, d - 1)``, quality and cost ``(n, K)`` of each, for one seed."""

    def __init__(self, tables: list[OutcomeTable], contexts: list[Vector], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.arms, self.seed = tables[0].arms, seed
        orders = [rng.permutation(len(table)) for table in tables]
        if len(tables) == 1:
            half = len(tables[0]) // 2
            tables, contexts, orders = tables * 2, contexts * 2, [orders[0][:half], orders[0][half:]]
        self.x, self.quality, self.cost = (
            [values[order] for values, order in zip(every, orders, strict=True)]
            for every in (contexts, *([t.outcomes[name] for t in tables] for name in ("quality", "cost_usd")))
        )

    def serve(self, budgets: list[Budget]) -> tuple[Vector, Vector]:
        """Quality and cost of each request of the test, after a burn-in with uniform choices."""
        store = MemoryStore(capacity=2 * sum(map(len, self.x)))
        for part, learner in enumerate([Learner(policy=Uniform()), ThompsonSampling()]):
            x, quality, cost = self.x[part], self.quality[part], self.cost[part]
            chosen = []
            with Router(
                arms=self.arms,
                features=x.shape[1],
                learner=learner,
                budgets=budgets if part else [],
                store=store,
                seed=self.seed,
            ) as router:
                for i in range(len(x)):
                    decision = router.route(x[i])
                    k = self.arms.index(decision.arm)
                    router.feedback(decision.id, quality=quality[i, k], cost_usd=cost[i, k])
                    chosen.append(k)
        at = np.arange(len(chosen))
        return self.quality[1][at, chosen], self.cost[1][at, chosen]


def _pace(cell: tuple[Case, float]) -> tuple[float, float, float]:
    """Mean quality, share of the budget that was spent, and quality of the static mixture on the same requests."""
    case, usd = cell
    quality, cost = case.serve([Budget(usd=usd)])
    static = frontier(case.cost[1].mean(axis=0), case.quality[1].mean(axis=0))
    return quality.mean(), cost.mean() / usd, static.at(max(usd, case.cost[1].mean(axis=0).min()))


@command(default_files=["paretobandit3_val.parquet"])
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Quality and share of the budget spent at seven budgets per request: BURN_IN_FILE TEST_FILE, or one FILE in halves.

    Burn-in with uniform choices and bandit feedback on the one, then one pass under the budget on the other, in an
    order drawn from the seed. `static_mix` is the best mixture of two arms that costs no more than the budget, known in
    hindsight from all outcomes of the very requests of the pass; `above_static` what is gained on it.
    """
    if len(files) > 2:
        raise click.UsageError(f"{len(files)} files are given; give BURN_IN_FILE and TEST_FILE, or one to be halved")
    tables = [read_outcomes(file) for file in files]
    contexts = [TextFeatures().transform([Request(text=prompt) for prompt in table.prompts]) for table in tables]
    cases = [Case(tables, contexts, seed) for seed in range(seeds)]
    name = tables[-1].name
    rows: list[Row] = []
    cells = [(case, usd) for usd in BUDGETS_USD for case in cases]
    with ProcessPoolExecutor() as pool:
        found = np.array(list(tqdm(pool.map(_pace, cells), total=len(cells), desc=name)))
    for usd, (quality, spent, static) in zip(BUDGETS_USD, found.reshape(len(BUDGETS_USD), seeds, 3).transpose(0, 2, 1)):
        at = f"{name}@{usd:.1e}"
        rows += [
            row(at, "banditroute", "score_pass", quality),
            row(at, "banditroute", "above_static", quality - static),
            row(at, "banditroute", "spend_ratio", spent, higher_is_better=False),
            row(at, "static_mix", "score_pass", static),
        ]
    return rows


if __name__ == "__main__":
    main()
