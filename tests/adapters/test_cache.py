"""The adapter cache: one load at a time for each adapter, from threads and coroutines; failures leave nothing."""

import asyncio
import threading

import pytest

from banditroute.adapters import (
    AdapterCache,
    AdapterSpec,
    Capacity,
    CostEstimate,
    LoadResult,
    SimulatedBackend,
    Tier,
    lru,
)
from banditroute.core.state import StateSlot
from banditroute.errors import (
    AdapterCapacityError,
    AdapterIncompatibleError,
    BackendUnavailableError,
    IncompatibleStoreError,
    InvalidConfigurationError,
)


class Backend(SimulatedBackend):
    """Counts calls, waits at a gate, and fails when told to."""

    def __init__(self, *, slots=2, staging_slots=0, capabilities=None):
        capacity = Capacity(slots=slots, staging_slots=staging_slots)
        super().__init__(capacity=capacity, base_seconds=0.25, bytes_per_second=1e12, jitter=0.0)
        if capabilities is not None:
            self.capabilities = frozenset(capabilities)
        self.calls = []
        self.gate = threading.Event()
        self.gate.set()
        self.breaks = set()

    def load(self, adapter):
        self.calls.append(f"load {adapter.name}")
        assert self.gate.wait(10.0)
        if adapter.name in self.breaks:
            raise BackendUnavailableError(f"{adapter.name} is broken")
        return super().load(adapter)

    def unload(self, name):
        self.calls.append(f"unload {name}")
        if f"unload {name}" in self.breaks:
            raise BackendUnavailableError("no answer")
        return super().unload(name)


def spec(name, **options):
    return AdapterSpec(name=name, path=name, size_bytes=100, **options)


A, B, C, D = (spec(name) for name in "abcd")


def made(backend, control=lru, **options):
    cache = AdapterCache(backend=backend, control=control, **options)
    cache.start([A, B, C, D])
    return cache


def use(cache, adapter):
    seconds = cache.acquire(adapter)
    cache.release(adapter.name)
    return seconds


class TestLoading:
    def test_evicts_before_it_loads(self):
        backend = Backend(slots=1)
        cache = made(backend)
        assert use(cache, A) == pytest.approx(0.25)
        assert use(cache, A) == 0.0
        use(cache, B)
        assert backend.calls == ["load a", "unload a", "load b"]
        assert (cache.resident, cache.loads) == ({"b"}, 2)

    def test_threads_share_a_load(self):
        backend = Backend()
        cache = made(backend)
        backend.gate.clear()
        threads = [threading.Thread(target=use, args=(cache, A)) for _ in range(8)]
        for thread in threads:
            thread.start()
        backend.gate.set()
        for thread in threads:
            thread.join(10.0)
        assert backend.calls == ["load a"]

    async def test_coroutines_share_a_load_and_the_loop_is_free_meanwhile(self):
        backend = Backend()
        cache = made(backend)
        backend.gate.clear()
        waiting = [asyncio.create_task(cache.aacquire(A)) for _ in range(8)]
        while not backend.calls:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        backend.gate.set()
        *waited, loaded = sorted(await asyncio.gather(*waiting))
        assert loaded == pytest.approx(0.25)
        assert all(0.01 <= seconds < 0.25 for seconds in waited)  # the load of this backend takes no time of the clock
        assert backend.calls == ["load a"]

    async def test_a_cancelled_waiter_does_not_cancel_the_load_of_others(self):
        backend = Backend()
        cache = made(backend)
        backend.gate.clear()
        first = asyncio.create_task(cache.aacquire(A))
        while not backend.calls:
            await asyncio.sleep(0.001)
        assert cache.loads == 0
        second, third = (asyncio.create_task(cache.aacquire(A)) for _ in range(2))
        await asyncio.sleep(0.01)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        backend.gate.set()
        loaded, waited = await asyncio.gather(first, third)
        assert loaded == pytest.approx(0.25)
        assert waited >= 0.01

    async def test_a_cancelled_load_leaves_nothing_behind_and_counts_for_nothing(self):
        class Slow(Backend):
            async def aload(self, adapter):
                await asyncio.sleep(60.0)

            async def aunload(self, name):
                return self.unload(name)

            async def aresident(self):
                return self.resident()

        cache = made(Slow())
        loading = asyncio.create_task(cache.aacquire(A))
        await asyncio.sleep(0.01)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        assert (cache.resident, cache.loads, cache.failures) == (frozenset(), 0, 0)
        assert use(cache, A) > 0.0

    async def test_a_backend_behind_a_network_is_awaited(self):
        class Network(Backend):
            async def aload(self, adapter):
                return self.load(adapter)

            async def aunload(self, name):
                return self.unload(name)

            async def aresident(self):
                return self.resident()

        backend = Network(slots=1)
        cache = made(backend)
        for adapter in (A, B):
            assert await cache.aacquire(adapter) == pytest.approx(0.25)
            cache.release(adapter.name)
        assert backend.calls == ["load a", "unload a", "load b"]

    def test_waits_for_a_slot_no_longer_than_it_may(self):
        cache = made(Backend(slots=1), timeout_seconds=0.05)
        cache.acquire(A)
        with pytest.raises(AdapterCapacityError, match=r"no slot became free for adapter 'b' in 0\.05 seconds"):
            cache.acquire(B)
        cache.release("a")
        assert use(cache, B) > 0.0

    def test_a_server_with_rules_of_its_own_is_told_of_every_use(self):
        class Server(Backend):
            def load(self, adapter):
                self.calls.append(f"load {adapter.name}")
                gone = len(self.calls) == 3
                here = adapter.name in self._resident and not gone
                self._resident[adapter.name] = adapter
                source = Tier.GPU if here else Tier.DISK
                return LoadResult(name=adapter.name, seconds=0.0 if here else 0.5, source=source)

        backend = Server(capabilities=())
        cache = made(backend)
        assert [use(cache, A) for _ in range(4)] == [0.5, 0.0, 0.5, 0.0]
        assert backend.calls == ["load a"] * 4
        assert cache.loads == 2


