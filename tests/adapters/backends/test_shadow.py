"""The shadow of a server's LRU: by hand, and against a server that keeps two lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.adapters import Tier
from banditroute.adapters.backends.shadow import ShadowLRU


def tiers(shadow):
    return {name: shadow.tier(name).value for name in shadow}


def test_the_least_recently_used_leave_the_slots_and_then_ram():
    shadow = ShadowLRU(slots=2, ram_slots=3)
    assert [shadow.use(name) for name in "abcad"] == [(), (), ("a",), ("b",), ("c",)]
    assert tiers(shadow) == {"c": "ram", "a": "gpu", "d": "gpu"}
    assert shadow.tier("b") is Tier.DISK


def test_a_pinned_adapter_stays():
    shadow = ShadowLRU(slots=2, ram_slots=2)
    shadow.use("a", pinned=True)
    assert [shadow.use(name) for name in "bcd"] == [(), ("b",), ("c",)]
    assert tiers(shadow) == {"a": "gpu", "d": "gpu"}


def test_ram_may_have_no_limit():
    shadow = ShadowLRU(slots=1, ram_slots=None)
    for name in "abcdef":
        shadow.use(name)
    assert list(tiers(shadow).values()) == ["ram"] * 5 + ["gpu"]


def test_dropped_adapter_is_gone_and_no_longer_pinned():
    shadow = ShadowLRU(slots=1, ram_slots=1)
    shadow.use("a", pinned=True)
    shadow.drop("a")
    shadow.drop("nowhere")
    assert tiers(shadow) == {}
    shadow.use("a")
    assert shadow.use("b") == ("a",)


def test_a_correction_is_believed_and_keeps_the_order_of_use():
    shadow = ShadowLRU(slots=2, ram_slots=3)
    for name in "abc":
        shadow.use(name)
    shadow.correct({"c": Tier.RAM, "b": Tier.GPU, "x": Tier.GPU})
    assert tiers(shadow) == {"x": "gpu", "b": "gpu", "c": "ram"}
    assert shadow.use("c") == ("x",)
    assert shadow.use("d") == ("b",)
    assert tiers(shadow) == {"b": "ram", "c": "gpu", "d": "gpu"}


@given(
    slots=st.integers(1, 4),
    more=st.integers(0, 3),
    uses=st.lists(st.sampled_from("abcdefgh"), max_size=40),
)
def test_a_server_of_two_lists_keeps_the_same(slots, more, uses):
    shadow = ShadowLRU(slots=slots, ram_slots=slots + more)
    lists = {"ram": ([], slots + more), "gpu": ([], slots)}
    for name in uses:
        before = set(lists["gpu"][0])
        for names, limit in lists.values():
            if name in names:
                names.remove(name)
            names.append(name)
            del names[:-limit]
        assert set(shadow.use(name)) == before - set(lists["gpu"][0])
        assert tiers(shadow) == dict.fromkeys(lists["ram"][0], "ram") | dict.fromkeys(lists["gpu"][0], "gpu")


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_use_of_what_is_there_evicts_nothing(name):
    shadow = ShadowLRU(slots=2, ram_slots=2)
    for each in "ab":
        shadow.use(each)
    assert shadow.use(name) == ()
