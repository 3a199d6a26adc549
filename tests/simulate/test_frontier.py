"""Hull, AIQ and least cost against points computed by hand, a brute force of mixtures, and RouterBench's program."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.logs import OutcomeTable
from banditroute.simulate.frontier import frontier
from banditroute.simulate.metrics import static_mixture

# Corners (1, .5), (2, .8), (4, .9); below the line: (3, .8); dominated: (2, .7), (5, .9), (6, .6).
COST = [4.0, 2.0, 6.0, 1.0, 3.0, 2.0, 5.0]
QUALITY = [0.9, 0.8, 0.6, 0.5, 0.8, 0.7, 0.9]

points = st.lists(
    st.tuples(st.integers(0, 20).map(lambda v: v / 1000), st.integers(0, 20).map(lambda v: v / 20)),
    min_size=1,
    max_size=6,
)


def test_corners_by_hand():
    line = frontier(COST, QUALITY)
    assert line.corners == (3, 1, 0)
    assert line.cost.tolist() == [1.0, 2.0, 4.0]
    assert line.quality.tolist() == [0.5, 0.8, 0.9]


@pytest.mark.parametrize(
    ("cost", "quality"), [(0.5, 0.0), (1.0, 0.5), (1.5, 0.65), (2.0, 0.8), (3.0, 0.85), (4.0, 0.9), (9.0, 0.9)]
)
def test_height_by_hand(cost, quality):
    assert frontier(COST, QUALITY).at(cost) == pytest.approx(quality)


@pytest.mark.parametrize(
    ("quality", "cost"), [(0.0, 1.0), (0.5, 1.0), (0.65, 1.5), (0.85, 3.0), (0.9, 4.0), (0.91, np.inf)]
)
def test_least_cost_by_hand(quality, cost):
    assert frontier(COST, QUALITY).cost_of(quality) == pytest.approx(cost)


@pytest.mark.parametrize(
    ("low", "high", "aiq"),
    [
        (1.0, 4.0, (0.65 + 1.7) / 3.0),  # trapezia .65 x 1 and .85 x 2
        (1.0, 6.0, (0.65 + 1.7 + 1.8) / 5.0),  # flat beyond the dearest point
        (0.0, 6.0, (0.65 + 1.7 + 1.8) / 6.0),  # RouterBench's program: nothing before the cheapest, over the dearest
        (1.5, 3.0, (0.725 * 0.5 + 0.825 * 1.0) / 1.5),
        (5.0, 7.0, 0.9),
        (0.2, 0.7, 0.0),
        (0.5, 1.5, 0.575 * 0.5),
    ],
)
def test_aiq_by_hand(low, high, aiq):
    assert frontier(COST, QUALITY).aiq(low=low, high=high) == pytest.approx(aiq)


def test_frontier_of_one_point_is_that_point():
    line = frontier([2.0], [0.7])
    assert (line.corners, line.at(3.0), line.cost_of(0.7)) == ((0,), 0.7, 2.0)
    assert line.aiq(low=2.0, high=4.0) == pytest.approx(0.7)


@given(points, st.floats(0.0, 1.0))
def test_frontier_is_the_hull_of_static_mixtures_of_two_arms(made, at):
    cost, quality = np.array(made).T
    line = frontier(cost, quality)
    assert (np.diff(line.cost) > 0.0).all()
    assert line.cost[0] == cost.min()
    assert line.quality[-1] == quality.max()
    budget = line.cost[0] + at * (line.cost[-1] - line.cost[0])
    table = OutcomeTable(
        name="flat",
        prompts=("",),
        tasks=("",),
        arms=tuple(f"a{k}" for k in range(len(quality))),
        outcomes={"quality": quality[None], "cost_usd": cost[None]},
    )
    mixture = static_mixture(table, cost_usd=budget)
    reached = sum(share * quality[table.arms.index(arm)] for arm, share in mixture.items())
    assert reached == pytest.approx(line.at(budget), abs=1e-9)


@given(points, points)
def test_more_points_are_never_worse(some, more):
    few, many = frontier(*zip(*some, strict=True)), frontier(*zip(*some, *more, strict=True))
    assert many.aiq(low=0.0, high=0.03) >= few.aiq(low=0.0, high=0.03) - 1e-12
    assert many.cost_of(0.5) <= few.cost_of(0.5) + 1e-12
    for cost in np.linspace(0.0, 0.03, 7):
        assert many.at(cost) >= few.at(cost) - 1e-12
