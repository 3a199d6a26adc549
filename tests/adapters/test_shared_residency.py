"""The shared records of servers: leases exclude each other, and what was seen last is believed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.adapters.shared_residency import RESIDENCY, SharedResidency
from banditroute.core.state import StateSlot


class Database:
    """Merges what is saved, as a store does."""

    def __init__(self):
        self.blob = None
        self.writes = 0
        self.now = 1000.0

    def save(self, name, blob, merge=None):
        self.writes += 1
        self.blob = blob if self.blob is None else merge(self.blob, blob)

    def process(self):
        return SharedResidency(slot=StateSlot(name=RESIDENCY, save=self.save), clock=lambda: self.now)


@pytest.fixture
def database():
    return Database()


def test_second_process_does_not_get_a_lease_that_has_not_ended(database):
    one, two = database.process(), database.process()
    one.claim({"gpu": ["law"]})
    two.claim({"gpu": ["code"]})  # it has not heard of the first
    two.follow(database.blob)
    assert not two.owns("gpu")
    assert two.keep("gpu") == ["law"]


def test_lease_ends_by_itself(database):
    one, two = database.process(), database.process()
    one.claim({"gpu": []})
    two.follow(database.blob)
    database.now += 9.9
    assert not two.owns("gpu")
    database.now += 0.2
    assert two.owns("gpu")
    two.claim({"gpu": ["code"]})
    one.follow(database.blob)
    assert not one.owns("gpu")


def test_lease_that_is_given_back_is_free_at_once(database):
    one, two = database.process(), database.process()
    one.claim({"gpu": []})
    one.release()
    two.follow(database.blob)
    assert two.owns("gpu")


def test_lease_of_a_clock_that_is_far_ahead_is_not_respected(database):
    ahead, two = database.process(), database.process()
    database.now += 1e6
    ahead.claim({"gpu": []})
    database.now -= 1e6
    two.follow(database.blob)
    assert two.owns("gpu")


def test_lease_is_not_written_again_before_it_has_to_be(database):
    one = database.process()
    for _ in range(5):
        one.claim({"gpu": ["law"]})
    assert database.writes == 1
    one.claim({"gpu": ["code"]})
    assert database.writes == 2
    database.now += 3.5
    one.claim({"gpu": ["code"]})
    assert database.writes == 3


def test_latest_published_residency_wins(database):
    one, two = database.process(), database.process()
    one.publish("gpu", {"law", "code"})
    assert two.follow(database.blob) == {"gpu": {"law": True, "code": True}}
    database.now += 1.0
    one.publish("gpu", {"code"})
    assert two.follow(database.blob) == {"gpu": {"law": False}}
    assert two.follow(database.blob) == {}


def test_residency_that_another_process_published_is_not_published_again(database):
    one, two = database.process(), database.process()
    one.publish("gpu", {"law"})
    two.follow(database.blob)
    two.publish("gpu", {"law"})
    assert database.writes == 1


def test_forked_child_is_another_process(database):
    one = database.process()
    one.claim({"gpu": []})
    one.begin_in_child()
    assert not one.owns("gpu")


@pytest.mark.parametrize(
    "blob", [b"no JSON", b"[1]", b'{"gpu": {"adapters": 3}}', b'{"gpu": {"adapters": {}, "x": 1}}']
)
def test_damaged_records_are_passed_over(database, blob):
    one = database.process()
    assert one.follow(blob) == {}
    assert one.owns("gpu")


steps = st.lists(
    st.tuples(st.sampled_from(["claim", "publish", "follow", "release", "wait"]), st.integers(0, 2), st.integers(0, 3)),
    max_size=40,
)


@given(steps)
def test_at_most_one_process_that_has_heard_all_owns_a_server(steps):
    database = Database()
    processes = [database.process() for _ in range(3)]
    for action, which, amount in steps:
        process = processes[which]
        if action == "claim":
            process.claim({"gpu": ["law"] * amount})
        elif action == "publish":
            process.publish("gpu", {"law", "code", "math"} - set(itertools.islice(("law", "code", "math"), amount)))
        elif action == "follow":
            process.follow(database.blob)
        elif action == "release":
            process.release()
        else:
            database.now += 4.0 * amount
    for process in processes:
        process.follow(database.blob)
    owners = [process.owns("gpu") for process in processes]
    assert sum(owners) == 1 or all(owners)  # all: nobody has the lease, and the first to claim gets it
