"""Replay by arms that say something of themselves: their size, and by a published score what to expect of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click
import numpy as np

from banditroute.core.arm import Arm
from banditroute.logs import OutcomeTable
from banditroute.router import Router
from banditroute.simulate.replay import Trace
from banditroute.store import MemoryStore

DESCRIPTORS = Path(__file__).with_name("descriptors.json")
POLICY = "banditroute/descriptors"


def described(path: Path, names: tuple[str, ...]) -> list[Arm] | None:
    """The arms with what the file ``path`` says of them; None where it does not say anything of one.

    ``quality`` is what to expect, any other number describes.
    """
    said = json.loads(path.read_text())
    if not isinstance(said, dict):
        raise click.UsageError(f"{path.name} holds no JSON object of model -> descriptors")
    if not set(names) <= said.keys():
        return None
    expected = {name: {"quality": said[name].pop("quality")} for name in names if "quality" in said[name]}
    return [Arm(name=name, descriptors=said[name], expected=expected.get(name, {})) for name in names]


def replays(table: OutcomeTable, x: np.ndarray, arms: list[Arm], seeds: int) -> Iterator[Trace]:
    """The default learner on one cold pass for each seed, in the orders of :func:`banditroute.simulate.replay`."""
    with ProcessPoolExecutor() as pool:
        yield from pool.map(_replay, [(table, x, arms, seed) for seed in range(seeds)])


def _replay(cell: tuple[OutcomeTable, np.ndarray, list[Arm], int]) -> Trace:
    table, x, arms, seed = cell
    order = np.random.default_rng(seed).permutation(len(table))
    quality, index = table.outcomes["quality"], {arm: k for k, arm in enumerate(table.arms)}
    chosen = np.empty(len(order), dtype=np.intp)
    with Router(arms=arms, features=x.shape[1], store=MemoryStore(capacity=1), seed=seed) as router:
        for step, row in enumerate(order):
            known = [table.arms[k] for k in np.flatnonzero(~np.isnan(quality[row]))]
            decision = router.route(x[row], arms=known)
            chosen[step] = index[decision.arm]
            router.feedback(decision.id, quality=float(quality[row, chosen[step]]))
    return Trace(policy=POLICY, seed=seed, rows=order, chosen=chosen)
