"""Robustness of the default router: how often the writing of a prompt flips its choice, and what a margin costs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip
from tqdm import tqdm

from banditroute import Preference, Router, SQLStore
from banditroute.evaluate import Robustness, robustness
from banditroute.logs import OutcomeTable, read_outcomes

LEARNED = 1_500  # prompts that are routed and graded before the router is asked, at most three of four
PREFERENCE = Preference(quality=1.0, cost_usd=100.0)


def measured(table: OutcomeTable, seed: int, folder: Path) -> Robustness:
    """Return the flips on the prompts of a table that a fresh router did not learn from."""
    url = f"sqlite:///{folder / f'{table.name}-{seed}.db'}"
    order = np.random.default_rng(seed).permutation(len(table))
    learned = min(LEARNED, 3 * len(table) // 4)
    costs = table.outcomes.get("cost_usd")
    with Router(arms=list(table.arms), store=SQLStore(url), preference=PREFERENCE, seed=seed) as router:
        for i in order[:learned]:
            made = router.route(table.prompts[i])
            k = table.arms.index(made.arm)
            cost = {} if costs is None else {"cost_usd": float(costs[i, k])}
            router.feedback(made.id, quality=float(table.outcomes["quality"][i, k]), **cost)
    rest = order[learned:]
    quality = table.outcomes["quality"][rest]
    return robustness(
        url,
        [table.prompts[i] for i in rest],
        categories=[table.tasks[i] for i in rest],
        quality=dict(zip(table.arms, quality.T, strict=True)),
    )


@command(default_files=("cascades9.parquet", "llmrouter9.parquet"))
def main(*, files: Sequence[Path], seeds: int) -> list[Row]:
    """Measure the flips of the default router by each change of the writing, and each margin's flips, cost and quality.

    The router learns from some prompts of each FILE in one pass, and is judged on the others.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            table = read_outcomes(path)
            found = [measured(table, seed, Path(folder)) for seed in tqdm(range(seeds), desc=path.stem)]
            for i, flips in enumerate(found[0].flips):
                rates = [each.flips[i].rate for each in found]
                rows.append(row(path.stem, "banditroute", f"flips, {flips.change}", rates, higher_is_better=False))
            for i, rule in enumerate(found[0].margins):
                name = f"banditroute/margin={rule.margin:g}"
                for metric, up in (("rate", False), ("cost", False), ("quality", True)):
                    values = [getattr(each.margins[i], metric) for each in found]
                    rows.append(row(path.stem, name, metric, values, higher_is_better=up))
    return rows


if __name__ == "__main__":
    main()
