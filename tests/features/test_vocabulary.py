"""Vocabularies: exact columns for values that come with the traffic, the same in all processes and after a restart."""

import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute import Router, SQLStore
from banditroute.core.request import Request
from banditroute.core.state import StateSlot
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features import Complexity, Compose, Metadata, Standardize, Vocabulary, WarmUp
from banditroute.features.vocabulary import KnownValues, _merge
from banditroute.learners import profile
from banditroute.store import MemoryStore

FIVE_COLUMNS = Vocabulary(size=3)


def features():
    return Metadata(categorical={"tenant": FIVE_COLUMNS})


def column(router, tenant):
    """Return the column of the entry that a decision has for a tenant."""
    metadata = {} if tenant is None else {"tenant": tenant}
    return int(np.argmax(router.route("Hi", metadata=metadata).x[:-1]))


def names(features):
    return [name.removeprefix("metadata.tenant.") for name in features.names]


def test_values_get_columns_in_their_order_and_later_ones_count_as_other():
    alone = features()
    found = [
        names(alone)[int(alone.transform_one(Request(text="Hi", metadata=each)).argmax())]
        for each in ({"tenant": "a"}, {"tenant": "b"}, {}, {"tenant": "a"}, {"tenant": "c"}, {"tenant": "d"})
    ]
    assert found == ["00", "01", "missing", "00", "02", "other"]
    assert names(alone) == ["00", "01", "02", "other", "missing"]


def test_entry_has_unit_mean_square():
    x = features().transform_one(Request(text="Hi", metadata={"tenant": "a"}))
    assert x.tolist() == pytest.approx([np.sqrt(5.0), 0.0, 0.0, 0.0, 0.0])


def test_size_is_part_of_the_version_and_the_traffic_is_not():
    one, other = features(), features()
    one.transform_one(Request(text="Hi", metadata={"tenant": "a"}))
    assert one.version == other.version
    assert one.version != Metadata(categorical={"tenant": Vocabulary(size=4)}).version


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40))
def test_column_never_changes_and_no_two_values_share_one(values):
    known = KnownValues(name="tenant", size=4)
    columns = {}
    for value in values:
        assert known.column(value) == columns.setdefault(value, known.column(value))
    own = [each for each in columns.values() if each < 4]
    assert sorted(own) == list(range(min(len(columns), 4)))


@given(st.lists(st.lists(st.sampled_from("abcdef").map(lambda each: [each]), max_size=3), min_size=3, max_size=3))
def test_merging_is_associative_and_only_appends(lists):
    a, b, c = (str(list(itertools.chain(*each))).replace("'", '"').encode() for each in lists)
    assert _merge(_merge(a, b), c) == _merge(a, _merge(b, c))
    assert _merge(a, b).startswith(_merge(a, b"[]")[:-1])


def test_router_gives_a_column_at_once_and_finds_it_again():
    store = MemoryStore()
    with Router(arms=["a", "b"], features=features(), store=store, seed=0) as router:
        assert [column(router, each) for each in ("x", "y", None, "x", "z", "w")] == [0, 1, 4, 0, 2, 3]
    with Router(arms=["a", "b"], features=features(), store=store, seed=0) as router:
        assert [column(router, each) for each in ("w", "z", "x")] == [3, 2, 0]


def test_two_routers_of_one_metadata_have_columns_of_their_own():
    shared = features()
    one, other = (Router(arms=["a", "b"], features=shared, store=MemoryStore(), seed=0) for _ in range(2))
    assert [column(one, "x"), column(one, "y"), column(other, "y"), column(other, "x")] == [0, 1, 0, 1]


def test_processes_on_one_database_agree_on_the_columns(tmp_path):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    parts = Compose(blocks=[Complexity(), features()])
    start = Complexity().dimension
    routers = [Router(arms=["a", "b"], features=parts, store=SQLStore(url), seed=seed) for seed in range(2)]

    def columns(router):
        rows = [router.route("Hi", metadata={"tenant": tenant}).x[start:-1] for tenant in "pqr"]
        return [int(row.argmax()) for row in rows]

    assert columns(routers[0]) == [3, 3, 3]  # other values, until they are recorded
    columns(routers[1])
    deadline = time.monotonic() + 20.0
    while (found := [columns(router) for router in routers]) != [[0, 1, 2]] * 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [sorted(each) for each in found] == [[0, 1, 2]] * 2
    assert found[0] == found[1]
    for router in routers:
        router.close()
    with Router(arms=["a", "b"], features=parts, store=SQLStore(url), seed=3) as again:
        assert columns(again) == found[0]


def test_values_are_recorded_as_hashes():
    store = MemoryStore()
    with Router(arms=["a", "b"], features=features(), store=store, seed=0) as router:
        column(router, "somebody@example.org")
        (blob,) = (blob for name, blob in store._states["default"].items() if name == "vocabulary tenant")
    assert b"somebody" not in blob


def test_store_that_does_not_answer_is_asked_once_for_each_value_and_not_without_end():
    asked = []
    slot = StateSlot(name="vocabulary tenant", save=lambda name, blob, merge=None: asked.append(blob))
    known = KnownValues(name="tenant", size=3, slot=slot)
    assert {known.column(f"{n % 50}") for n in range(200)} == {3}
    assert len(asked) == len(set(asked)) == 3
    known.follow(_merge(asked[0], asked[1]))
    assert [known.column("0"), known.column("1"), known.column("2")] == [0, 1, 3]


def test_threads_give_each_value_a_column_of_its_own():
    known = KnownValues(name="tenant", size=64)
    barrier = threading.Barrier(4)

    def see(values):
        barrier.wait()
        for value in values:
            known.column(value)

    values = [str(each) for each in range(64)]
    threads = [threading.Thread(target=see, args=(values[k:] + values[:k],)) for k in (0, 16, 32, 48)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(known.column(value) for value in values) == list(range(64))


@pytest.mark.parametrize("wrap", [lambda block: WarmUp(block=block), lambda block: Standardize(block=block)])
def test_block_that_grows_is_not_scaled(wrap):
    with pytest.raises(InvalidConfigurationError, match="next to this one with Compose"):
        wrap(features())


def test_profile_needs_the_columns_of_a_router():
    results = [(Request(text="Hi", metadata={"tenant": "x"}), {"quality": 1.0})] * 4
    results += [(Request(text="Hi", metadata={"tenant": "y"}), {"quality": 0.0})] * 4
    with pytest.raises(InvalidRequestError, match=r"features=router\.features"):
        profile("c", results, features=features())
    router = Router(arms=["a", "b"], features=features(), seed=0)
    assert column(router, "y") == 0
    made = profile("c", results, features=router.features)
    assert made.profile["quality"]["metadata.tenant.00"] < 0.5 < made.profile["quality"]["metadata.tenant.01"]


@pytest.mark.parametrize("size", [0, 1025, 1.5, None])
def test_unusable_size_is_refused(size):
    with pytest.raises(InvalidConfigurationError, match="size"):
        Vocabulary(size=size)
