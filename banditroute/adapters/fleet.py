"""A fleet: several servers with the same base model, each with resident adapters, slots and a queue of its own.

A router chooses arm and server in one decision. The utility of an arm does not depend on the server, so the best server
of an arm is the one where it waits least:

    wait(arm, server) = load seconds, 0 if resident + seconds of the loads going on + seconds of queued requests

A load that evicts another adapter counts twice there: the other one will have to be loaded again. The arm is drawn by
utility less the price of its least wait. The server follows from the arm and the present state, so the propensity of
the arm is that of the pair.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from banditroute.adapters.backends.base import AdapterBackend, Capacity, CostEstimate, Tier
from banditroute.adapters.cache import AdapterCache, LoadTable, check_adapters
from banditroute.adapters.controller import Controller
from banditroute.adapters.eviction import Score
from banditroute.adapters.hold import Hold
from banditroute.adapters.placement import Room, place
from banditroute.core.adapter import AdapterSpec
from banditroute.core.forking import hold_while_forking
from banditroute.core.state import StateSlot
from banditroute.core.validation import label, number, whole
from banditroute.errors import AdapterError, BackendUnavailableError, InvalidConfigurationError

_FIRST_BREAK_SECONDS = 1.0  # that a server which failed is left alone; doubled with each failure in a row
_LONGEST_BREAK_SECONDS = 60.0
_FORGET_DECISION_SECONDS = 60.0  # after which a decision that was never served counts no longer
_SERVICE_MEMORY = 50.0  # requests over which the mean service time is taken
_FEW_LOADS = 8  # up to which a server is expected to be as fast as the others
_TIE_SECONDS = 1e-9  # per open request: of servers that wait equally long, the idler is chosen


@dataclass(slots=True, kw_only=True)
class _Server:
    cache: AdapterCache
    draining: bool = False
    open: int = 0  # requests that are being served
    decided: deque[float] = field(default_factory=deque)  # times of decisions that are not served yet
    service_seconds: float = 0.0  # mean of a request
    served: float = 0.0  # requests that the mean rests on
    failures: int = 0  # in a row
    down_until: float = -math.inf
    load_table: tuple[Sequence[AdapterSpec], LoadTable] | None = None  # until something changes


class Fleet:
    """Several servers that hold the adapters of one router.

    Parameters
    ----------
    servers
        Name -> backend, such as ``VLLMBackend``. Every server can load every adapter.
    control
        Decides which adapters are kept, as in ``AdapterCache``. A ``Controller`` plans for all servers together; an
        eviction rule works on each by itself.
    concurrency
        Requests that a server answers at a time, at least 1; further requests are expected to queue.
    timeout_seconds
        How long a request may wait for others to leave a slot, above 0.
    clock
        Seconds that never go back; replaced in tests.

    Raises
    ------
    InvalidConfigurationError
        If there is no server, or an argument is of another kind or out of range.

    Examples
    --------
    >>> from banditroute.adapters import SimulatedBackend
    >>> servers = {name: SimulatedBackend(capacity=Capacity(slots=1), jitter=0.0) for name in ("one", "two")}
    >>> fleet = Fleet(servers=servers)
    >>> law = AdapterSpec(name="law", path="law", size_bytes=100_000_000)
    >>> fleet.start([law])
    >>> hold = fleet.hold(law)
    >>> hold.server, hold.seconds
    ('one', 0.1)
    >>> hold.release()
    """

    def __init__(
        self,
        *,
        servers: Mapping[str, AdapterBackend],
        control: Controller | Score | None = None,
        concurrency: int = 16,
        timeout_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not servers:
            raise InvalidConfigurationError("servers is empty; give at least one, name -> backend")
        self.control: Controller | Score = Controller() if control is None else control
        self._concurrency = whole(concurrency, name="concurrency", error=InvalidConfigurationError)
        self._timeout_seconds = number(timeout_seconds, name="timeout_seconds", error=InvalidConfigurationError)
        self._clock = clock
        self._adapters: Sequence[AdapterSpec] = ()
        self._slots: Callable[[str], StateSlot] = lambda name: StateSlot(name=name)
        self._on_change: Callable[[], None] = lambda: None
        self._keep: list[AdapterSpec] = []
        self._lock = threading.RLock()  # guards the table below, and the counts in it
        self._servers: dict[str, _Server] = {}
        for name, backend in servers.items():
            self._servers[self._checked(name)] = _Server(cache=self._cache(backend))
        hold_while_forking(self, "_lock")

    def begin_in_child(self) -> None:
        """Count the requests of a forked child alone: those that are open are the parent's."""
        for server in self._servers.values():
            server.open = 0
            server.decided.clear()

    @property
    def servers(self) -> tuple[str, ...]:
        """Names of the servers that take requests: neither draining nor left alone after a failure."""
        now = self._clock()
        return tuple(name for name, server in self._table().items() if self._takes(server, now))

    def cache_of(self, server: str) -> AdapterCache:
        """Return the cache of a server; raise InvalidConfigurationError if the name is unknown."""
        return self._get(server).cache

    @property
    def shared_caches(self) -> dict[str, AdapterCache]:
        """The caches of servers that other processes use too, by the name of the server."""
        return {name: server.cache for name, server in self._table().items() if server.cache.shared_caches}

    @property
    def resident(self) -> frozenset[str]:
        """Names of the adapters that are resident on a server that takes requests."""
        return self._union(lambda cache: cache.resident)

    @property
    def kept(self) -> frozenset[str]:
        """Those of them that have no staging slot."""
        return self._union(lambda cache: cache.kept)

    @property
    def capacity(self) -> Capacity:
        """The room of all servers that take requests."""
        capacities = [server.cache.capacity for server in self._active().values()]
        slots = [capacity.slots for capacity in capacities]
        sizes = [capacity.size_bytes for capacity in capacities]
        return Capacity(
            slots=None if None in slots else max(sum(each or 0 for each in slots), 1),
            size_bytes=None if None in sizes else max(sum(each or 0 for each in sizes), 1),
            staging_slots=sum(capacity.staging_slots for capacity in capacities),
        )

    @property
    def loads(self) -> int:
        """Number of loads."""
        return sum(server.cache.loads for server in self._table().values())

    @property
    def failures(self) -> int:
        """Number of loads that failed."""
        return sum(server.cache.failures for server in self._table().values())

    def start(
        self,
        adapters: Sequence[AdapterSpec],
        *,
        changed: Callable[[], None] | None = None,
    ) -> None:
        """Serve a router with these adapters; see ``AdapterCache.start``."""
        check_adapters(adapters, slots=self.capacity.slots)
        self._adapters = list(adapters)
        self._on_change = self._on_change if changed is None else changed
        for name, server in self._table().items():
            self._start(name, server)

    def restore(self, slots: Callable[[str], StateSlot]) -> None:
        """Use the load times that are stored for each server; see ``AdapterCache.restore``."""
        self._slots = slots
        for name, server in self._table().items():
            server.cache.restore(slots, name=_slot_name(name))

    def add(self, name: str, backend: AdapterBackend) -> None:
        """Let a server join. It gets its share of the kept adapters.

        Raises
        ------
        InvalidConfigurationError
            If the name is taken or unusable, or the backend is of another kind.
        """
        server = _Server(cache=self._cache(backend))
        server.cache.restore(self._slots, name=_slot_name(name))
        self._start(name, server)
        with self._lock:
            self._servers = {**self._servers, self._checked(name): server}
        self._changed()
        self.keep(self._keep)

    def drain(self, name: str) -> None:
        """Send no more requests to a server; those that it serves go on. Its adapters move to the others."""
        self._get(name).draining = True
        self._changed()
        self.keep(self._keep)

    def remove(self, name: str) -> None:
        """Let a server leave, drained or dead. Requests that it serves still release what they hold."""
        self._get(name)
        with self._lock:
            if len(self._servers) == 1:
                raise InvalidConfigurationError(f"server {name!r} is the last one; add another first")
            self._servers = {key: server for key, server in self._servers.items() if key != name}
        self._changed()
        self.keep(self._keep)

    def open_requests(self, name: str) -> int:
        """Return the number of requests that a server is serving."""
        return self._get(name).open

    def load_cost(self, adapter: AdapterSpec) -> CostEstimate:
        """Return the expected time of the fastest load of ``adapter``."""
        estimates = [server.cache.load_cost(adapter) for server in self._active().values()]
        return min(estimates, key=lambda estimate: estimate.mean_seconds)

    def size_bytes(self, adapter: AdapterSpec) -> int:
        """Return the bytes of ``adapter``; 1 if they are unknown."""
        return next(iter(self._table().values())).cache.size_bytes(adapter)

    def tier(self, adapter: AdapterSpec) -> Tier:
        """Return the fastest tier of ``adapter`` on any server that takes requests."""
        order = (Tier.GPU, Tier.RAM, Tier.UNKNOWN, Tier.DISK)
        return min((server.cache.tier(adapter) for server in self._active().values()), key=order.index)

    def load_table(self, adapters: Sequence[AdapterSpec]) -> LoadTable:
        """Return the load seconds of n adapters on R servers; see ``LoadTable``."""
        tables = []
        for name, server in self._table().items():
            known, table = server.load_table or (None, None)
            if table is None or known is not adapters:
                table = server.cache.load_table(adapters, server=name)
                server.load_table = (adapters, table)
            tables.append(table)
        return LoadTable.stack(tables)

    def queue_seconds(self, servers: Sequence[str | None]) -> list[float]:
        """Return the seconds that a request would wait at each server before its load."""
        now, table = self._clock(), self._servers
        found = [table.get(name) for name in servers]  # type: ignore[arg-type]
        return [_LONGEST_BREAK_SECONDS if each is None else self._queue_seconds(each, now) for each in found]

    def decided(self, server: str | None) -> None:
        """Count a decision for a server, until it is served or forgotten after a minute."""
        found = self._table().get(server or "")
        if found is not None:
            found.decided.append(self._clock())

    def hold(self, adapter: AdapterSpec, *, server: str | None = None) -> Hold:
        """Have ``adapter`` resident on ``server``, else on the next best one, and in use until the hold is released.

        Raises
        ------
        AdapterError
            If no server can load it.
        """
        failure: AdapterError | None = None
        for name, found in self._candidates(adapter, server):
            try:
                return self._held(name, found, found.cache.hold(adapter))
            except AdapterError as error:
                failure = self._failed(found, error)
        raise failure or self._nobody(adapter)

    async def ahold(self, adapter: AdapterSpec, *, server: str | None = None) -> Hold:
        """Do as ``hold`` does, without blocking the event loop."""
        failure: AdapterError | None = None
        for name, found in self._candidates(adapter, server):
            try:
                return self._held(name, found, await found.cache.ahold(adapter))
            except AdapterError as error:
                failure = self._failed(found, error)
        raise failure or self._nobody(adapter)

    def doubt(self, name: str) -> None:
        """Report that a request through adapter ``name`` failed on a server that is not known; see ``AdapterCache``."""
        for server in self._table().values():
            server.cache.doubt(name)

    def prioritize(self, name: str, priority: float) -> None:
        """Give adapter ``name`` a priority on every server; see ``AdapterCache.prioritize``."""
        for server in self._table().values():
            server.cache.prioritize(name, priority)

    def pin(self, adapter: AdapterSpec, *, server: str) -> float:
        """Load ``adapter`` on a server, and let it stay there; see ``AdapterCache.pin``."""
        return self._get(server).cache.pin(adapter)

    def unpin(self, name: str) -> None:
        """Let adapter ``name`` be evicted again, on every server."""
        for server in self._table().values():
            server.cache.unpin(name)

    def keep(self, adapters: Sequence[AdapterSpec]) -> None:
        """Keep these adapters from now on, each on one server; see ``AdapterCache.keep``."""
        self._keep = list(adapters)
        active = self._active()
        rooms = {
            name: Room(
                slots=math.inf if server.cache.capacity.slots is None else server.cache.capacity.slots,
                size_bytes=math.inf if server.cache.capacity.size_bytes is None else server.cache.capacity.size_bytes,
                resident=server.cache.kept,
            )
            for name, server in active.items()
        }
        specs = {adapter.name: adapter for adapter in adapters}
        sizes = {name: float(self.size_bytes(adapter)) for name, adapter in specs.items()}
        for name, kept in place(list(specs), rooms=rooms, sizes=sizes).items():
            active[name].cache.keep([specs[each] for each in kept])

    def wait(self) -> None:
        """Return when the loads that ``keep`` asked for are done."""
        for server in self._table().values():
            server.cache.wait()

    def _checked(self, name: str) -> str:
        label(name, name="server name", error=InvalidConfigurationError)
        if name in self._servers:
            raise InvalidConfigurationError(f"server {name!r} exists already; give another name")
        return name

    def _cache(self, backend: AdapterBackend) -> AdapterCache:
        cache = AdapterCache(backend=backend, control=self.control, timeout_seconds=self._timeout_seconds)
        cache.learn_from(lambda: (each.cache.load_times for each in self._servers.values() if each.cache is not cache))
        return cache

    def _start(self, name: str, server: _Server) -> None:
        server.cache.start(self._adapters, changed=partial(self._changed, server))

    def _table(self) -> dict[str, _Server]:
        return self._servers  # exchanged as a whole, never changed in place

    def _get(self, name: str) -> _Server:
        try:
            return self._servers[name]
        except KeyError:
            known = ", ".join(self._servers)
            raise InvalidConfigurationError(f"unknown server {name!r}; known servers: {known}") from None

    def _takes(self, server: _Server, now: float) -> bool:
        return not server.draining and server.down_until <= now

    def _active(self) -> dict[str, _Server]:
        """Return the servers that take requests; if none does, all of them."""
        now = self._clock()
        table = self._table()
        return {name: server for name, server in table.items() if self._takes(server, now)} or table

    def _union(self, names: Callable[[AdapterCache], frozenset[str]]) -> frozenset[str]:
        return frozenset().union(*(names(server.cache) for server in self._active().values()))

    def _queue_seconds(self, server: _Server, now: float) -> float:
        if server.draining:
            return _LONGEST_BREAK_SECONDS
        decided = server.decided
        while decided and now - decided[0] > _FORGET_DECISION_SECONDS:
            decided.popleft()
        busy = server.open + len(decided)
        seconds = server.cache.pending_seconds + _TIE_SECONDS * busy
        if busy >= self._concurrency:
            seconds += (busy + 1 - self._concurrency) * server.service_seconds / self._concurrency
        return seconds + server.down_until - now if server.down_until > now else seconds

    def _candidates(self, adapter: AdapterSpec, server: str | None) -> list[tuple[str, _Server]]:
        """Return the servers to try, the given one first, then by the wait for ``adapter``.

        A server that failed a moment ago is tried only if all did.
        """
        now = self._clock()
        table = self._table()
        if server in table and table[server].decided:
            table[server].decided.popleft()
        waits = {
            name: self._queue_seconds(found, now) + self._load_seconds(found, adapter)
            for name, found in self._active().items()
            if not found.draining
        }
        order = sorted(waits, key=lambda name: (name != server, waits[name]))
        return [(name, table[name]) for name in order]

    def _load_seconds(self, server: _Server, adapter: AdapterSpec) -> float:
        if adapter.name in server.cache.resident:
            return 0.0
        return server.cache.load_cost(adapter).optimistic_seconds * (1 + server.cache.full)

    def _held(self, name: str, server: _Server, hold: Hold) -> Hold:
        with self._lock:
            server.open += 1
            server.failures, server.down_until = 0, -math.inf
        started = self._clock()

        def release() -> None:
            with self._lock:
                server.open = max(server.open - 1, 0)  # a forked child counts from 0
                server.served = min(server.served + 1.0, _SERVICE_MEMORY)
                server.service_seconds += (self._clock() - started - server.service_seconds) / server.served
            hold.release()

        return Hold(seconds=hold.seconds, server=name, _release=release, _doubt=hold.doubt)

    def _failed(self, server: _Server, error: AdapterError) -> AdapterError:
        """Leave a server alone that cannot be reached, and doubt its adapters: it may be restarted meanwhile."""
        if isinstance(error, BackendUnavailableError):
            with self._lock:
                server.failures += 1
                pause = min(_FIRST_BREAK_SECONDS * 2.0 ** (server.failures - 1), _LONGEST_BREAK_SECONDS)
                server.down_until = self._clock() + pause
            for name in server.cache.resident:
                server.cache.doubt(name)
            self._changed(server)
        return error

    def _nobody(self, adapter: AdapterSpec) -> AdapterError:
        return BackendUnavailableError(
            f"no server can load adapter {adapter.name!r}: all servers are draining; add one"
        )

    def _changed(self, server: _Server | None = None) -> None:
        for each in self._servers.values():
            # Servers with few loads of their own expect what the others measure.
            if each is server or each.cache.loads < _FEW_LOADS:
                each.load_table = None
        self._on_change()


def _slot_name(server: str) -> str:
    """Return the name under which the load times of a server are stored."""
    return f"paging:{server}"