class TestFailure:
    def test_leaves_nothing_behind(self):
        backend = Backend(slots=1)
        cache = made(backend)
        use(cache, A)
        backend.breaks = {"b"}
        with pytest.raises(BackendUnavailableError, match="b is broken"):
            cache.acquire(B)
        assert (cache.resident, cache.failures, cache.loads) == (frozenset(), 1, 1)
        backend.breaks = set()
        assert use(cache, B) > 0.0

    def test_adapter_that_could_not_be_unloaded_stays_resident(self):
        backend = Backend(slots=1)
        cache = made(backend)
        use(cache, A)
        backend.breaks = {"unload a"}
        with pytest.raises(BackendUnavailableError):
            cache.acquire(B)
        assert cache.resident == {"a"}
        assert use(cache, A) == 0.0

    def test_those_who_wait_try_themselves(self):
        backend = Backend()
        cache = made(backend)
        backend.breaks = {"a"}
        failures = []

        def attempt():
            try:
                cache.acquire(A)
            except BackendUnavailableError as error:
                failures.append(error)

        threads = [threading.Thread(target=attempt) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10.0)
        assert len(failures) == cache.failures == 3


class Server(Backend):
    """Evicts by itself, is told of every use, and forgets everything when it restarts."""

    capabilities = frozenset()

    def load(self, adapter):
        there = adapter.name in self.resident()
        if not there:
            return super().load(adapter)
        return LoadResult(name=adapter.name, seconds=0.0, source=Tier.GPU)

    def restart(self):
        self._resident.clear()
        self.calls.clear()


