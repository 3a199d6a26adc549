"""Placement: every adapter gets one server, those that are resident stay, and few move when servers come and go."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.adapters.placement import Room, place

NAMES = [f"a{i}" for i in range(12)]


def sizes(value=1.0):
    return dict.fromkeys(NAMES, value)


def test_resident_adapter_stays_where_it_is():
    rooms = {"one": Room(slots=2, resident={"a3"}), "two": Room(slots=2, resident={"a0"})}
    assert place(["a0", "a3"], rooms=rooms, sizes=sizes()) == {"one": ["a3"], "two": ["a0"]}


def test_adapter_resident_on_two_servers_is_kept_on_one():
    rooms = {"one": Room(slots=1, resident={"a0"}), "two": Room(slots=1, resident={"a0"})}
    placed = place(["a0", "a1"], rooms=rooms, sizes=sizes())
    assert sorted(map(tuple, placed.values())) == [("a0",), ("a1",)]


def test_least_valuable_adapters_go_without_a_server():
    placed = place(NAMES, rooms={"one": Room(slots=2), "two": Room(slots=1)}, sizes=sizes())
    assert sorted(placed["one"] + placed["two"]) == ["a0", "a1", "a2"]


def test_bytes_limit_a_server():
    placed = place(["a0", "a1"], rooms={"one": Room(size_bytes=10.0)}, sizes={"a0": 8.0, "a1": 4.0})
    assert placed == {"one": ["a0"]}


@given(
    slots=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    keep=st.permutations(NAMES),
    seed=st.integers(0, 1000),
)
def test_each_adapter_is_placed_once_and_no_room_is_exceeded(slots, keep, seed):
    rng = np.random.default_rng(seed)
    rooms = {
        f"s{i}": Room(slots=n, resident=set(rng.choice(NAMES, size=n, replace=False))) for i, n in enumerate(slots)
    }
    placed = place(keep, rooms=rooms, sizes=sizes())
    every = [name for names in placed.values() for name in names]
    assert len(every) == len(set(every)) == min(sum(slots), len(keep))
    assert all(len(placed[f"s{i}"]) <= n for i, n in enumerate(slots))


@pytest.mark.parametrize("leaving", ["one", "two", "three"])
def test_only_the_adapters_of_a_leaving_server_move(leaving):
    def rooms(before):
        return {server: Room(slots=6, resident=frozenset(before.get(server, ()))) for server in ("one", "two", "three")}

    before = place(NAMES[:9], rooms=rooms({}), sizes=sizes())
    after = rooms(before)
    del after[leaving]
    for server, names in place(NAMES[:9], rooms=after, sizes=sizes()).items():
        assert set(before[server]) <= set(names)
