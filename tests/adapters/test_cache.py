"""The adapter cache: one load at a time for each adapter, from threads and coroutines; failures leave nothing."""

import asyncio
import threading

import pytest

from banditroute.adapters import (
    AdapterCache,
    AdapterSpec,
    Capacity,
    LoadResult,
    SimulatedBackend,
    Tier,
    lru,
)
from banditroute.core.state import StateSlot
from banditroute.errors import (
    AdapterCapacityError,
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

    async def test_who_gives_up_waiting_does_not_cancel_the_load_of_others(self):
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

    def test_what_could_not_be_unloaded_is_still_there(self):
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


class TestControl:
    def test_what_is_kept_is_loaded_in_the_background_and_stays(self):
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

    def test_what_cannot_be_kept_is_logged_and_the_others_are_loaded(self, caplog):
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
        cache.restore(StateSlot(name="paging", save=lambda name, blob, merge: states.__setitem__(name, blob)))
        cache.start([A, B])
        backend_says = cache.load_cost(A).mean_seconds
        use(cache, A)
        assert set(states) == {"paging"}
        again = AdapterCache(backend=Backend(), control=lru)
        again.restore(StateSlot(name="paging", stored=states["paging"]))
        again.start([A, B])
        assert again.load_cost(A).mean_seconds == pytest.approx(backend_says)
        with pytest.raises(IncompatibleStoreError, match="the stored state 'paging' is damaged"):
            again.restore(StateSlot(name="paging", stored=b"{"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": "http://localhost"}, r"backend is 'http://localhost' \(str\); give one such as PeftBackend"),
        ({"control": "lru"}, r"control is 'lru'; give Polar\(...\), or a rule such as lru"),
        ({"timeout_seconds": 0.0}, "timeout_seconds is 0.0; give a number above 0"),
        ({"timeout_seconds": True}, r"timeout_seconds is True \(bool\)"),
    ],
)
def test_what_cannot_be_a_cache(given, message):
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
def test_what_it_cannot_serve(adapters, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        AdapterCache(backend=Backend()).start(adapters)
