"""Sums by hand, and a form on disk that is exact and refuses any damage."""

import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.beliefs import ArmStatistics, Linear, Observation
from banditroute.errors import IncompatibleStoreError

NUMBERS = st.floats(-1e50, 1e50)
EVENTS = st.lists(
    st.tuples(
        st.lists(NUMBERS, min_size=3, max_size=3).map(np.array),
        st.dictionaries(st.sampled_from(["quality", "cost_usd", "größe"]), NUMBERS, min_size=1),
    ),
    max_size=6,
)


def fold(blob, events, *, dimension, **settings):
    return Linear(**settings).fold(blob, [Observation(*event) for event in events], dimension=dimension)


def grouped(statistics):
    return {
        group.objectives: (group.n, group.s.tobytes(), group.b.tobytes(), group.yy.tobytes())
        for group in statistics.groups
    }


def sample():
    return fold(
        None,
        [(np.array([2.0, 1.0]), {"quality": 0.5, "cost_usd": 3.0}), (np.array([0.5, 1.0]), {"quality": 1.0})],
        dimension=2,
    )


def test_sums_by_hand():
    statistics = ArmStatistics(dimension=2)
    assert statistics.add(np.array([2.0, 1.0]), {"quality": 0.5, "cost_usd": 3.0})
    assert not statistics.add(np.array([0.0, 1.0]), {"cost_usd": 1.0, "quality": 1.0})
    (group,) = statistics.groups
    assert group.objectives == ("cost_usd", "quality")
    assert group.n == 2
    assert group.s.tolist() == [[4.0, 2.0], [2.0, 2.0]]
    assert group.b.tolist() == [[6.0, 4.0], [1.0, 1.5]]
    assert group.yy.tolist() == [10.0, 1.25]


def test_objectives_part_at_the_first_decision_that_reports_one_without_the_other():
    statistics = ArmStatistics(dimension=1)
    x = np.ones(1)
    assert statistics.add(x, {"quality": 1.0, "cost_usd": 2.0})
    assert statistics.add(x, {"quality": 0.0})
    assert {group.objectives: group.n for group in statistics.groups} == {("quality",): 2, ("cost_usd",): 1}
    assert not statistics.add(x, {"quality": 1.0, "cost_usd": 2.0})
    assert {group.objectives: group.s.item() for group in statistics.groups} == {("quality",): 3.0, ("cost_usd",): 2.0}


@given(EVENTS)
def test_written_statistics_are_read_exactly(events):
    blob = fold(None, events, dimension=3)
    read = ArmStatistics.from_bytes(blob)
    direct = ArmStatistics(dimension=3)
    for x, values in events:
        direct.add(x, values)
    assert read.dimension == 3
    assert grouped(read) == grouped(direct)
    assert read.to_bytes() == blob
    for group in read.groups:
        group.b += 1.0  # a read array is its own, not a view of the blob


@given(EVENTS, EVENTS)
def test_a_fold_in_two_steps_is_one_fold(first, second):
    assert fold(fold(None, first, dimension=3), second, dimension=3) == fold(None, first + second, dimension=3)


def test_every_truncation_is_refused():
    blob = sample()
    for length in range(len(blob)):
        with pytest.raises(IncompatibleStoreError, match="restore the database from a backup"):
            ArmStatistics.from_bytes(blob[:length])


def test_every_flipped_bit_is_refused():
    blob = sample()
    for bit in range(8 * len(blob)):
        damaged = bytearray(blob)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IncompatibleStoreError, match=r"restore the database|upgrade banditroute"):
            ArmStatistics.from_bytes(bytes(damaged))


@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 200))
def test_any_other_damage_is_refused(other, start, length):
    blob = sample()
    damaged = blob[:start] + other + blob[start + length :]
    if damaged != blob:
        with pytest.raises(IncompatibleStoreError):
            ArmStatistics.from_bytes(damaged)


def test_statistics_of_a_newer_version_are_refused_with_the_remedy():
    content = struct.pack("<4sHII", b"BRST", 3, 2, 2) + b"[]"
    with pytest.raises(IncompatibleStoreError, match=r"version 3, this banditroute reads up to 2; upgrade banditroute"):
        ArmStatistics.from_bytes(content + struct.pack("<I", zlib.crc32(content)))


def test_statistics_of_another_dimension_are_not_added_to():
    with pytest.raises(IncompatibleStoreError, match="have 2 features, the router has 3"):
        fold(sample(), [(np.ones(3), {"quality": 1.0})], dimension=3)


def test_statistics_of_the_version_before_are_read_without_a_clock():
    meta = b'[{"objectives": ["quality"], "n": 2}]'
    numbers = np.array([5.0, 3.0, 2.0, 1.5, 1.0, 0.75])  # the upper triangle of S, B, yy
    content = struct.pack("<4sHII", b"BRST", 1, 2, len(meta)) + meta + numbers.tobytes()
    read = ArmStatistics.from_bytes(content + struct.pack("<I", zlib.crc32(content)))
    (group,) = read.groups
    assert (read.clock, group.n, group.s.tolist()) == (0.0, 2, [[5.0, 3.0], [3.0, 2.0]])
    assert (group.b.tolist(), group.yy.tolist()) == ([[1.5, 1.0]], [0.75])


