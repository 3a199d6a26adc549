"""The resident set: never more than fits, never without what is in use, one load at a time for each adapter."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from banditroute.adapters.backends.base import Capacity
from banditroute.adapters.eviction import lfu
from banditroute.adapters.resident_set import Load, Ready, ResidentSet, Wait
from banditroute.errors import AdapterCapacityError


def load(resident, name, **options):
    """Load and release; whom it evicted."""
    step = resident.request(name, **options)
    assert isinstance(step, Load)
    resident.loaded(name)
    resident.release(name)
    return step.evict


class TestRoom:
    def test_bytes_are_made_free_before_a_load(self):
        resident = ResidentSet(capacity=Capacity(size_bytes=10))
        for name, size in (("a", 4), ("b", 3), ("c", 3)):
            assert load(resident, name, size_bytes=size) == ()
        assert load(resident, "d", size_bytes=6) == ("a", "b")
        assert resident.names == {"c", "d"}

    def test_adapter_in_use_stays_and_others_wait_for_its_slot(self):
        resident = ResidentSet(capacity=Capacity(slots=1))
        assert isinstance(resident.request("a"), Load)
        resident.loaded("a")
        assert resident.request("a") == Ready()
        assert resident.users("a") == 2
        step = resident.request("b")
        assert isinstance(step, Wait)
        resident.release("a")
        assert step.until.done()
        step = resident.request("b")
        assert isinstance(step, Wait)
        assert not step.until.done()
        resident.release("a")
        assert step.until.done()
        assert resident.request("b") == Load(evict=("a",), staged=False)

    def test_pinned_stay(self):
        resident = ResidentSet(capacity=Capacity(slots=2))
        load(resident, "a", pinned=True)
        load(resident, "b")
        assert load(resident, "c") == ("b",)
        load(resident, "d", pinned=True)
        with pytest.raises(AdapterCapacityError, match="all 2 slots hold pinned adapters, none is left for 'e'"):
            resident.request("e")
        assert not resident.evict("a")
        assert resident.names == {"a", "d"}

    def test_larger_than_all_room(self):
        resident = ResidentSet(capacity=Capacity(size_bytes=10))
        load(resident, "a", size_bytes=4, pinned=True)
        with pytest.raises(AdapterCapacityError, match="'b' has 7 bytes and 1 adapters are pinned, of 10 bytes"):
            resident.request("b", size_bytes=7)
        assert resident.names == {"a"}


class TestStaging:
    def test_staged_adapter_does_not_evict_kept_ones(self):
        resident = ResidentSet(capacity=Capacity(slots=1, staging_slots=1))
        assert load(resident, "a", keep=False) == ()  # an empty slot is no use to anyone
        assert load(resident, "b", keep=False) == ()
        assert load(resident, "c", keep=False) == ("b",)
        assert (resident.names, resident.kept) == ({"a", "c"}, {"a"})

    def test_two_misses_at_once_take_turns(self):
        resident = ResidentSet(capacity=Capacity(slots=1, staging_slots=1))
        load(resident, "a")
        assert resident.request("b", keep=False) == Load(evict=(), staged=True)
        resident.loaded("b")
        assert isinstance(resident.request("c", keep=False), Wait)
        resident.release("b")
        assert resident.request("c", keep=False) == Load(evict=("b",), staged=True)

    def test_staged_adapter_that_is_kept_changes_place_with_the_lowest_score(self):
        resident = ResidentSet(capacity=Capacity(slots=1, staging_slots=1), score=lambda use, now: use.name == "b")
        load(resident, "a")
        load(resident, "b", keep=False)
        assert resident.request("b", keep=True) == Ready()
        assert resident.kept == {"b"}
        assert resident.names == {"a", "b"}

    def test_a_staged_adapter_does_not_replace_one_that_is_worth_more(self):
        resident = ResidentSet(capacity=Capacity(slots=1, staging_slots=1), score=lfu)
        load(resident, "a")
        for _ in range(3):
            resident.request("a")
            resident.release("a")
        load(resident, "b", keep=False)
        assert resident.request("b", keep=True) == Ready()
        assert resident.kept == {"a"}

    def test_pinned_adapter_takes_no_staging_slot(self):
        resident = ResidentSet(capacity=Capacity(slots=1, staging_slots=1))
        load(resident, "a")
        assert load(resident, "b", keep=False, pinned=True) == ("a",)
        assert resident.kept == {"b"}

    def test_adapter_pinned_later_leaves_its_staging_slot(self):
        resident = ResidentSet(capacity=Capacity(slots=1, staging_slots=1), score=lambda use, now: use.name == "a")
        load(resident, "a")
        load(resident, "b", keep=False)
        assert resident.request("b", keep=False, pinned=True) == Ready()
        assert resident.kept == {"b"}


class TestAwaited:
    def test_leaves_after_all_else(self):
        resident = ResidentSet(capacity=Capacity(slots=3))
        for name in "abc":
            load(resident, name)
        resident.awaited = {"a", "b"}
        assert [load(resident, name) for name in "def"] == [("c",), ("d",), ("e",)]
        resident.awaited = ()
        assert load(resident, "g") == ("a",)

    def test_left_beside_counts_free_slots_and_bytes(self):
        resident = ResidentSet(capacity=Capacity(slots=3, size_bytes=20, staging_slots=1))
        assert resident.left_beside((), kept=False) == (3, 20)
        load(resident, "a", size_bytes=2)
        load(resident, "b", size_bytes=3, pinned=True)
        load(resident, "c", size_bytes=4)
        load(resident, "d", size_bytes=5, keep=False)  # staged
        assert resident.left_beside((), kept=False) == (2, 17)
        assert resident.left_beside({"a", "z"}, kept=False) == (1, 15)
        assert resident.left_beside((), kept=True) == (1, 11)
        assert resident.left_beside({"d"}, kept=True) == (0, 6)
        resident.request("a")
        assert resident.left_beside((), kept=False) == (1, 15)
        assert ResidentSet(capacity=Capacity()).left_beside((), kept=True) == (None, None)


class TestOneLoad:
    def test_requests_for_a_loading_adapter_wait_for_that_load(self):
        resident = ResidentSet(capacity=Capacity(slots=1))
        load(resident, "a")
        assert resident.request("b") == Load(evict=("a",), staged=False)
        assert resident.names == frozenset()
        waiting = [resident.request("b"), resident.request("a")]  # a is just being evicted
        assert all(isinstance(step, Wait) and not step.until.done() for step in waiting)
        resident.loaded("b")
        assert all(step.until.done() for step in waiting)
        assert resident.request("b") == Ready()

    def test_a_failure_leaves_nothing_behind(self):
        resident = ResidentSet(capacity=Capacity(slots=2))
        load(resident, "a")
        load(resident, "b")
        assert resident.request("c") == Load(evict=("a",), staged=False)
        waiting = resident.request("c")
        resident.failed("c", still=["a"])
        assert waiting.until.done()
        assert resident.names == {"a", "b"}
        assert resident.request("a") == Ready()

    def test_adapter_evicted_before_a_failed_load_is_gone(self):
        resident = ResidentSet(capacity=Capacity(slots=1))
        load(resident, "a")
        resident.request("b")
        resident.failed("b")
        assert resident.names == frozenset()
        assert resident.request("a") == Load(evict=(), staged=False)

    def test_adapter_that_the_backend_evicted_is_not_resident_unless_in_use(self):
        resident = ResidentSet(capacity=Capacity(slots=3))
        load(resident, "a")
        load(resident, "b")
        resident.request("b")
        resident.request("c")
        resident.loaded("c", evicted=["a", "b", "never seen"])
        assert resident.names == {"b", "c"}


NAMES = st.sampled_from("abcdef")
SIZES = dict(zip("abcdef", (1, 2, 3, 4, 5, 9), strict=True))


class Machine(RuleBasedStateMachine):
    """Any order of requests, answers, failures and evictions, by a plain account of who holds what."""

    def __init__(self):
        super().__init__()
        self.resident = ResidentSet(capacity=Capacity(slots=3, size_bytes=11, staging_slots=1))
        self.here = {}  # name -> users
        self.loading = {}  # name -> those that leave for it
        self.pinned = set()
        self.waiting = []

    @rule(name=NAMES, keep=st.booleans(), pin=st.booleans())
    def request(self, name, keep, pin):
        pin = pin and len(self.pinned) < 1 and SIZES[name] < 4
        try:
            step = self.resident.request(name, size_bytes=SIZES[name], pinned=pin, keep=keep)
        except AdapterCapacityError:
            assert self.pinned
            assert name not in self.here
            return
        leaving = {each for some in self.loading.values() for each in some}
        if isinstance(step, Ready):
            assert name in self.here
            self.here[name] += 1
        elif isinstance(step, Wait):
            busy = name in self.loading or name in leaving
            taken = sum(self.here.values()) > 0 or self.loading or self.pinned
            assert busy or taken
            assert name not in self.here
            assert not step.until.done()
            self.waiting.append(step.until)
            return
        else:
            assert name not in self.here
            assert name not in self.loading
            assert name not in leaving
            assert not any(self.here[each] for each in step.evict)
            assert not set(step.evict) & self.pinned
            for each in step.evict:
                del self.here[each]
            self.loading[name] = step.evict
        if pin:
            self.pinned.add(name)

    @precondition(lambda self: self.loading)
    @rule(data=st.data(), works=st.booleans(), unloaded=st.booleans())
    def finish(self, data, works, unloaded):
        name = data.draw(st.sampled_from(sorted(self.loading)))
        leaving = self.loading.pop(name)
        waiting, self.waiting = self.waiting, []
        if works:
            self.resident.loaded(name)
            self.here[name] = 1
        else:
            self.resident.failed(name, still=() if unloaded else leaving)
            self.pinned.discard(name)
            self.here.update(dict.fromkeys(() if unloaded else leaving, 0))
        self.waiting = [until for until in waiting if not until.done()]
        assert len(self.waiting) <= len(waiting)

    @precondition(lambda self: any(self.here.values()))
    @rule(data=st.data())
    def release(self, data):
        name = data.draw(st.sampled_from(sorted(each for each, users in self.here.items() if users)))
        self.resident.release(name)
        self.here[name] -= 1

    @rule(name=NAMES)
    def evict(self, name):
        idle = self.here.get(name) == 0 and name not in self.pinned
        assert self.resident.evict(name) is idle
        if idle:
            del self.here[name]

    @invariant()
    def holds_what_it_should(self):
        assert self.resident.names == set(self.here)
        assert self.resident.kept <= self.resident.names
        assert {name: self.resident.users(name) for name in self.here} == self.here

    @invariant()
    def fits(self):
        # What leaves for a load is there until it has left.
        loads = [max(SIZES[name], sum(SIZES[each] for each in leaving)) for name, leaving in self.loading.items()]
        assert sum(SIZES[name] for name in self.here) + sum(loads) <= 11
        assert len(self.here) + sum(max(1, len(leaving)) for leaving in self.loading.values()) <= 4
        assert len(self.resident.kept) <= 3

    @invariant()
    def nobody_waits_for_nothing(self):
        """While all is idle, who asks again does not have to wait."""
        if not self.loading and not any(self.here.values()):
            assert all(until.done() for until in self.waiting)


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestMachine = Machine.TestCase
