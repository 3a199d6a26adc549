"""A fleet under fire: servers restart, fail half-way, run out of memory, evict behind our back, join and leave.

After every step no hold is lost, no adapter is loaded twice at a time, and none is evicted while it is in use.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from banditroute.adapters import (
    AdapterSpec,
    Capability,
    Capacity,
    Controller,
    CostEstimate,
    Fleet,
    LoadResult,
    Tier,
    lru,
)
from banditroute.errors import AdapterCapacityError, AdapterError, AdapterIncompatibleError, BackendUnavailableError

NAMES = [f"a{i}" for i in range(6)]
SPECS = {name: AdapterSpec(name=name, path=name, size_bytes=1) for name in NAMES}
SLOTS = 2


class Server:
    """A server whose memory is checked: ``STRICT``, or with an eviction of its own."""

    def __init__(self, *, strict):
        self.capabilities = frozenset({Capability.STRICT} if strict else ())
        self.strict = strict
        self.memory = {}  # name -> path
        self.failures = []  # of the next calls
        self.loading = set()
        self.in_use = lambda name: 0

    def capacity(self):
        return Capacity(slots=SLOTS, staging_slots=1 if self.strict else 0)

    def size(self, adapter):
        return adapter.size_bytes

    def load_cost(self, adapter):
        return CostEstimate(mean_seconds=0.5, p95_seconds=1.0, log_std=2.3)

    def fail(self):
        if self.failures:
            raise self.failures.pop()

    def load(self, adapter):
        self.fail()
        assert adapter.name not in self.loading, "loaded twice at a time"
        if adapter.name in self.memory:
            if self.memory[adapter.name] != adapter.path:
                raise AdapterIncompatibleError("another adapter of this name")
            return LoadResult(name=adapter.name, seconds=0.0, source=Tier.GPU)
        evicted = ()
        if len(self.memory) >= SLOTS + self.strict:
            assert not self.strict, "loaded into a full memory"
            evicted = (next(iter(self.memory)),)
            del self.memory[evicted[0]]
        self.memory[adapter.name] = adapter.path
        return LoadResult(name=adapter.name, seconds=0.1, source=Tier.DISK, evicted=evicted)

    def unload(self, name):
        self.fail()
        assert not self.in_use(name), "evicted while in use"
        self.memory.pop(name, None)
        return True

    def resident(self):
        self.fail()
        return dict.fromkeys(self.memory, Tier.GPU)


class FleetUnderFire(RuleBasedStateMachine):
    holds = Bundle("holds")

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.servers = {"s0": Server(strict=True), "s1": Server(strict=False)}
        self.last = 1
        control = self.control()
        self.fleet = Fleet(servers=self.servers, control=control, timeout_seconds=1e-3, clock=lambda: self.now)
        self.fleet.start(list(SPECS.values()))
        self.open = []
        for name, server in self.servers.items():
            self.watch(name, server)

    def control(self):
        return lru

    def watch(self, name, server):
        server.in_use = lambda adapter: sum(hold.server == name and spec.name == adapter for hold, spec in self.open)

    @rule(target=holds, name=st.sampled_from(NAMES), position=st.integers(0, 3))
    def hold(self, name, position):
        spec = SPECS[name]
        server = list(self.servers)[position % len(self.servers)]
        try:
            held = (self.fleet.hold(spec, server=server), spec)
        except (AdapterCapacityError, BackendUnavailableError):
            return None
        self.open.append(held)
        there = self.servers.get(held[0].server)
        assert there is None or name in there.memory, "held, and not there"
        return held

    @rule(held=consumes(holds), failed=st.booleans())
    def release(self, held, failed):
        if held is not None:
            self.open.remove(held)
            held[0].release(failed=failed)
            held[0].release()

    @rule(position=st.integers(0, 3))
    def restart(self, position):
        """Everything is forgotten; requests in flight fail, which is how it is noticed."""
        name, server = list(self.servers.items())[position % len(self.servers)]
        server.memory.clear()
        self.fail_requests(name)

    @rule(position=st.integers(0, 3), choice=st.integers(0, SLOTS))
    def evict_behind_our_back(self, position, choice):
        """Evict an idle adapter; which are idle depends on threads, so nothing is drawn from them."""
        name, server = list(self.servers.items())[position % len(self.servers)]
        idle = sorted(each for each in server.memory if not server.in_use(each))
        if idle:
            gone = idle[choice % len(idle)]
            del server.memory[gone]
            self.fleet.cache_of(name).doubt(gone)  # a request fails

    def fail_requests(self, name):
        for adapter in NAMES:
            self.fleet.cache_of(name).doubt(adapter)

    @rule(
        position=st.integers(0, 3), kind=st.sampled_from(["unreachable", "full", "half-way"]), times=st.integers(1, 2)
    )
    def fail_next_calls(self, position, kind, times):
        server = list(self.servers.values())[position % len(self.servers)]
        error = AdapterCapacityError("out of memory") if kind == "full" else BackendUnavailableError(kind)
        server.failures = [error] * times

    @rule(seconds=st.sampled_from([0.5, 5.0, 100.0]))
    def pass_time(self, seconds):
        self.now += seconds

    @rule(name=st.sampled_from(NAMES))
    def give_the_name_to_another_adapter(self, name):
        """Refused where the first was loaded, and never served in its place."""
        impostor = AdapterSpec(name=name, path="elsewhere", size_bytes=1)
        loaded = [server for server in self.servers.values() if server.memory.get(name) == name]
        if len(loaded) == len(self.servers):
            try:
                held = self.fleet.hold(impostor)
            except AdapterError:
                return
            held.release()
            raise AssertionError("another adapter was served")

    @rule(strict=st.booleans())
    def join(self, strict):
        if len(self.servers) < 4:
            self.last += 1
            name = f"s{self.last}"
            self.servers[name] = Server(strict=strict)
            self.watch(name, self.servers[name])
            self.fleet.add(name, self.servers[name])

    @rule(position=st.integers(0, 3), drain=st.booleans())
    def leave(self, position, drain):
        if len(self.servers) > 1:
            name = list(self.servers)[position % len(self.servers)]
            if drain:
                self.fleet.drain(name)
            del self.servers[name]
            self.fleet.remove(name)

    @rule(keep=st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
    def keep(self, keep):
        self.fleet.keep([SPECS[name] for name in keep])
        self.fleet.wait()

    @invariant()
    def every_hold_is_counted(self):
        for name in self.servers:
            assert self.fleet.open_requests(name) == sum(hold.server == name for hold, _ in self.open)
            residents = self.fleet.cache_of(name).resident_set
            for adapter in NAMES:
                held = sum(hold.server == name and spec.name == adapter for hold, spec in self.open)
                assert residents.users(adapter) == held

    @invariant()
    def strict_memory_is_never_exceeded(self):
        assert all(len(server.memory) <= SLOTS + 1 for server in self.servers.values())

    @invariant()
    def queues_are_finite(self):
        assert all(0.0 <= each < 1e3 for each in self.fleet.queue_seconds(list(self.servers)))

    def teardown(self):
        for hold, _ in self.open:
            hold.release()
        self.fleet.wait()


class PlannedFleetUnderFire(FleetUnderFire):
    def control(self):
        return Controller()


# 40 runs of 50 steps are 2,000 operations each. A busy machine is not a fault.
RUNS = settings(max_examples=40, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FleetUnderFire.TestCase.settings = RUNS
PlannedFleetUnderFire.TestCase.settings = RUNS
TestFleetUnderFire = FleetUnderFire.TestCase
TestPlannedFleetUnderFire = PlannedFleetUnderFire.TestCase
