"""A fleet: the best server of an adapter, failures of servers, and servers that join, drain and leave."""

import asyncio
import threading

import numpy as np
import pytest

from banditroute.adapters import AdapterSpec, Capacity, CostEstimate, Fleet, SimulatedBackend, Tier, lru
from banditroute.core.state import StateSlot
from banditroute.errors import (
    AdapterIncompatibleError,
    AdapterNotFoundError,
    BackendUnavailableError,
    InvalidConfigurationError,
)


def spec(name, **options):
    return AdapterSpec(name=name, path=name, size_bytes=100, **options)


A, B, C, D = (spec(name) for name in "abcd")


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Backend(SimulatedBackend):
    """Counts loads, waits at a gate, and fails when it is told to."""

    def __init__(self, *, slots=2, base_seconds=0.25):
        super().__init__(
            capacity=Capacity(slots=slots, staging_slots=1),
            base_seconds=base_seconds,
            bytes_per_second=1e12,
            jitter=0.0,
        )
        self.calls = []
        self.failure = None
        self.gate = threading.Event()
        self.gate.set()

    def load(self, adapter):
        self.calls.append(adapter.name)
        assert self.gate.wait(10.0)
        if self.failure is not None:
            raise self.failure
        return super().load(adapter)

    def resident(self):
        if isinstance(self.failure, BackendUnavailableError):
            raise self.failure
        return super().resident()

    def restart(self):
        self._resident.clear()


def made(n=2, *, control=lru, **options):
    backends = {f"s{i}": Backend(**options.pop(f"s{i}", {})) for i in range(n)}
    clock = options.pop("clock", None) or Clock()
    fleet = Fleet(servers=backends, control=control, clock=clock, **options)
    fleet.start([A, B, C, D])
    return fleet, backends, clock


class TestServer:
    def test_resident_adapter_is_served_where_it_is(self):
        fleet, backends, _ = made()
        fleet.hold(A, server="s1").release()
        hold = fleet.hold(A)
        assert (hold.server, hold.seconds) == ("s1", 0.0)
        assert backends["s0"].calls == []

    def test_given_server_is_taken_even_if_another_is_idler(self):
        fleet, _, _ = made()
        fleet.hold(A, server="s1").release()
        assert fleet.hold(A, server="s0").server == "s0"

    def test_idler_of_equal_servers_is_taken(self):
        fleet, _, _ = made()
        holds = [fleet.hold(adapter) for adapter in (A, B, C, D)]
        assert [hold.server for hold in holds] == ["s0", "s1", "s0", "s1"]

    def test_faster_server_is_taken_for_a_load(self):
        fleet, _, _ = made(s0={"base_seconds": 2.0}, s1={"base_seconds": 0.1})
        assert fleet.hold(A).server == "s1"
        assert fleet.load_cost(A).mean_seconds == pytest.approx(0.1)

    def test_free_slot_is_taken_before_a_faster_load_that_evicts(self):
        fleet, backends, _ = made(s0={"base_seconds": 0.2, "slots": 1}, s1={"base_seconds": 0.3})
        fleet.hold(A, server="s0").release()
        assert fleet.hold(B).server == "s1"
        fleet.hold(C).release()
        assert fleet.hold(D).server == "s0"  # both are full now, and it is faster
        assert backends["s1"].calls == ["b", "c"]

    def test_equal_servers_without_a_good_guess_share_the_loads(self):
        doubt = CostEstimate(mean_seconds=0.5, p95_seconds=1.0, log_std=2.3)
        servers = {name: Backend(slots=4, base_seconds=0.002) for name in ("s0", "s1")}
        for backend in servers.values():
            backend.load_cost = lambda adapter: doubt
        fleet = Fleet(servers=servers, control=lru)
        fleet.start([A, B, C, D])
        for adapter in (A, B, C, D):
            fleet.hold(adapter).release()
        assert {len(backend.calls) > 0 for backend in servers.values()} == {True}

    def test_load_that_is_going_on_makes_a_queue(self):
        fleet, backends, _ = made(s0={"base_seconds": 0.5}, s1={"base_seconds": 0.6})
        backends["s0"].gate.clear()
        thread = threading.Thread(target=fleet.hold, args=(A,))
        thread.start()
        while not backends["s0"].calls:
            pass
        assert fleet.queue_seconds(["s0", "s1"]) == pytest.approx([0.5, 0.0])
        assert fleet.hold(B).server == "s1"
        backends["s0"].gate.set()
        thread.join(10.0)
        assert fleet.queue_seconds(["s0"]) == pytest.approx([0.0], abs=1e-6)

    def test_requests_beyond_the_concurrency_make_a_queue(self):
        fleet, _, clock = made(concurrency=2)
        first = fleet.hold(A, server="s0")
        clock.now += 3.0
        first.release()  # the mean service time is 3 seconds
        assert fleet.queue_seconds(["s0"]) == pytest.approx([0.0], abs=1e-6)
        holds = [fleet.hold(A, server="s0") for _ in range(3)]
        assert fleet.queue_seconds(["s0"]) == pytest.approx([2 * 3.0 / 2], abs=1e-6)  # one waits, and the new one
        assert fleet.hold(A).server == "s1"  # a load of .25 s is worth it
        for hold in holds:
            hold.release()

    def test_decision_counts_until_it_is_served_or_a_minute_has_passed(self):
        fleet, _, clock = made(concurrency=1)
        hold = fleet.hold(A, server="s0")
        clock.now += 2.0
        hold.release()
        fleet.decided("s0")
        fleet.decided("s0")
        assert fleet.queue_seconds(["s0"]) == pytest.approx([4.0], abs=1e-6)
        fleet.hold(A, server="s0").release()
        assert fleet.queue_seconds(["s0"]) == pytest.approx([1.0], abs=1e-6)  # mean of 2 and 0 s
        clock.now += 61.0
        assert fleet.queue_seconds(["s0"]) == pytest.approx([0.0], abs=1e-6)

    def test_tier_is_the_best_of_all_servers(self):
        fleet, _, _ = made()
        assert fleet.tier(A) is Tier.DISK
        fleet.hold(A).release()
        assert fleet.tier(A) is Tier.GPU
        assert (fleet.resident, fleet.loads, fleet.failures) == ({"a"}, 1, 0)

    async def test_coroutines_share_a_load(self):
        fleet, backends, _ = made()
        holds = await asyncio.gather(*(fleet.ahold(A, server="s0") for _ in range(5)))
        assert backends["s0"].calls == ["a"]
        assert fleet.open_requests("s0") == 5
        for hold in holds:
            hold.release()
            hold.release()  # twice is harmless
        assert fleet.open_requests("s0") == 0


