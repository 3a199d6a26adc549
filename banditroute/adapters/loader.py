"""The loader: has an adapter loaded and in use, from a thread or from a coroutine, and measures how long it took."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, TypeAlias

from banditroute.adapters.backends.base import (
    AdapterBackend,
    AsyncAdapterBackend,
    Capability,
    CostEstimate,
    LoadResult,
    check_same,
)
from banditroute.adapters.load_times import LoadTimes
from banditroute.adapters.resident_set import Load, ResidentSet, Wait
from banditroute.core.adapter import AdapterSpec
from banditroute.core.forking import hold_while_forking
from banditroute.core.promise import Promise
from banditroute.core.to_thread import to_thread
from banditroute.errors import AdapterCapacityError

_log = logging.getLogger("banditroute")

_Action: TypeAlias = tuple[str, tuple[object, ...]] | Promise[None]
"""A method of the backend with its arguments, or a promise to wait for."""


class Loader:
    """Loads adapters into a backend, one load at a time for each adapter. Thread-safe.

    Parameters
    ----------
    backend
        The owner of the memory.
    residents
        The plan of that memory.
    timeout_seconds
        How long a request may wait for others to leave a slot, above 0.
    on_change
        Called when other adapters are resident, or when expected load times change.
    on_measured
        Called with the load times, as bytes, when they change.
    may_unload
        Returns whether adapters may be unloaded to make room: other processes may use them.

    Attributes
    ----------
    loads, failures
        Number of loads, and of those that failed.
    pending_seconds
        Expected seconds of the loads that are going on.
    times
        What loads of this backend take.
    peers
        Returns what loads take on the other servers of a fleet.
    """

    def __init__(
        self,
        *,
        backend: AdapterBackend,
        residents: ResidentSet,
        timeout_seconds: float,
        on_change: Callable[[], None],
        on_measured: Callable[[bytes], object],
        may_unload: Callable[[], bool] = lambda: True,
    ) -> None:
        self.loads: int = 0
        self.failures: int = 0
        self.pending_seconds: float = 0.0
        self.times: LoadTimes = LoadTimes()
        self.peers: Callable[[], Iterable[LoadTimes]] = tuple
        self._backend = backend
        self._strict = Capability.STRICT in backend.capabilities
        self._residents = residents
        self._timeout_seconds = timeout_seconds
        self._on_change = on_change
        self._on_measured = on_measured
        self._may_unload = may_unload
        self._paths: dict[str, str] = {}  # of every adapter that was loaded: a name keeps its weights
        self._lock = threading.RLock()  # guards counts, times and paths
        hold_while_forking(self, "_lock")

    def begin_in_child(self) -> None:
        """Expect no load in a forked child: those that go on are the parent's."""
        self.pending_seconds = 0.0

    def estimate(self, adapter: AdapterSpec) -> CostEstimate:
        """Return the expected time of a load of ``adapter`` from its present tier, whether or not it is resident."""
        guess = self._backend.load_cost(adapter)
        with self._lock:
            residents = len(self._residents.names)
            return self.times.estimate(adapter, guess=guess, residents=residents, peers=self.peers())

    def size_bytes(self, adapter: AdapterSpec) -> int:
        """Return the bytes of ``adapter``; 1 if they are unknown."""
        return adapter.size_bytes or self._backend.size(adapter) or 1

    def acquire(self, adapter: AdapterSpec, *, keep: bool) -> float:
        """Load ``adapter`` if it is not resident, and hold it; return the seconds waited. See ``AdapterCache``."""
        steps, ends = self._steps(adapter, keep), time.monotonic() + self._timeout_seconds
        result: object = None
        failure: BaseException | None = None
        while True:
            try:
                action = steps.send(result) if failure is None else steps.throw(failure)
            except StopIteration as finished:
                return float(finished.value)
            result = failure = None
            try:
                if isinstance(action, Promise):
                    action.result(ends - time.monotonic())
                else:
                    result = getattr(self._backend, action[0])(*action[1])
            except BaseException as error:
                failure = error

    async def aacquire(self, adapter: AdapterSpec, *, keep: bool) -> float:
        """Do as ``acquire`` does, without blocking the event loop."""
        steps, ends = self._steps(adapter, keep), time.monotonic() + self._timeout_seconds
        awaitable = isinstance(self._backend, AsyncAdapterBackend)
        result: object = None
        failure: BaseException | None = None
        while True:
            try:
                action = steps.send(result) if failure is None else steps.throw(failure)
            except StopIteration as finished:
                return float(finished.value)
            result = failure = None
            try:
                if isinstance(action, Promise):
                    if not await action.wait_async(ends - time.monotonic()):
                        raise TimeoutError
                elif awaitable:
                    result = await getattr(self._backend, "a" + action[0])(*action[1])
                else:
                    result = await to_thread(getattr(self._backend, action[0]), *action[1])
            except BaseException as error:
                failure = error

    def _steps(self, adapter: AdapterSpec, keep: bool) -> Generator[_Action, Any, float]:
        """Yield the actions that make ``adapter`` resident, and return the seconds waited."""
        with self._lock:
            check_same(adapter, self._paths.get(adapter.name, adapter.path))
        waited = 0.0
        while True:
            estimate = self.estimate(adapter)
            step = self._residents.request(
                adapter.name,
                size_bytes=self.size_bytes(adapter),
                load_seconds=estimate.mean_seconds,
                pinned=adapter.pinned,
                keep=keep or adapter.pinned,
            )
            if isinstance(step, Wait):
                started = time.monotonic()
                try:
                    yield step.until
                except TimeoutError as error:
                    raise AdapterCapacityError(
                        f"no slot became free for adapter {adapter.name!r} in {self._timeout_seconds:g} seconds; give "
                        "more slots, or release adapters sooner"
                    ) from error
                waited += time.monotonic() - started
            elif isinstance(step, Load):
                return waited + (yield from self._load(adapter, step, estimate.mean_seconds))
            elif self._strict:
                return waited
            else:
                return waited + (yield from self._count_use(adapter))

    def _load(self, adapter: AdapterSpec, step: Load, expected_seconds: float) -> Generator[_Action, Any, float]:
        """Make room, load, and report the result to the resident set."""
        leaving = list(step.evict)
        started = time.monotonic()
        with self._lock:
            self.pending_seconds += expected_seconds
        try:
            if step.doubted:
                there = yield "resident", ()
                self._doubt_missing(there)
            if self._strict:
                yield from self._unload(leaving)
            guess = self._backend.load_cost(adapter)
            try:
                result: LoadResult = yield "load", (adapter,)
            except AdapterCapacityError:
                if not leaving or not self._may_unload():
                    raise
                yield from self._unload(leaving)
                result = yield "load", (adapter,)
        except BaseException as error:
            self._residents.failed(adapter.name, still=leaving)
            self._count(failures=isinstance(error, Exception))
            raise
        finally:
            with self._lock:
                self.pending_seconds = max(self.pending_seconds - expected_seconds, 0.0)
        with self._lock:
            self._paths[adapter.name] = adapter.path
        self._residents.loaded(adapter.name, evicted=result.evicted)
        waited = self._measure(adapter, result, time.monotonic() - started, guess)
        self._count(loads=not result.was_resident)
        return waited

    def _unload(self, leaving: list[str]) -> Generator[_Action, Any, None]:
        """Unload adapters, and take them off the list.

        A backend with rules of its own makes room by itself: other processes may use what is to leave. So it is asked
        to unload only if it has no room.
        """
        while leaving:
            yield "unload", (leaving[0],)
            del leaving[0]

    def _count_use(self, adapter: AdapterSpec) -> Generator[_Action, Any, float]:
        """Count a use at a backend with rules of its own, which may have evicted the adapter meanwhile."""
        started = time.monotonic()
        guess = self._backend.load_cost(adapter)
        try:
            result: LoadResult = yield "load", (adapter,)
        except BaseException as error:
            self._residents.release(adapter.name)
            self._residents.evict(adapter.name)
            self._count(failures=isinstance(error, Exception))
            raise
        if result.was_resident:
            return 0.0
        for name in result.evicted:
            self._residents.evict(name)
        waited = self._measure(adapter, result, time.monotonic() - started, guess)
        self._count(loads=1)
        return waited

    def _doubt_missing(self, there: Mapping[str, object]) -> None:
        """Doubt every adapter that the backend does not name: one that was restarted has lost them all."""
        for name in self._residents.names - there.keys():
            self._residents.doubt(name)

    def _measure(self, adapter: AdapterSpec, result: LoadResult, waited: float, guess: CostEstimate) -> float:
        """Count the load's time, and return the seconds waited."""
        if result.was_resident:
            return 0.0
        if result.seconds is not None:
            with self._lock:
                # The guess was for the tier that the adapter was believed to be in.
                as_loaded = guess if guess.source is result.source else _from_tier(guess, result)
                self.times.add(adapter, result.seconds, residents=len(self._residents.names), guess=as_loaded)
                self._on_measured(self.times.to_bytes())
        return waited if result.seconds is None else result.seconds

    def _count(self, *, loads: int = 0, failures: int = 0) -> None:
        """Count a load, and report that other adapters are resident."""
        with self._lock:
            self.loads += loads
            self.failures += failures
        try:
            self._on_change()
        except Exception:  # the adapter is loaded, and must be served and released
            _log.warning("a change of the resident adapters could not be reported", exc_info=True)


def _from_tier(guess: CostEstimate, result: LoadResult) -> CostEstimate:
    """Return a guess for the tier of ``result``, about which nothing was guessed."""
    seconds = result.seconds or guess.mean_seconds
    return CostEstimate(mean_seconds=seconds, p95_seconds=2.0 * seconds, log_std=guess.log_std, source=result.source)