def test_forgetting_by_hand():
    """Half-life 2: an outcome of moment 1 weighs 1/2 at moment 3, one of moment 5 leaves 1/4 and 1/2 of the others."""
    statistics = ArmStatistics(dimension=1, half_life=2.0)
    x = np.ones(1)
    statistics.add(x, {"quality": 1.0}, moment=3.0)
    statistics.add(x, {"quality": 4.0}, moment=1.0)  # late
    (group,) = statistics.groups
    assert (statistics.clock, group.n, group.b.item(), group.yy.item()) == (3.0, 1.5, 3.0, 9.0)
    statistics.add(x, {"quality": 0.0}, moment=5.0)
    assert (statistics.clock, group.n, group.b.item()) == (5.0, 1.75, 1.5)


@given(
    EVENTS.map(lambda events: [(np.sign(x), {n: float(np.sign(y)) for n, y in v.items()}) for x, v in events]),
    st.randoms(use_true_random=False),
    st.sampled_from([{}, {"half_life_requests": 3.0}]),
)
def test_neither_order_nor_merging_matters(events, random, settings):
    timed = [(*event, 0.0, 2 * i) for i, event in enumerate(events)]
    whole = ArmStatistics.from_bytes(fold(None, timed, dimension=3, **settings))
    random.shuffle(timed)
    parts = [fold(None, timed[i::2], dimension=3, **settings) for i in range(2)]
    merged = ArmStatistics.from_bytes(Linear(**settings).merge(parts, dimension=3))
    assert merged.clock == whole.clock
    known, expected = (
        {name: (g.n, g.s, g.b[i], g.yy[i]) for g in one.groups for i, name in enumerate(g.objectives)}
        for one in (merged, whole)
    )
    assert known.keys() == expected.keys()
    for name, numbers in known.items():
        for mine, theirs in zip(numbers, expected[name], strict=True):
            assert np.allclose(mine, theirs, rtol=1e-13, atol=1e-13)


def test_taking_outcomes_back_restores_the_statistics():
    before = [(np.array([2.0, 1.0]), {"quality": 0.5, "cost_usd": 3.0}, 0.0, 4)]
    after = [(np.array([0.5, 1.0]), {"quality": 1.0, "cost_usd": 1.0}, 0.0, 2)]
    back = [(*after[0], -1.0)]
    blob = fold(None, before + after + back, dimension=2, half_life_requests=2.0)
    (mine,), (true,) = (ArmStatistics.from_bytes(b).groups for b in (blob, fold(None, before, dimension=2)))
    assert (mine.n, mine.s.tolist(), mine.b.tolist(), mine.yy.tolist()) == (
        true.n, true.s.tolist(), true.b.tolist(), true.yy.tolist()
    )  # fmt: skip


WHOLE = st.lists(
    st.tuples(
        st.tuples(st.integers(-3, 3), st.integers(-3, 3)).map(lambda pair: np.array([*map(float, pair), 1.0])),
        st.dictionaries(st.sampled_from(["quality", "cost_usd"]), st.integers(0, 3).map(float), min_size=1),
    ),
    max_size=8,
)


def by_objective(blob):
    """Objective -> n, S, b, yy, whatever it is grouped with."""
    return {
        name: (group.n, group.s.tolist(), group.b[j].tolist(), float(group.yy[j]))
        for group in ArmStatistics.from_bytes(blob).groups
        for j, name in enumerate(group.objectives)
    }


@given(WHOLE, WHOLE)
def test_events_taken_back_leave_what_was_there_before(kept, taken):
    blob = fold(fold(None, [*kept, *taken], dimension=3), [(*each, 0.0, 0, -1.0) for each in taken], dimension=3)
    assert by_objective(blob) == by_objective(fold(None, kept, dimension=3))


@pytest.mark.parametrize(("share", "at_most", "n"), [(0.25, math.inf, 1.0), (0.25, 0.5, 0.5), (0.25, 64.0, 1.0)])
def test_scaled_statistics_count_a_share_and_at_most_so_many(share, at_most, n):
    events = [(np.array([2.0, 1.0]), {"quality": 0.5})] * 4
    blob = Linear().scale(fold(None, events, dimension=2), share, dimension=2, at_most=at_most)
    assert by_objective(blob) == {"quality": (n, [[4 * n, 2 * n], [2 * n, n]], [n, n / 2], n / 4)}


def test_scaled_empty_statistics_are_empty():
    assert by_objective(Linear().scale(fold(None, [], dimension=2), 0.25, dimension=2, at_most=64.0)) == {}


@given(WHOLE, WHOLE)
def test_a_part_merged_by_a_share_of_minus_1_is_taken_back(kept, taken):
    whole, part = fold(None, [*kept, *taken], dimension=3), fold(None, taken, dimension=3)
    left = Linear().merge([whole, Linear().scale(part, -1.0, dimension=3)], dimension=3)
    assert by_objective(left) == by_objective(fold(None, kept, dimension=3))


def test_report_of_one_group_is_added_in_one_step_and_any_other_is_left_to_add():
    at_once, in_steps = ArmStatistics.from_bytes(sample()), ArmStatistics.from_bytes(sample())
    x = np.array([-1.0, 1.0])
    assert at_once.add_in_one_step(x, {"cost_usd": 2.0}, 0.5)
    in_steps.add(x, {"cost_usd": 2.0}, weight=0.5)
    assert grouped(at_once) == grouped(in_steps)
    assert not at_once.add_in_one_step(x, {"cost_usd": 2.0, "quality": 1.0}, 1.0)
    assert not at_once.add_in_one_step(x, {"latency_seconds": 2.0}, 1.0)
    assert not at_once.add_in_one_step(x, {"cost_usd": 2.0}, -0.5)
    assert grouped(at_once) == grouped(in_steps)