class TestFailure:
    def test_next_server_is_tried_and_the_broken_one_left_alone(self):
        fleet, backends, clock = made()

        def served_by(adapter):
            hold = fleet.hold(adapter, server="s0")
            hold.release()
            return hold.server

        backends["s0"].failure = BackendUnavailableError("s0 is down")
        assert served_by(A) == "s1"
        assert fleet.servers == ("s1",)
        assert served_by(B) == "s1"
        assert backends["s0"].calls == ["a"]
        clock.now += 1.01
        assert served_by(C) == "s1"  # the broken one is tried again, in vain
        assert backends["s0"].calls == ["a", "c"]
        clock.now += 1.01
        assert fleet.servers == ("s1",)  # the second break is twice as long
        clock.now += 1.0
        backends["s0"].failure = None
        assert served_by(C) == "s0"
        assert fleet.servers == ("s0", "s1")

    def test_server_that_was_down_is_asked_for_its_adapters(self):
        fleet, backends, clock = made()
        fleet.hold(A, server="s0").release()
        backends["s0"].failure = BackendUnavailableError("s0 is down")
        fleet.hold(B, server="s0").release()
        backends["s0"].failure = None
        backends["s0"].restart()
        clock.now += 2.0
        assert fleet.hold(A, server="s0").seconds == pytest.approx(0.25)

    def test_refusal_of_one_server_does_not_break_it(self):
        fleet, backends, _ = made()
        backends["s0"].failure = AdapterNotFoundError("no such files on s0")
        assert fleet.hold(A, server="s0").server == "s1"
        assert fleet.servers == ("s0", "s1")

    def test_failure_of_all_servers_is_raised(self):
        fleet, backends, _ = made()
        for backend in backends.values():
            backend.failure = BackendUnavailableError("down")
        with pytest.raises(BackendUnavailableError, match="down"):
            fleet.hold(A)
        assert fleet.servers == ()
        assert np.isfinite(fleet.queue_seconds(["s0", "s1"])).all()
        for backend in backends.values():
            backend.failure = None
        assert fleet.hold(A).seconds == pytest.approx(0.25)  # if all failed, they are tried again at once
        assert len(fleet.servers) == 1

    def test_failed_request_makes_its_server_check_the_adapter(self):
        fleet, backends, _ = made()
        fleet.hold(A, server="s0").release()
        backends["s0"].restart()
        fleet.hold(A, server="s0").release(failed=True)
        assert fleet.hold(A, server="s0").seconds == pytest.approx(0.25)

    def test_other_errors_are_not_hidden(self):
        fleet, backends, _ = made()
        backends["s0"].failure = ZeroDivisionError()
        with pytest.raises(ZeroDivisionError):
            fleet.hold(A, server="s0")
        assert fleet.open_requests("s0") == 0

    def test_name_of_another_adapter_is_refused_on_every_server(self):
        fleet, _, _ = made()
        for server in ("s0", "s1"):
            fleet.hold(A, server=server).release()
        with pytest.raises(AdapterIncompatibleError, match="the name 'a' belongs to the adapter in 'a'"):
            fleet.hold(AdapterSpec(name="a", path="a-2", size_bytes=100))


