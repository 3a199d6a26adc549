"""A forked child finds every part of the package whole, with locks and threads of its own."""

import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest

import banditroute
from banditroute.adapters import AdapterCache, AdapterSpec, Capacity, Fleet, SimulatedBackend
from banditroute.adapters.background import BackgroundLoads
from banditroute.adapters.resident_set import Load, Ready, ResidentSet
from banditroute.core import forking
from banditroute.core.forking import hold_while_forking
from banditroute.energy import EnergyMeter, meter
from banditroute.features import ClusterTracker, Complexity, WarmUp, static_embedding
from banditroute.features._together import Together
from tests.support import in_child

LAW, CODE = (AdapterSpec(name=name, path=name, size_bytes=100) for name in ("law", "code"))

# Locks and threads that a fork may leave alone, with the reason.
ALONE = {
    "core/promise.py": "its locks are those of waiting threads, which a child does not have",
    "adapters/backends/connection.py": "a timer of one call, which ends with it",
    "dashboard/history.py": "its reader reads under a lock of its own",
    "testing/store.py": "of a test",
}


def test_every_lock_and_thread_of_the_package_is_handled_in_a_fork():
    root = Path(banditroute.__file__).parent
    makes = re.compile(r"\b(R?Lock|Condition|Semaphore|Thread|Timer|ThreadPoolExecutor)\(")
    handles = re.compile(r"hold_while_forking|register_at_fork")
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    forgotten = {name for name, text in texts.items() if makes.search(text) and not handles.search(text)}
    assert forgotten == ALONE.keys()


# Locks that a signal handler must not take again in the middle of what they guard, with the reason.
TAKEN_ONCE = {
    "adapters/penalties.py": "a plan that is being made is never made twice: the lock is only tried",
    "adapters/backends/peft.py": "two loads at once would fill one slot",
    "features/cluster_tracker.py": "two refits at once would give two clusters one id",
    "core/forking.py": "makes the locks of others",
    "core/promise.py": "it belongs to one waiter, and another thread releases it",
    "testing/store.py": "of a test",
}


def test_every_lock_can_be_taken_again_by_a_signal_handler():
    """A handler interrupts its own thread, which would wait for itself without end."""
    root = Path(banditroute.__file__).parent
    plain = re.compile(r"(?<![R\w])Lock\(\)")
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    assert {name for name, text in texts.items() if plain.search(text)} == TAKEN_ONCE.keys()


class Equal:
    """A part that equals every other one, as values do."""

    def __init__(self):
        self.lock = threading.Lock()
        hold_while_forking(self, "lock")

    def __eq__(self, other):
        return isinstance(other, Equal)

    def __hash__(self):
        return 1


def holding(lock):
    """Hold a lock in another thread; return what ends that."""
    inside, over = threading.Event(), threading.Event()

    def hold():
        with lock:
            inside.set()
            over.wait(30.0)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    return lambda: (over.set(), thread.join())


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(forking, "_WAIT_SECONDS", 0.1)


def test_equal_parts_are_handled_each(impatient):
    parts = [Equal(), Equal()]
    ends = [holding(part.lock) for part in parts]
    assert in_child(lambda: str([part.lock.acquire(timeout=5) for part in parts])) == "[True, True]"
    for end in ends:
        end()


def test_parts_that_were_collected_are_forgotten():
    part = Equal()
    before = len(forking.held_parts)
    del part
    assert len(forking.held_parts) == before - 1


@pytest.mark.parametrize(
    ("part", "lock"),
    [
        (WarmUp(block=Complexity(), prompts=3), "_lock"),
        (ClusterTracker(), "_lock"),
        (ClusterTracker(), "_refitting"),
        (static_embedding, "_loading"),
        (meter, "_lock"),
        (SimulatedBackend(capacity=Capacity(slots=1)), "_lock"),
        (ResidentSet(capacity=Capacity(slots=1)), "_lock"),
        (BackgroundLoads(load=print), "_lock"),
    ],
    ids=lambda each: each if isinstance(each, str) else getattr(each, "__name__", type(each).__name__),
)
def test_lock_that_another_thread_holds_is_free_in_a_child(part, lock, impatient):
    end = holding(getattr(part, lock))
    assert in_child(lambda: str(getattr(part, lock).acquire(timeout=5))) == "True"
    end()
    assert getattr(part, lock).acquire(timeout=5)
    getattr(part, lock).release()


