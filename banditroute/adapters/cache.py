"""The adapter cache: loads what is needed, keeps what the controller or a rule wants kept, and measures."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from typing import TypeAlias

from banditroute.adapters.backends.base import (
    AdapterBackend,
    AsyncAdapterBackend,
    Capability,
    CostEstimate,
    LoadResult,
)
from banditroute.adapters.controller import Polar
from banditroute.adapters.eviction import Score, Use
from banditroute.adapters.lookahead import loads_ahead, service_order
from banditroute.adapters.paging_cost import PagingCosts
from banditroute.adapters.resident_set import Load, ResidentSet, Wait
from banditroute.core.adapter import AdapterSpec
from banditroute.core.decision import Decision
from banditroute.core.state import StateSlot
from banditroute.core.validation import number
from banditroute.errors import AdapterCapacityError, InvalidConfigurationError

_log = logging.getLogger("banditroute")

_Do: TypeAlias = tuple[str, AdapterSpec | str] | Future[None]
"""A method of the backend with its argument, or what to wait for."""


class AdapterCache:
    """Which adapters are resident: what a router needs to choose among adapters and to have them loaded.

    Parameters
    ----------
    backend
        What holds the adapters.
    control
        Who decides what is kept: a controller (:class:`~banditroute.adapters.Polar`), for which adapters that are not
        kept pass through the staging slot; or a rule by which each miss evicts, such as
        :func:`~banditroute.adapters.eviction.lru`. Default: ``Polar()``.
    timeout_seconds
        How long a request may wait for others to leave a slot, above 0.

    Raises
    ------
    InvalidConfigurationError
        For what is no backend, no control, or no time.

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
        self, *, backend: AdapterBackend, control: Polar | Score | None = None, timeout_seconds: float = 60.0
    ) -> None:
        if not isinstance(backend, AdapterBackend):
            raise InvalidConfigurationError(
                f"backend is {backend!r} ({type(backend).__name__}); give one such as PeftBackend(...)"
            )
        control = Polar() if control is None else control
        if not isinstance(control, Polar) and not callable(control):
            raise InvalidConfigurationError(f"control is {control!r}; give Polar(...), or a rule such as lru")
        if number(timeout_seconds, name="timeout_seconds", error=InvalidConfigurationError) <= 0.0:
            raise InvalidConfigurationError(f"timeout_seconds is {timeout_seconds!r}; give a number above 0")
        self.control = control
        self.capacity = backend.capacity()
        self._backend = backend
        self._strict = Capability.STRICT in backend.capabilities
        self._timeout_seconds = timeout_seconds
        self._keep: frozenset[str] = frozenset()
        score: Score = self._kept if isinstance(control, Polar) else control
        self._set = ResidentSet(capacity=self.capacity, score=score)
        self._costs = PagingCosts()
        self._changed: Callable[[], None] = lambda: None
        self._slot = StateSlot(name="paging")
        self._moving = threading.Lock()
        self._mover: threading.Thread | None = None
        self._wanted: list[AdapterSpec] = []
        self._counting = threading.Lock()
        self._loads = self._failures = 0

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
            Called whenever residency or an expected load time is another.

        Raises
        ------
        InvalidConfigurationError
            For two adapters of one name, and where those pinned alone do not fit.
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
        if self.capacity.slots is not None and len(pinned) > self.capacity.slots:
            raise InvalidConfigurationError(
                f"{len(pinned)} adapters are pinned, and there are {self.capacity.slots} slots; pin fewer"
            )
        self._changed = self._changed if changed is None else changed

    def restore(self, slot: StateSlot) -> None:
        """Know the load times that are stored in ``slot``, and keep later ones there; a router does this.

        Raises
        ------
        IncompatibleStoreError
            If the stored load times are damaged.
        """
        self._slot = slot
        self._costs = slot.load(lambda blob: PagingCosts(blob=blob))

    @property
    def resident(self) -> frozenset[str]:
        """Names of the adapters that are resident, as far as is known."""
        return self._set.names

    @property
    def kept(self) -> frozenset[str]:
        """Those of them that do not just pass through the staging slot."""
        return self._set.kept

    @property
    def loads(self) -> int:
        """How many loads were made."""
        return self._loads

    @property
    def failures(self) -> int:
        """How many loads failed."""
        return self._failures

    def load_cost(self, adapter: AdapterSpec) -> CostEstimate:
        """What loading ``adapter`` is expected to take, whether or not it is resident."""
        prior = self._backend.load_cost(adapter)
        return self._costs.estimate(adapter, prior=prior, residents=len(self._set.names))

    def size_bytes(self, adapter: AdapterSpec) -> int:
        """The bytes of ``adapter``; 1 where nobody knows."""
        return adapter.size_bytes or self._backend.size(adapter) or 1

    def acquire(self, adapter: AdapterSpec) -> float:
        """Have ``adapter`` resident, and in use until ``release``; the seconds that it was waited for.

        What loading it took, here or for another request that began before, and until there was a slot; 0 where it was
        resident.

        Raises
        ------
        AdapterError
            If it cannot be loaded, or no slot became free in time. Nothing is left half-loaded.
        """
        steps, give_up = self._acquire(adapter), time.monotonic() + self._timeout_seconds
        done: LoadResult | None = None
        failed: BaseException | None = None
        while True:
            try:
                do = steps.send(done) if failed is None else steps.throw(failed)
            except StopIteration as finished:
                return float(finished.value)
            done = failed = None
            try:
                if isinstance(do, Future):
                    do.result(max(give_up - time.monotonic(), 0.0))
                else:
                    done = getattr(self._backend, do[0])(do[1])
            except BaseException as error:
                failed = error

    async def aacquire(self, adapter: AdapterSpec) -> float:
        """``acquire`` for the event loop, which is free meanwhile."""
        steps, give_up = self._acquire(adapter), time.monotonic() + self._timeout_seconds
        native = isinstance(self._backend, AsyncAdapterBackend)
        done: LoadResult | None = None
        failed: BaseException | None = None
        while True:
            try:
                do = steps.send(done) if failed is None else steps.throw(failed)
            except StopIteration as finished:
                return float(finished.value)
            done = failed = None
            try:
                if isinstance(do, Future):
                    # Shielded: who gives up waiting must not cancel the load for the others.
                    waiting = asyncio.shield(asyncio.wrap_future(do))
                    await asyncio.wait_for(waiting, max(give_up - time.monotonic(), 0.0))
                elif native:
                    done = await getattr(self._backend, "a" + do[0])(do[1])
                else:
                    done = await asyncio.to_thread(getattr(self._backend, do[0]), do[1])
            except BaseException as error:
                failed = error

    def release(self, name: str) -> None:
        """A request that was served through adapter ``name`` is answered."""
        self._set.release(name)

    def keep(self, adapters: Sequence[AdapterSpec]) -> None:
        """Keep these adapters from now on; what is not resident is loaded in this order, in the background."""
        with self._moving:
            self._keep = frozenset(adapter.name for adapter in adapters)
            self._wanted = []
        kept = self._set.kept
        self._want([adapter for adapter in adapters if adapter.name not in kept])

    def prefetch(self, decisions: Sequence[Decision], *, max_overtaken: int = 16) -> Iterator[Decision]:
        """The decisions of waiting requests one by one, in the order in which to serve them.

        The order is that of :func:`banditroute.adapters.lookahead.service_order`. At the first and whenever another
        adapter's turn comes, those that the rest of the queue needs are loaded in the background, as many as fit
        (:func:`banditroute.adapters.lookahead.loads_ahead`): nothing leaves for them that the controller keeps or that
        the queue needs, and staging slots are used. What the queue needs leaves after all else meanwhile.

        Parameters
        ----------
        decisions
            Of a router with this cache, that which has waited longest first; one queue at a time.
        max_overtaken
            How many later requests may be served before any one, at least 0; 0 is the order of arrival.

        Raises
        ------
        InvalidConfigurationError
            For a ``max_overtaken`` that is no whole number of at least 0.
        """
        adapters = [None if decision.residency is None else decision.residency.adapter for decision in decisions]
        names = [None if adapter is None else adapter.name for adapter in adapters]
        order = service_order(names, resident=self._set.names, max_overtaken=max_overtaken)
        return self._one_by_one([(decisions[i], adapters[i]) for i in order])

    def _one_by_one(self, queue: Sequence[tuple[Decision, AdapterSpec | None]]) -> Iterator[Decision]:
        try:
            for n, (decision, adapter) in enumerate(queue):
                if n == 0 or adapter != queue[n - 1][1]:
                    self._look_ahead([left for _, left in queue[n:] if left is not None])
                yield decision
        finally:
            self._set.awaited = ()

    def _look_ahead(self, adapters: Sequence[AdapterSpec]) -> None:
        """Load what fits of these, those of waiting requests."""
        specs = {adapter.name: adapter for adapter in adapters}
        self._set.awaited = frozenset(specs)
        slots, room = self._set.left_beside(specs, kept=isinstance(self.control, Polar))
        resident = self._set.names
        loads = loads_ahead(
            [adapter.name for adapter in adapters if adapter.name not in resident],
            load_seconds={name: self.load_cost(adapter).mean_seconds for name, adapter in specs.items()},
            slots=slots,
            sizes=None if room is None else {name: self.size_bytes(adapter) for name, adapter in specs.items()},
            room=room,
        )
        self._want([specs[name] for name in loads])

    def wait(self) -> None:
        """Return when the loads that ``keep`` and ``prefetch`` asked for are done."""
        while (mover := self._mover) is not None:
            mover.join()

    def _want(self, adapters: Sequence[AdapterSpec]) -> None:
        """Load these, too, in the background."""
        with self._moving:
            self._wanted += [adapter for adapter in adapters if adapter not in self._wanted]
            if self._wanted and self._mover is None:
                self._mover = threading.Thread(target=self._move, name="banditroute-adapters", daemon=True)
                self._mover.start()

    def _move(self) -> None:
        while True:
            with self._moving:
                if not self._wanted:
                    self._mover = None
                    return
                adapter = self._wanted.pop(0)
            try:
                self.acquire(adapter)
                self.release(adapter.name)
            except Exception as error:  # nobody waits for it; who needs it will try again
                _log.warning("adapter %r cannot be loaded ahead: %s", adapter.name, error)

    def _acquire(self, adapter: AdapterSpec) -> Generator[_Do, LoadResult | None, float]:
        """What to do, one thing after the other; the generator is told what came of it."""
        waited = 0.0
        while True:
            step = self._set.request(
                adapter.name,
                size_bytes=self.size_bytes(adapter),
                load_seconds=self.load_cost(adapter).mean_seconds,
                pinned=adapter.pinned,
                keep=adapter.pinned or adapter.name in self._keep or not isinstance(self.control, Polar),
            )
            if isinstance(step, Wait):
                begun = time.monotonic()
                try:
                    yield step.until
                except TimeoutError as error:
                    raise AdapterCapacityError(
                        f"no slot became free for adapter {adapter.name!r} in {self._timeout_seconds:g} seconds; give "
                        "more slots, or release adapters sooner"
                    ) from error
                waited += time.monotonic() - begun
                continue
            if not isinstance(step, Load):
                return waited if self._strict else waited + (yield from self._touch(adapter))
            left = list(step.evict)
            begun = time.monotonic()
            try:
                for name in step.evict:
                    yield "unload", name
                    left.remove(name)
                result = yield "load", adapter
                assert result is not None
            except BaseException as error:
                self._set.failed(adapter.name, still=left)
                self._count(failures=isinstance(error, Exception))
                raise
            self._set.loaded(adapter.name, evicted=result.evicted)
            return waited + self._measure(adapter, result, time.monotonic() - begun)

    def _touch(self, adapter: AdapterSpec) -> Generator[_Do, LoadResult | None, float]:
        """Tell a backend with rules of its own of a use; it may have evicted the adapter meanwhile."""
        begun = time.monotonic()
        try:
            result = yield "load", adapter
        except BaseException as error:
            self._set.release(adapter.name)
            self._set.evict(adapter.name)
            self._count(failures=isinstance(error, Exception))
            raise
        assert result is not None
        return self._measure(adapter, result, time.monotonic() - begun)

    def _measure(self, adapter: AdapterSpec, result: LoadResult, waited: float) -> float:
        if result.was_resident:
            return 0.0
        if result.seconds is not None:
            with self._counting:
                self._costs.add(adapter, result.seconds, residents=len(self._set.names))
                self._slot.save(self._costs.to_bytes())
        self._count(loads=1)
        return waited if result.seconds is None else result.seconds

    def _count(self, *, loads: int = 0, failures: int = 0) -> None:
        """Count what a load came to, and tell that another adapter is resident, or one less."""
        with self._counting:
            self._loads += loads
            self._failures += failures
        try:
            self._changed()
        except Exception:  # the adapter is loaded, and must be served and released
            _log.warning("what is resident could not be told", exc_info=True)

    def _kept(self, use: Use, now: int) -> float:
        return float(use.name in self._keep)
