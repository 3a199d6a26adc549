"""The adapter cache: loads the adapters that requests need, keeps those worth keeping, and measures load times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from banditroute.adapters.backends.base import AdapterBackend, Capability, Capacity, CostEstimate, Tier
from banditroute.adapters.background import BackgroundLoads
from banditroute.adapters.controller import Controller
from banditroute.adapters.eviction import Score, Use
from banditroute.adapters.hold import Hold
from banditroute.adapters.load_times import LoadTimes
from banditroute.adapters.loader import Loader
from banditroute.adapters.lookahead import loads_ahead, service_order
from banditroute.adapters.resident_set import ResidentSet
from banditroute.core.adapter import AdapterSpec
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.state import StateSlot
from banditroute.core.validation import number
from banditroute.errors import InvalidConfigurationError


class LoadTable(NamedTuple):
    """Load seconds of n adapters on R servers.

    Attributes
    ----------
    servers
        Names of the servers; None for a cache that is not part of a fleet.
    priced_seconds
        Seconds at which a load is priced, with the optimism of doubt ``(R, n)``.
    expected_seconds
        Expected seconds of a load ``(R, n)``.
    resident
        Whether the adapter is resident ``(R, n)``, so that no load is needed.
    full
        Whether a load on this server evicts another adapter ``(R,)``.
    """

    servers: tuple[str | None, ...]
    priced_seconds: Vector
    expected_seconds: Vector
    resident: NDArray[np.bool_]
    full: NDArray[np.bool_]

    @classmethod
    def stack(cls, tables: Sequence[LoadTable]) -> LoadTable:
        """Return the table of several servers."""
        servers, *arrays = zip(*tables, strict=True)
        return cls(sum(servers, ()), *(np.concatenate(rows) for rows in arrays))


class AdapterCache:
    """The adapters of one backend: a router chooses among them, and they are loaded when requests need them.

    Parameters
    ----------
    backend
        The owner of the memory that adapters are loaded into.
    control
        Decides which adapters are kept. A :class:`~banditroute.adapters.Controller` plans ahead; adapters that are not
        kept use the staging slot. An eviction rule, such as :func:`~banditroute.adapters.eviction.lru`, evicts on each
        miss. Default: ``Controller()``.
    timeout_seconds
        How long a request may wait for others to leave a slot, above 0.

    Raises
    ------
    InvalidConfigurationError
        If an argument is of another kind, or the time is out of range.

    Examples
    --------
    >>> from banditroute.adapters import Capacity, SimulatedBackend
    >>> cache = AdapterCache(backend=SimulatedBackend(capacity=Capacity(slots=2, staging_slots=1), jitter=0.0))
    >>> law = AdapterSpec(name="law", path="law", size_bytes=100_000_000)
    >>> cache.start([law])
    >>> cache.acquire(law), cache.acquire(law)
    (0.1, 0.0)
    >>> cache.resident
    frozenset({'law'})
    """

    def __init__(
        self, *, backend: AdapterBackend, control: Controller | Score | None = None, timeout_seconds: float = 60.0
    ) -> None:
        if not isinstance(backend, AdapterBackend):
            raise InvalidConfigurationError(
                f"backend is {backend!r} ({type(backend).__name__}); give one such as PeftBackend(...)"
            )
        control = Controller() if control is None else control
        if not isinstance(control, Controller) and not callable(control):
            raise InvalidConfigurationError(f"control is {control!r}; give Controller(...), or a rule such as lru")
        if number(timeout_seconds, name="timeout_seconds", error=InvalidConfigurationError) <= 0.0:
            raise InvalidConfigurationError(f"timeout_seconds is {timeout_seconds!r}; give a number above 0")
        self.control = control
        self.capacity: Capacity = backend.capacity()
        self._backend = backend
        self._owned = True  # whether this process plans what the backend keeps
        self._keep: frozenset[str] = frozenset()
        score: Score = self._is_kept if isinstance(control, Controller) else control
        self.resident_set: ResidentSet = ResidentSet(capacity=self.capacity, score=score)
        self._on_change: Callable[[], None] = lambda: None
        self._slot = StateSlot(name="paging")
        self.loader: Loader = Loader(
            backend=backend,
            residents=self.resident_set,
            timeout_seconds=timeout_seconds,
            on_change=lambda: self._on_change(),
            on_measured=lambda blob: self._slot.save(blob),
            may_unload=lambda: self._owned,
        )
        self._background = BackgroundLoads(load=self._load_ahead)

    def start(
        self,
        adapters: Sequence[AdapterSpec],
        *,
        changed: Callable[[], None] | None = None,
    ) -> None:
        """Serve a router with these adapters; a router does this.

        Parameters
        ----------
        changed
            Called when other adapters are resident, or when an expected load time changes.

        Raises
        ------
        InvalidConfigurationError
            If two adapters have one name, or the pinned ones alone do not fit.
        """
        check_adapters(adapters, slots=self.capacity.slots)
        self._on_change = self._on_change if changed is None else changed

    def restore(self, slots: Callable[[str], StateSlot], *, name: str = "paging") -> None:
        """Use the load times that are stored under ``name``, and store later ones there; a router does this.

        Raises
        ------
        IncompatibleStoreError
            If the stored load times are damaged.
        """
        self._slot = slots(name)
        self.loader.times = self._slot.load(lambda blob: LoadTimes(blob=blob))

    @property
    def load_times(self) -> LoadTimes:
        """The times that loads took on this backend."""
        return self.loader.times

    def learn_from(self, peers: Callable[[], Iterable[LoadTimes]]) -> None:
        """Expect loads to take as long as on other servers, which ``peers`` returns, until some are measured here."""
        self.loader.peers = peers

    @property
    def shared_caches(self) -> dict[str, AdapterCache]:
        """The caches whose backend other processes use too, by the name of their server: one with a server."""
        return {} if Capability.STRICT in self._backend.capabilities else {"": self}

    @property
    def keeps(self) -> frozenset[str]:
        """Names of the adapters that are to be kept."""
        return self._keep

    def follow(self, adapters: Mapping[AdapterSpec, bool], *, keep: Sequence[str] | None) -> None:
        """Take over what another process reports of the backend; a router with a shared database does this.

        Parameters
        ----------
        adapters
            Adapter -> whether it is resident now.
        keep
            Names that another process keeps, which plans from now on; None: this process plans.
        """
        if keep is not None:
            if self._owned:
                self._background.clear()
            self._keep = frozenset(keep)
        self._owned = keep is None
        changed = False
        for adapter, there in adapters.items():
            if there:
                cost = self.load_cost(adapter).mean_seconds
                changed |= self.resident_set.follow(
                    adapter.name, size_bytes=self.size_bytes(adapter), load_seconds=cost
                )
            else:
                changed |= self.resident_set.evict(adapter.name) or self.resident_set.doubt(adapter.name)
        if changed:
            self._on_change()

    @property
    def resident(self) -> frozenset[str]:
        """Names of the adapters that are resident, as far as is known."""
        return self.resident_set.names

    @property
    def kept(self) -> frozenset[str]:
        """Those of them that have no staging slot."""
        return self.resident_set.kept

    @property
    def loads(self) -> int:
        """Number of loads."""
        return self.loader.loads

    @property
    def failures(self) -> int:
        """Number of loads that failed."""
        return self.loader.failures

    @property
    def pending_seconds(self) -> float:
        """Expected seconds of the loads that are going on."""
        return self.loader.pending_seconds

    def load_cost(self, adapter: AdapterSpec) -> CostEstimate:
        """Return the expected time of a load of ``adapter`` from its present tier, whether or not it is resident."""
        return self.loader.estimate(adapter)

    def load_table(self, adapters: Sequence[AdapterSpec], *, server: str | None = None) -> LoadTable:
        """Return the load seconds of n adapters; see ``LoadTable``. ``server`` is the cache's name in a fleet."""
        resident = self.resident_set.names
        estimates = [self.load_cost(adapter) for adapter in adapters]
        return LoadTable(
            servers=(server,),
            priced_seconds=np.array([[estimate.optimistic_seconds for estimate in estimates]]),
            expected_seconds=np.array([[estimate.mean_seconds for estimate in estimates]]),
            resident=np.array([[adapter.name in resident for adapter in adapters]], dtype=np.bool_),
            full=np.array([self.full]),
        )

    def queue_seconds(self, servers: Sequence[str | None]) -> list[float]:
        """Return the seconds that a request would wait before its load: 0, there is no other server."""
        return [0.0] * len(servers)

    def decided(self, server: str | None) -> None:
        """Count a decision for a server: only fleets do."""

    def tier(self, adapter: AdapterSpec) -> Tier:
        """Return the tier of ``adapter`` as far as is known: registered only (``DISK``), in ``RAM``, or in ``GPU``."""
        if adapter.name in self.resident_set.names:
            return Tier.GPU
        source = self._backend.load_cost(adapter).source
        return Tier.RAM if source is Tier.GPU else source

    def size_bytes(self, adapter: AdapterSpec) -> int:
        """Return the bytes of ``adapter``; 1 if they are unknown."""
        return self.loader.size_bytes(adapter)

    def acquire(self, adapter: AdapterSpec) -> float:
        """Load ``adapter`` if it is not resident, and hold it until ``release``; return the seconds waited.

        The seconds include a load that another request began, and the wait for a slot. They are 0 for a resident
        adapter.

        Raises
        ------
        AdapterError
            If it cannot be loaded, or no slot became free in time. Nothing is left half-loaded.
        """
        return self.loader.acquire(adapter, keep=self._keeps(adapter))

    async def aacquire(self, adapter: AdapterSpec) -> float:
        """Do as ``acquire`` does, without blocking the event loop."""
        return await self.loader.aacquire(adapter, keep=self._keeps(adapter))

    def hold(self, adapter: AdapterSpec, *, server: str | None = None) -> Hold:
        """Do as ``acquire`` does, and return a hold that releases the adapter; ``server`` is for fleets."""
        return self._held(adapter, self.acquire(adapter))

    async def ahold(self, adapter: AdapterSpec, *, server: str | None = None) -> Hold:
        """Do as ``hold`` does, without blocking the event loop."""
        return self._held(adapter, await self.aacquire(adapter))

    @property
    def full(self) -> bool:
        """True if another adapter can be loaded only in place of one."""
        slots = self.capacity.slots
        return slots is not None and self.resident_set.size >= slots

    def release(self, name: str) -> None:
        """Report that a request through adapter ``name`` has been answered."""
        self.resident_set.release(name)

    def doubt(self, name: str) -> None:
        """Report that a request through adapter ``name`` failed: the server may have been restarted, or evicted it.

        The next use asks the backend, and loads the adapter again if it is gone. Until then it counts as not resident.
        """
        if self.resident_set.doubt(name):
            self._on_change()

    def pin(self, adapter: AdapterSpec) -> float:
        """Load ``adapter``, and let it stay whatever is requested; return the seconds waited.

        Raises
        ------
        AdapterError
            If it cannot be loaded, or would take the last slot.
        """
        waited = self.acquire(replace(adapter, pinned=True))
        self.release(adapter.name)
        return waited

    def unpin(self, name: str) -> None:
        """Let adapter ``name`` be evicted again."""
        self.resident_set.unpin(name)

    def prioritize(self, name: str, priority: float) -> None:
        """Give adapter ``name`` a priority: of two adapters the one of lower priority leaves first. Default: 0."""
        self.resident_set.priorities[name] = number(priority, name="priority", error=InvalidConfigurationError)

    def keep(self, adapters: Sequence[AdapterSpec]) -> None:
        """Keep these adapters from now on; those not resident are loaded in this order, in the background.

        Nothing happens while another process plans for the backend.
        """
        if not self._owned:
            return
        self._background.clear()
        self._keep = frozenset(adapter.name for adapter in adapters)
        kept = self.resident_set.kept
        self._background.add([adapter for adapter in adapters if adapter.name not in kept])

    def prefetch(self, decisions: Sequence[Decision], *, max_overtaken: int = 16) -> Iterator[Decision]:
        """Yield the decisions of waiting requests in the order in which to serve them.

        The order is that of :func:`banditroute.adapters.lookahead.service_order`. At the first decision, and whenever
        the adapter changes, the adapters that the rest of the queue needs are loaded in the background, as many as fit
        (:func:`banditroute.adapters.lookahead.loads_ahead`). For them no adapter leaves that the controller keeps or
        that the queue needs, and staging slots are used. Meanwhile the adapters of the queue leave after all others.

        Parameters
        ----------
        decisions
            Decisions of a router with this cache, oldest first; one queue at a time.
        max_overtaken
            How many later requests may be served before any one, at least 0; 0 is the order of arrival.

        Raises
        ------
        InvalidConfigurationError
            If ``max_overtaken`` is not a whole number of at least 0.
        """
        adapters = [None if decision.residency is None else decision.residency.adapter for decision in decisions]
        names = [None if adapter is None else adapter.name for adapter in adapters]
        order = service_order(names, resident=self.resident_set.names, max_overtaken=max_overtaken)
        return self._serve([(decisions[i], adapters[i]) for i in order])

    def wait(self) -> None:
        """Return when the loads that ``keep`` and ``prefetch`` asked for are done."""
        self._background.wait()

    def _serve(self, queue: Sequence[tuple[Decision, AdapterSpec | None]]) -> Iterator[Decision]:
        try:
            for n, (decision, adapter) in enumerate(queue):
                if n == 0 or adapter != queue[n - 1][1]:
                    self._look_ahead([later for _, later in queue[n:] if later is not None])
                yield decision
        finally:
            self.resident_set.awaited = ()

    def _look_ahead(self, adapters: Sequence[AdapterSpec]) -> None:
        """Load as many as fit of the adapters of waiting requests."""
        specs = {adapter.name: adapter for adapter in adapters}
        self.resident_set.awaited = frozenset(specs)
        slots, room = self.resident_set.left_beside(specs, kept=isinstance(self.control, Controller))
        resident = self.resident_set.names
        loads = loads_ahead(
            [adapter.name for adapter in adapters if adapter.name not in resident],
            load_seconds={name: self.load_cost(adapter).mean_seconds for name, adapter in specs.items()},
            slots=slots,
            sizes=None if room is None else {name: self.size_bytes(adapter) for name, adapter in specs.items()},
            room=room,
        )
        self._background.add([specs[name] for name in loads])

    def _held(self, adapter: AdapterSpec, seconds: float) -> Hold:
        return Hold(
            seconds=seconds, _release=partial(self.release, adapter.name), _doubt=partial(self.doubt, adapter.name)
        )

    def _load_ahead(self, adapter: AdapterSpec) -> None:
        self.acquire(adapter)
        self.release(adapter.name)

    def _keeps(self, adapter: AdapterSpec) -> bool:
        return adapter.name in self._keep or not isinstance(self.control, Controller)

    def _is_kept(self, use: Use, now: int) -> float:
        return float(use.name in self._keep)


def check_adapters(adapters: Sequence[AdapterSpec], *, slots: int | None) -> None:
    """Refuse adapters that no cache with so many slots can serve.

    Raises
    ------
    InvalidConfigurationError
        If one is of another kind, two have one name, or the pinned ones alone do not fit.
    """
    for adapter in adapters:
        if not isinstance(adapter, AdapterSpec):
            raise InvalidConfigurationError(
                f"adapter {adapter!r} is a {type(adapter).__name__}; give AdapterSpec(name=..., path=...)"
            )
    names = [adapter.name for adapter in adapters]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidConfigurationError(f"adapter names must be unique; given twice: {', '.join(twice)}")
    pinned = [adapter for adapter in adapters if adapter.pinned]
    if slots is not None and len(pinned) > slots:
        raise InvalidConfigurationError(f"{len(pinned)} adapters are pinned, and there are {slots} slots; pin fewer")