class TestDoubt:
    """A request through an adapter failed: it may be gone."""

    def test_adapter_that_is_gone_is_loaded_again_once(self):
        backend = Server()
        cache = made(backend)
        use(cache, A)
        backend.restart()
        cache.doubt("a")
        assert cache.resident == frozenset()
        backend.gate.clear()
        threads = [threading.Thread(target=use, args=(cache, A)) for _ in range(8)]
        for thread in threads:
            thread.start()
        backend.gate.set()
        for thread in threads:
            thread.join(10.0)
        assert backend.calls == ["load a"]
        assert cache.resident == {"a"}

    async def test_coroutines_share_the_load_too(self):
        backend = Server()
        cache = made(backend)
        use(cache, A)
        backend.restart()
        cache.doubt("a")
        await asyncio.gather(*(cache.aacquire(A) for _ in range(8)))
        assert backend.calls == ["load a"]

    def test_restart_is_noticed_for_all_adapters_at_once(self):
        backend = Server()
        cache = made(backend)
        for adapter in (A, B):
            use(cache, adapter)
        backend.restart()
        cache.doubt("a")
        use(cache, A)
        assert cache.resident == {"a"}
        use(cache, B)
        assert backend.calls == ["load a", "load b"]

    def test_adapter_that_is_still_there_is_not_loaded(self):
        backend = Server()
        cache = made(backend)
        use(cache, A)
        backend.calls.clear()
        cache.doubt("a")
        assert use(cache, A) == 0.0
        assert backend.calls == []
        assert (cache.resident, cache.loads) == ({"a"}, 1)

    def test_adapter_in_use_is_checked_and_every_hold_is_released(self):
        backend = Server()
        cache = made(backend)
        cache.acquire(A)
        backend.restart()
        cache.doubt("a")
        cache.acquire(A)
        assert backend.calls == ["load a"]
        assert cache.resident_set.users("a") == 2
        for _ in range(2):
            cache.release("a")
        assert cache.resident_set.evict("a")

    def test_failed_check_leaves_the_adapter_doubted_and_its_holds_in_place(self):
        backend = Server()
        cache = made(backend)
        cache.acquire(A)
        backend.restart()
        cache.doubt("a")
        backend.breaks = {"a"}
        with pytest.raises(BackendUnavailableError):
            cache.acquire(A)
        assert cache.resident == frozenset()
        cache.release("a")
        backend.breaks = set()
        assert use(cache, A) == pytest.approx(0.25)

    def test_unknown_or_doubted_adapter_is_ignored(self):
        changes = []
        cache = AdapterCache(backend=Server(), control=lru)
        cache.start([A], changed=lambda: changes.append(1))
        cache.doubt("a")
        assert changes == []
        use(cache, A)
        changes.clear()
        cache.doubt("a")
        cache.doubt("a")
        assert changes == [1]

    def test_eviction_behind_our_back_is_noticed_by_a_strict_backend_too(self):
        backend = Backend()
        cache = made(backend)
        use(cache, A)
        backend.unload("a")
        cache.doubt("a")
        assert use(cache, A) == pytest.approx(0.25)

    def test_restart_is_a_change_that_the_router_sees(self):
        changes = []
        backend = Server()
        cache = AdapterCache(backend=backend, control=lru)
        cache.start([A], changed=lambda: changes.append(cache.resident))
        use(cache, A)
        backend.restart()
        cache.doubt("a")
        use(cache, A)
        assert changes == [{"a"}, frozenset(), {"a"}]


class TestPinAndPriority:
    def test_pinned_adapter_stays_until_it_is_unpinned(self):
        cache = made(Backend(slots=2))
        cache.pin(A)
        for adapter in (B, C, D):
            use(cache, adapter)
        assert cache.resident == {"a", "d"}
        cache.unpin("a")
        for adapter in (B, C):
            use(cache, adapter)
        assert cache.resident == {"b", "c"}

    def test_last_slot_is_not_pinned(self):
        cache = made(Backend(slots=1))
        cache.pin(A)
        with pytest.raises(AdapterCapacityError, match="all 1 slots hold pinned adapters"):
            cache.pin(B)

    def test_lower_priority_leaves_first(self):
        cache = made(Backend(slots=2))
        cache.prioritize("a", 1.0)
        for adapter in (A, B, C, D):
            use(cache, adapter)
        assert cache.resident == {"a", "d"}
        cache.prioritize("a", -1.0)
        use(cache, A)
        use(cache, B)
        assert cache.resident == {"b", "d"}

    @pytest.mark.parametrize("priority", [float("nan"), "high", True])
    def test_priority_is_a_finite_number(self, priority):
        with pytest.raises(InvalidConfigurationError, match="priority is"):
            made(Backend()).prioritize("a", priority)


