"""Factored arms: models at efforts that learn from each other, beside the same arms by themselves."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip
from tqdm import tqdm

from banditroute.core.arm import Arm
from banditroute.router import Router
from banditroute.store import MemoryStore

MODELS, EFFORTS, REQUESTS = 8, 4, 1_200
INTERACTIONS = (0.03, 0.1)  # std of what an arm differs from the sum of its model's and its effort's part
POLICIES = ("banditroute/factored", "banditroute/by_themselves", "banditroute/models_alone")


class Cell(NamedTuple):
    """One pass."""

    interaction: float
    policy: str
    seed: int


def serve(cell: Cell) -> float:
    """Return the regret of one pass against the best arm of the pool that is routed."""
    rng = np.random.default_rng(cell.seed)
    truth = 0.55 + 0.12 * rng.normal(size=(MODELS, 1)) + 0.08 * rng.normal(size=(1, EFFORTS))
    truth = np.clip(truth + cell.interaction * rng.normal(size=truth.shape), 0.02, 0.98)
    if cell.policy == "banditroute/models_alone":
        truth = truth[:, [truth.mean(axis=0).argmax()]]
    quality = {}
    arms = []
    for (model, effort), mean in np.ndenumerate(truth):
        factored = cell.policy == "banditroute/factored"
        arm = Arm(model=str(model), effort=str(effort)) if factored else Arm(name=f"{model}:{effort}")
        arms.append(arm)
        quality[arm.name] = float(mean)
    regret = 0.0
    with Router(arms=arms, features=2, store=MemoryStore(), seed=cell.seed) as router:
        for _ in range(REQUESTS):
            decision = router.route(rng.normal(size=2))
            router.feedback(decision.id, quality=float(rng.random() < quality[decision.arm]))
            regret += max(quality.values()) - quality[decision.arm]
    return regret


@command()
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Regret over 1,200 requests: 8 models at 4 efforts, answers right or wrong, features without meaning.

    The quality of an arm is the sum of a part of its model (std .12), one of its effort (std .08) and an interaction.
    `models_alone` has the 8 models at the best effort, which it knows: what could be reached.
    """
    cells = [
        Cell(interaction, policy, seed) for interaction in INTERACTIONS for policy in POLICIES for seed in range(seeds)
    ]
    with ProcessPoolExecutor() as pool:
        regrets = list(tqdm(pool.map(serve, cells), total=len(cells)))
    found: dict[tuple[str, str], list[float]] = {}
    for cell, regret in zip(cells, regrets, strict=True):
        found.setdefault((f"interaction {cell.interaction:g}", cell.policy), []).append(regret)
    return [row(case, policy, "regret", values, higher_is_better=False) for (case, policy), values in found.items()]


if __name__ == "__main__":
    main()
