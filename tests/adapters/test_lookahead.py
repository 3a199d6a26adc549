"""Queue lookahead: fewer loads, nobody waits for ever, and what is loaded ahead fits."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.adapters.lookahead import loads_ahead, service_order
from banditroute.errors import InvalidConfigurationError

QUEUE = st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=30)
RESIDENT = st.sets(st.sampled_from("abcd"))


def loads(adapters, order, resident):
    """How often the staging slot changes hands."""
    asked = [adapters[i] for i in order if adapters[i] is not None and adapters[i] not in resident]
    return sum(before != after for before, after in zip([None, *asked], asked, strict=False))


@given(QUEUE, RESIDENT, st.integers(0, 20))
def test_each_is_served_once_and_overtaken_no_more_than_allowed(adapters, resident, bound):
    order = service_order(adapters, resident=resident, max_overtaken=bound)
    assert sorted(order) == list(range(len(adapters)))
    place = {i: n for n, i in enumerate(order)}
    for i in range(len(adapters)):
        assert sum(place[j] < place[i] for j in range(i + 1, len(adapters))) <= bound


@given(QUEUE, RESIDENT)
def test_each_adapter_is_loaded_once_without_a_bound(adapters, resident):
    order = service_order(adapters, resident=resident, max_overtaken=len(adapters))
    assert loads(adapters, order, resident) == len(set(adapters) - resident - {None})


@given(QUEUE, RESIDENT)
def test_order_is_that_of_arrival_with_a_bound_of_zero(adapters, resident):
    assert service_order(adapters, resident=resident, max_overtaken=0) == tuple(range(len(adapters)))


def test_requests_of_one_adapter_keep_their_order():
    order = service_order(["a", "b", "a", "b", "b"], resident=())
    assert order == (1, 3, 4, 0, 2)


@pytest.mark.parametrize("bound", [-1, 1.5, math.nan, True, "3"])
def test_bad_bound_is_refused(bound):
    with pytest.raises(InvalidConfigurationError, match="max_overtaken"):
        service_order(["a"], resident=(), max_overtaken=bound)


WAITING = st.lists(st.sampled_from("abcdef"), max_size=30)
SECONDS = st.fixed_dictionaries({name: st.floats(0.01, 10.0) for name in "abcdef"})
SIZES = st.fixed_dictionaries({name: st.integers(1, 9) for name in "abcdef"})


class TestLoadsAhead:
    @given(WAITING, SECONDS, SIZES, st.none() | st.integers(-2, 7), st.integers(-5, 40))
    def test_fits_and_is_needed(self, waiting, seconds, sizes, slots, room):
        loads = loads_ahead(waiting, load_seconds=seconds, slots=slots, sizes=sizes, room=room)
        assert len(set(loads)) == len(loads)
        assert set(loads) <= set(waiting)
        assert not loads or sum(sizes[name] for name in loads) <= room
        assert slots is None or len(loads) <= max(slots, 0)

    @given(WAITING, SECONDS, st.integers(0, 7))
    def test_most_gain_first(self, waiting, seconds, slots):
        loads = loads_ahead(waiting, load_seconds=seconds, slots=slots)
        gains = {name: waiting.count(name) * seconds[name] for name in set(waiting)}
        assert [gains[name] for name in loads] == pytest.approx(sorted(gains.values(), reverse=True)[:slots])
        assert all(gains[one] >= gains[next_] - 1e-9 for one, next_ in pairwise(loads))

    def test_bytes_are_spent_where_they_gain_most(self):
        waiting, seconds = ["a", "b", "c", "c"], {"a": 3.0, "b": 2.0, "c": 1.0}
        assert loads_ahead(waiting, load_seconds=seconds, sizes={"a": 4, "b": 2, "c": 2}, room=4) == ["b", "c"]
        assert loads_ahead(waiting, load_seconds=seconds, sizes={"a": 4, "b": 3, "c": 2}, room=4) == ["a"]

    def test_adapter_that_loads_in_no_time_is_not_loaded_ahead(self):
        assert loads_ahead(["a", "b"], load_seconds={"a": 0.0, "b": 1.0}) == ["b"]
