"""Credit: what a router learns from one outcome of a whole session, by the rule that divides it among the steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from banditroute.router import Router
from banditroute.sessions.credit import RULES, Credit
from banditroute.store import MemoryStore

STEPS = (3, 10)
KINDS, ARMS = 3, ("a", "b", "c")
PASSES = (0.5, 0.98)  # between these lies the chance that an arm gets a step of one kind right, uniformly drawn

Right = NDArray[np.floating[Any]]
OUTCOMES: Mapping[
    str, Callable[[Right], float]
] = {  # of a session, from the chance or the fact that its steps are right
    "share right": lambda steps: float(steps.mean()),
    "all right": lambda steps: float(steps.prod()),
    "last right": lambda steps: float(steps[-1]),
}


def session_quality(credit: Credit, outcome: Callable[[Right], float], steps: int, sessions: int, seed: int) -> float:
    """Return the expected outcome of a session, less that of uniform choices, as a share of what an oracle gains.

    The first half of the sessions is not scored.
    """
    rng = np.random.default_rng([seed, steps])
    passes = rng.uniform(*PASSES, size=(KINDS, len(ARMS)))
    router = Router(arms=ARMS, features=KINDS, store=MemoryStore(), seed=seed)
    got = np.zeros(3)  # the router's, uniform choices', the oracle's
    for number in range(sessions):
        kinds = rng.integers(KINDS, size=steps)
        chosen = [ARMS.index(router.route(np.eye(KINDS)[kind], session=str(number)).arm) for kind in kinds]
        chances = passes[kinds, chosen]
        router.session_feedback(str(number), quality=outcome(1.0 * (rng.random(steps) < chances)), credit=credit)
        if number >= sessions // 2:
            got += [outcome(chances), outcome(passes[kinds].mean(axis=1)), outcome(passes[kinds].max(axis=1))]
    return float((got[0] - got[1]) / (got[2] - got[1]))


@command(options=[click.option("--sessions", default=1000, show_default=True)])
def main(*, files: list[Path], seeds: int, sessions: int) -> list[Row]:
    """Share of what an oracle gains over uniform choices, of simulated sessions that report one outcome each.

    `gain` is 0 for uniform choices and 1 for the best arm at each step. Steps are of three kinds, and the router knows
    the kind. The outcome of a session is the share of its steps that are right, or 1 if all are, or 1 if the last is.
    """
    cells = list(product(OUTCOMES, STEPS, RULES))
    rows = []
    for name, steps, credit in tqdm(cells):
        run = partial(session_quality, credit, OUTCOMES[name], steps, sessions)
        rows.append(
            row(f"{name}, {steps} steps", f"banditroute/{credit}", "gain", [run(seed) for seed in range(seeds)])
        )
    return rows


if __name__ == "__main__":
    main()
