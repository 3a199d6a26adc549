"""Feedback in any order, split over any workers, makes the same sums, whether or not the belief forgets."""

from __future__ import annotations

import numpy as np
import pytest

from banditroute.beliefs import Hybrid, Linear
from banditroute.beliefs.statistics import ArmStatistics
from banditroute.router.sources import fold_with
from banditroute.store import OutcomeEvent
from banditroute.store.outcomes import PAGING

ORDERS = 1_000
WORKERS = 4
EVENTS = 60
BELIEFS = [Hybrid(), Linear(half_life_requests=20.0), Hybrid(half_life_seconds=3_600.0)]


def events_of(rng: np.random.Generator) -> list[OutcomeEvent]:
    """Outcomes of decisions over about a day: some came apart, as other outcomes of the same decision did."""
    return [
        OutcomeEvent(
            arm="a",
            x=np.array([*rng.normal(size=4), 1.0]),
            values={"quality": float(rng.random()), "cost_usd": float(rng.lognormal())}
            if number % 3
            else {"quality": 1.0, PAGING: 0.3},
            decided_at=1.7e9 + float(rng.random() * 86_400.0),
            ordinal=number,
        )
        for number in range(EVENTS)
    ]


def sums(blob: bytes) -> dict[str, np.ndarray]:
    """All sums of an arm by objective, and when they are as of."""
    held = ArmStatistics.from_bytes(blob)
    return {
        name: np.concatenate([[held.clock, group.n], group.s.ravel(), group.b[row], group.yy[row : row + 1]])
        for group in held.groups
        for row, name in enumerate(group.objectives)
    }


def difference(one: bytes, other: bytes) -> float:
    """The largest difference of any sum, relative to the largest sum of the same objective but the clock."""
    mine, theirs = sums(one), sums(other)
    assert mine.keys() == theirs.keys()
    assert all(mine[name][0] == theirs[name][0] for name in mine)
    return max(float(np.abs(mine[name] - theirs[name]).max() / np.abs(theirs[name][1:]).max()) for name in mine)


@pytest.mark.parametrize("belief", BELIEFS, ids=repr)
def test_orders_and_partitions_agree_to_1e_12(belief: Linear) -> None:
    rng = np.random.default_rng(0)
    fold = fold_with(belief)
    events = events_of(rng)
    whole = fold(None, events)
    assert sums(whole).keys() == {"quality", "cost_usd"}
    for _ in range(ORDERS):
        mine = [events[i] for i in rng.permutation(EVENTS)]
        worker = rng.integers(WORKERS, size=EVENTS)
        parts = [[event for event, whose in zip(mine, worker, strict=True) if whose == part] for part in range(WORKERS)]
        parts = [parts[i] for i in rng.permutation(WORKERS) if parts[i]]
        one_by_one: bytes | None = None
        for part in parts:  # each folds what it took, in the order it came
            one_by_one = fold(one_by_one, part)
        assert one_by_one is not None
        assert difference(one_by_one, whole) <= 1e-12
        apart = belief.merge([fold(None, part) for part in parts], dimension=5)  # or sums alone, which are merged
        assert difference(apart, whole) <= 1e-12


@pytest.mark.parametrize("belief", BELIEFS[1:], ids=repr)
def test_weights_are_those_of_the_decisions_age(belief: Linear) -> None:
    """And not of the order of arrival: by the formula, from the events alone."""
    events = events_of(np.random.default_rng(1))
    moments = np.array([belief.moment(event.decided_at, event.ordinal) for event in events])
    half_life = belief.half_life_requests or belief.half_life_seconds
    assert half_life is not None
    weights = 2.0 ** ((moments - moments.max()) / half_life)
    held = sums(fold_with(belief)(None, events[::-1]))["quality"]
    np.testing.assert_allclose(held[1], weights.sum(), rtol=1e-12)
    x = np.array([event.x for event in events])
    np.testing.assert_allclose(held[2:27], ((weights[:, None] * x).T @ x).ravel(), rtol=1e-12, atol=1e-12)