class TestMembers:
    def test_joining_server_takes_requests(self):
        fleet, _, _ = made(1)
        fleet.hold(A)
        fleet.add("new", Backend())
        assert fleet.servers == ("s0", "new")
        assert fleet.hold(B).server == "new"

    def test_draining_server_serves_what_it_has_and_gets_nothing_new(self):
        fleet, _, _ = made()
        hold = fleet.hold(A, server="s0")
        fleet.drain("s0")
        assert fleet.servers == ("s1",)
        assert fleet.hold(A, server="s0").server == "s1"
        assert fleet.open_requests("s0") == 1
        hold.release()
        assert fleet.open_requests("s0") == 0
        fleet.remove("s0")
        assert fleet.servers == ("s1",)

    def test_removed_server_still_takes_releases(self):
        fleet, _, _ = made()
        hold = fleet.hold(A, server="s0")
        fleet.remove("s0")
        hold.release(failed=True)
        assert fleet.hold(A, server="s0").server == "s1"

    def test_fleet_that_drains_everywhere_says_so(self):
        fleet, _, _ = made(1)
        fleet.drain("s0")
        with pytest.raises(BackendUnavailableError, match="no server can load adapter 'a': all servers are draining"):
            fleet.hold(A)

    def test_members_are_checked(self):
        fleet, _, _ = made()
        with pytest.raises(InvalidConfigurationError, match="server 's0' exists already"):
            fleet.add("s0", Backend())
        for method in (fleet.drain, fleet.remove, fleet.open_requests):
            with pytest.raises(InvalidConfigurationError, match="unknown server 'x'; known servers: s0, s1"):
                method("x")
        fleet.remove("s0")
        with pytest.raises(InvalidConfigurationError, match="server 's1' is the last one"):
            fleet.remove("s1")


class TestKept:
    def test_each_adapter_is_kept_on_one_server(self):
        fleet, backends, _ = made(2, control=None, s0={"slots": 1}, s1={"slots": 2})
        assert fleet.capacity == Capacity(slots=3, staging_slots=2)
        fleet.keep([A, B, C])
        fleet.wait()
        assert fleet.kept == {"a", "b", "c"}
        assert sorted(backends["s0"].calls + backends["s1"].calls) == ["a", "b", "c"]
        assert len(backends["s0"].calls) == 1

    def test_adapters_of_a_draining_server_move(self):
        fleet, backends, _ = made(2, control=None)
        fleet.keep([A, B])
        fleet.wait()
        fleet.drain("s0")
        fleet.wait()
        assert backends["s1"].resident().keys() == {"a", "b"}
        assert fleet.kept == {"a", "b"}

    def test_load_times_are_learned_and_stored_for_each_server(self):
        states = {}
        save = lambda name, blob, merge: states.__setitem__(name, blob)  # noqa: E731
        fleet, _, _ = made()
        fleet.restore(lambda name: StateSlot(name=name, save=save))
        fleet.hold(A, server="s1").release()
        assert len(states) == 1
        again, _, _ = made()
        again.restore(lambda name: StateSlot(name=name, stored=states.get(name)))
        assert again.cache_of("s1").load_cost(A).n == 1
        assert again.cache_of("s0").load_cost(A).n == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"servers": {}}, "servers is empty; give at least one"),
        ({"servers": {"": Backend()}}, "server name has 0 characters"),
        ({"servers": {"a": "http://localhost"}}, r"backend is 'http://localhost' \(str\)"),
        ({"concurrency": 0}, "concurrency is 0; give a whole number of at least 1"),
        ({"timeout_seconds": 0.0}, "timeout_seconds is 0.0; give a number above 0"),
    ],
)
def test_unusable_settings_are_refused(given, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Fleet(**{"servers": {"a": Backend()}, **given})
