"""Feedback in any order, split over any workers, makes the same sums."""

from __future__ import annotations

import numpy as np

from banditroute.beliefs.statistics import ArmStatistics
from banditroute.history import fold_with
from banditroute.learners import ThompsonSampling
from banditroute.store import Event

ORDERS = 1_000
WORKERS = 4


def test_orders_and_partitions_agree_to_1e_12() -> None:
    rng = np.random.default_rng(0)
    fold = fold_with(ThompsonSampling().belief)
    events = [
        Event(
            arm="a",
            x=np.array([*rng.normal(size=4), 1.0]),
            values={"quality": float(rng.random()), "cost_usd": float(rng.lognormal())},
            decided_at=1.7e9 + float(rng.random() * 1e6),
            ordinal=number,
        )
        for number in range(60)
    ]

    def sums(blob: bytes) -> np.ndarray:
        (group,) = ArmStatistics.from_bytes(blob).groups
        order = np.argsort(group.objectives)
        return np.concatenate([group.s.ravel(), group.b[order].ravel(), group.yy[order]])

    expected = sums(fold(None, events))
    scale = np.abs(expected).max()
    for _ in range(ORDERS):
        mine = [events[i] for i in rng.permutation(len(events))]
        worker = rng.integers(WORKERS, size=len(mine))
        blob: bytes | None = None
        for part in rng.permutation(WORKERS):  # each folds what it took, in the order it came
            blob = fold(blob, [event for event, whose in zip(mine, worker, strict=True) if whose == part])
        assert blob is not None
        assert np.abs(sums(blob) - expected).max() <= 1e-12 * scale