class TestTiers:
    def test_adapter_is_registered_then_in_gpu_memory_then_in_ram(self):
        class Tiered(Backend):
            def load_cost(self, adapter):
                source = Tier.RAM if self.calls else Tier.DISK
                return CostEstimate(mean_seconds=0.25, p95_seconds=0.5, log_std=1.0, source=source)

        cache = made(Tiered(slots=1))
        assert cache.tier(A) is Tier.DISK
        use(cache, A)
        assert cache.tier(A) is Tier.GPU
        use(cache, B)
        assert cache.tier(A) is Tier.RAM

    def test_load_from_each_tier_is_measured_by_itself(self):
        class Tiered(Backend):
            def load_cost(self, adapter):
                source = Tier.RAM if self.calls else Tier.DISK
                return CostEstimate(mean_seconds=0.5, p95_seconds=1.0, log_std=2.3, source=source)

            def load(self, adapter):
                source = self.load_cost(adapter).source
                seconds = 3.0 if source is Tier.DISK else 0.05
                super().load(adapter)
                return LoadResult(name=adapter.name, seconds=seconds, source=source)

        backend = Tiered(slots=1)
        cache = made(backend)
        use(cache, A)
        from_ram = cache.load_cost(A)
        assert (from_ram.source, from_ram.n) == (Tier.RAM, 0)
        for adapter in (B, A, B, A):
            use(cache, adapter)
        assert cache.load_cost(A).mean_seconds == pytest.approx(0.05, rel=0.3)
        backend.calls.clear()
        assert cache.load_cost(A).mean_seconds == pytest.approx(3.0, rel=0.1)


def test_name_that_was_given_to_another_adapter_is_refused():
    cache = made(Backend())
    use(cache, A)
    with pytest.raises(
        AdapterIncompatibleError, match="the name 'a' belongs to the adapter in 'a', and 'a-2' is another"
    ):
        cache.acquire(AdapterSpec(name="a", path="a-2", size_bytes=100))
    assert use(cache, A) == 0.0


class TestControl:
    def test_kept_adapters_are_loaded_in_the_background_and_stay(self):
        backend = Backend(slots=2, staging_slots=1)
        cache = made(backend, control=None)
        cache.keep([B, A])
        cache.wait()
        assert backend.calls == ["load b", "load a"]
        for adapter in (C, D, C):
            use(cache, adapter)
        assert cache.kept == {"a", "b"}
        assert cache.resident == {"a", "b", "c"}
        cache.keep([C, B])  # c is there already, in the staging slot
        cache.wait()
        assert cache.kept == {"b", "c"}
        assert backend.calls[-1] == "load c"

    def test_kept_adapter_that_cannot_be_loaded_is_logged_and_the_others_are_loaded(self, caplog):
        backend = Backend()
        cache = made(backend, control=None)
        backend.breaks = {"a"}
        cache.keep([A, B])
        cache.wait()
        assert cache.resident == {"b"}
        assert "adapter 'a' cannot be loaded ahead: a is broken" in caplog.text

    def test_load_times_are_measured_and_kept(self):
        states = {}
        cache = AdapterCache(backend=Backend(), control=lru)
        save = lambda name, blob, merge: states.__setitem__(name, blob)  # noqa: E731
        cache.restore(lambda name: StateSlot(name=name, save=save))
        cache.start([A, B])
        backend_says = cache.load_cost(A).mean_seconds
        use(cache, A)
        assert set(states) == {"paging"}
        again = AdapterCache(backend=Backend(), control=lru)
        again.restore(lambda name: StateSlot(name=name, stored=states[name]))
        again.start([A, B])
        assert again.load_cost(A).mean_seconds == pytest.approx(backend_says)
        with pytest.raises(IncompatibleStoreError, match="the stored state 'paging' is damaged"):
            again.restore(lambda name: StateSlot(name=name, stored=b"{"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": "http://localhost"}, r"backend is 'http://localhost' \(str\); give one such as PeftBackend"),
        ({"control": "lru"}, r"control is 'lru'; give Controller\(...\), or a rule such as lru"),
        ({"timeout_seconds": 0.0}, "timeout_seconds is 0.0; give a number above 0"),
        ({"timeout_seconds": True}, r"timeout_seconds is True \(bool\)"),
    ],
)
def test_bad_cache_settings_are_refused(given, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        AdapterCache(**{"backend": Backend(), **given})


@pytest.mark.parametrize(
    ("adapters", "message"),
    [
        (["law"], "adapter 'law' is a str; give AdapterSpec"),
        ([A, spec("a")], "adapter names must be unique; given twice: a"),
        ([spec(name, pinned=True) for name in "abc"], "3 adapters are pinned, and there are 2 slots; pin fewer"),
    ],
)
def test_start_refuses_bad_adapters(adapters, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        AdapterCache(backend=Backend()).start(adapters)
