"""Which adapter is given up: each rule on a trace whose outcome can be told by hand."""

import math

import pytest

from banditroute.adapters.backends.base import Capacity
from banditroute.adapters.eviction import Use, belady, cost_aware, fifo, gdsf, lfu, lru
from banditroute.adapters.resident_set import Load, ResidentSet


def serve(trace, *, score, slots, sizes=None, seconds=None):
    """The misses of a trace, each with whom it evicted."""
    resident = ResidentSet(capacity=Capacity(slots=slots), score=score)
    misses = []
    for name in trace:
        step = resident.request(
            name, size_bytes=(sizes or {}).get(name, 1), load_seconds=(seconds or {}).get(name, 1.0)
        )
        if isinstance(step, Load):
            misses.append(name + "".join(step.evict))
            resident.loaded(name)
        resident.release(name)
    return misses


@pytest.mark.parametrize(
    ("score", "misses"),
    [
        (fifo, ["a", "b", "ca", "ab"]),  # a is the oldest although it was just used; then b is
        (lru, ["a", "b", "cb"]),
        (lfu, ["a", "b", "cb"]),
        (belady(list("abaaca")), ["a", "b", "cb"]),  # b is never used again
    ],
)
def test_misses_equal_the_hand_computed_ones(score, misses):
    assert serve("abaaca", score=score, slots=2) == misses


def test_frequency_outlasts_an_eviction():
    # b was used three times before c came, so that a leaves for it again, and c for a
    assert serve("bbbacab", score=lfu, slots=2) == ["b", "a", "ca", "ac"]


def test_adapter_that_is_expensive_to_load_stays_longer():
    # b, with 1, leaves for c, which is worth 1 + 1 from then on, and leaves for b; that is worth 2 + 1, as a is, but a
    # was used longest ago: with time even what is dear leaves
    assert serve("abcbc", score=cost_aware, slots=2, seconds={"a": 3.0}) == ["a", "b", "cb", "bc", "ca"]


def test_gdsf_weighs_uses_seconds_and_bytes():
    # a: 2 uses x 1 s / 4 bytes = .5; b: 1 use x 1 s / 1 byte = 1
    assert serve("aabc", score=gdsf, slots=2, sizes={"a": 4}) == ["a", "b", "ca"]
    # but where loading a takes 8 s it is worth 4
    assert serve("aabc", score=gdsf, slots=2, sizes={"a": 4}, seconds={"a": 8.0}) == ["a", "b", "cb"]


def test_belady_counts_from_the_present_use():
    score = belady(["a", "b", "a"])
    assert score(Use(name="a"), 1) == -2.0
    assert score(Use(name="b"), 2) == -math.inf