def test_child_embeds_while_a_thread_of_the_parent_is_in_the_model():
    entered, over = threading.Event(), threading.Event()

    def model(texts):
        if texts == ["parent"]:
            entered.set()
            over.wait(30.0)
        return np.array([[float(len(text))] for text in texts])

    together = Together(model, most=8)
    threads = [threading.Thread(target=together, args=([text],)) for text in ("parent", "waits")]
    threads[0].start()
    entered.wait()
    threads[1].start()
    assert in_child(lambda: str(together(["child"])[0][0])) == "5.0"
    over.set()
    for thread in threads:
        thread.join()


class Gated(SimulatedBackend):
    """A backend whose loads wait in the process that made it."""

    def __init__(self, **options):
        super().__init__(capacity=Capacity(slots=1), jitter=0.0, **options)
        self.entered, self.over, self.owner = threading.Event(), threading.Event(), os.getpid()

    def load(self, adapter):
        if os.getpid() == self.owner and adapter.name == "law":
            self.entered.set()
            self.over.wait(30.0)
        return super().load(adapter)


@pytest.mark.parametrize("adapter", [LAW, CODE])
@pytest.mark.parametrize("kind", ["cache", "fleet"])
def test_child_loads_an_adapter_while_a_thread_of_the_parent_loads_one(kind, adapter):
    backend = Gated()
    parts = AdapterCache(backend=backend) if kind == "cache" else Fleet(servers={"one": backend})
    parts.start([LAW, CODE])
    parts.hold(CODE).release()
    thread = threading.Thread(target=lambda: parts.hold(LAW).release())
    thread.start()
    backend.entered.wait()

    def serve():
        hold = parts.hold(adapter)
        hold.release()
        return f"{sorted(parts.resident)}"

    assert in_child(serve) == f"['{adapter.name}']"
    backend.over.set()
    thread.join()
    assert parts.resident == {"law"}


def test_child_takes_the_slot_of_an_adapter_that_the_parent_uses():
    cache = AdapterCache(backend=SimulatedBackend(capacity=Capacity(slots=1), jitter=0.0), timeout_seconds=5.0)
    cache.start([LAW, CODE])
    hold = cache.hold(LAW)

    def serve():
        other = cache.hold(CODE)
        hold.release()  # of the parent: it must not be counted
        other.release()
        return str(sorted(cache.resident))

    assert in_child(serve) == "['code']"
    hold.release()
    assert cache.resident == {"law"}


def test_child_loads_ahead_with_a_thread_of_its_own():
    backend = Gated()
    cache = AdapterCache(backend=backend)
    cache.start([LAW, CODE])
    cache.keep([LAW])
    backend.entered.wait()

    def serve():
        cache.keep([CODE])
        cache.wait()
        return str(sorted(cache.resident))

    assert in_child(serve) == "['code']"
    backend.over.set()
    cache.wait()


def test_resident_set_in_a_child_takes_back_what_the_parent_was_loading():
    residents = ResidentSet(capacity=Capacity(slots=1))
    residents.request("law")
    residents.loaded("law")
    residents.release("law")
    residents.request("code")
    residents.begin_in_child()  # as in a child
    assert residents.request("law") == Load(evict=(), staged=False, doubted=True)
    residents.loaded("law")
    residents.release("law")
    assert residents.request("law") == Ready()


def test_meter_of_a_child_is_not_shared_with_a_thread_of_the_parent():
    class Counter:
        devices, source = ("gpu 0",), "test"

        def read(self):
            return [0]

        def joules(self, begin, end, seconds):
            return 1.0

    def measure():
        with EnergyMeter(counters=[Counter()]) as inner:
            pass
        return str(inner.reading.shared)

    with EnergyMeter(counters=[Counter()]):
        assert measure() == "True"
        assert in_child(measure) == "False"
