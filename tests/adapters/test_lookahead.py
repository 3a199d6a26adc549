"""Queue lookahead: fewer loads, and nobody waits for ever."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.adapters.lookahead import service_order
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
def test_without_a_bound_each_adapter_is_loaded_once(adapters, resident):
    order = service_order(adapters, resident=resident, max_overtaken=len(adapters))
    assert loads(adapters, order, resident) == len(set(adapters) - resident - {None})


@given(QUEUE, RESIDENT)
def test_with_a_bound_of_none_it_is_the_order_of_arrival(adapters, resident):
    assert service_order(adapters, resident=resident, max_overtaken=0) == tuple(range(len(adapters)))


def test_requests_of_one_adapter_keep_their_order():
    order = service_order(["a", "b", "a", "b", "b"], resident=())
    assert order == (1, 3, 4, 0, 2)


@pytest.mark.parametrize("bound", [-1, 1.5, math.nan, True, "3"])
def test_what_cannot_be_a_bound(bound):
    with pytest.raises(InvalidConfigurationError, match="max_overtaken"):
        service_order(["a"], resident=(), max_overtaken=bound)
