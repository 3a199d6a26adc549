"""Servers that load adapters when they are asked over HTTP, and evict them by their own rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import RLock

from banditroute.adapters.backends.base import Capability, Capacity, CostEstimate, LoadResult, Tier, check_same
from banditroute.adapters.backends.connection import Call, Connection, Flow, Reply
from banditroute.adapters.backends.shadow import ShadowLRU
from banditroute.core.adapter import AdapterSpec
from banditroute.core.forking import hold_while_forking
from banditroute.errors import (
    AdapterCapacityError,
    AdapterError,
    AdapterIncompatibleError,
    AdapterNotFoundError,
    BackendUnavailableError,
)

_ALREADY_LOADED = re.compile("already (been loaded|loaded|exists)")
_FULL = re.compile("unload some|pin all")
_NOT_OFFERED = re.compile("^Not Found$|LoRA is not enabled")  # the server lacks the address, or LoRA
_RAM_SECONDS, _RAM_BYTES_PER_SECOND = 0.01, 1e10
_DISK_SECONDS, _DISK_BYTES_PER_SECOND = 0.5, 1e9
_GUESS_LOG_STD = 2.3  # a guess of load seconds is right within a factor of 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The words of one kind of server.

    Attributes
    ----------
    server
        The kind's name, for messages.
    load_path, unload_path
        Addresses of the two calls.
    enabled_by
        The setting that makes the server offer these addresses.
    load_body
        Return the body of a call that loads an adapter.
    unload_refusal
        Status and words of the answer to unloading an unknown name.
    registered_are_in_ram
        Whether every adapter that the server lists is in its memory; otherwise it may be on disk.
    tiers_of_metrics
        Read ``/metrics``: adapters whose tier is certain, and whether that is every adapter. None: the server has no
        such metric.
    capabilities
        Of the backend.
    """

    server: str
    load_path: str
    unload_path: str
    enabled_by: str
    load_body: Callable[[AdapterSpec], dict[str, object]]
    unload_refusal: tuple[int, str]
    registered_are_in_ram: bool
    tiers_of_metrics: Callable[[str], tuple[Mapping[str, Tier], bool]] | None = None
    capabilities: frozenset[Capability] = frozenset()


class HTTPBackend:
    """A server that loads adapters over HTTP: the common part of ``VLLMBackend`` and ``SGLangBackend``.

    Parameters
    ----------
    dialect
        The words of this kind of server.
    slots, ram_slots
        Adapters that it keeps in the memory that serves requests, and in RAM (those in slots included); None: no limit.
    base_url, api_key, timeout_seconds
        How to reach it; see ``VLLMBackend``.
    """

    def __init__(
        self,
        *,
        dialect: Dialect,
        slots: int,
        ram_slots: int | None,
        base_url: str,
        api_key: str | None,
        timeout_seconds: float,
    ) -> None:
        self.capabilities: frozenset[Capability] = dialect.capabilities
        self._dialect = dialect
        self._connection = Connection(
            server=dialect.server, base_url=base_url, api_key=api_key, timeout_seconds=timeout_seconds
        )
        self._slots = slots
        self._known: dict[str, str] = {}  # name -> path of adapters that the server loads by itself when they are used
        self._shadow = ShadowLRU(slots=slots, ram_slots=ram_slots)
        self._lock = RLock()  # guards the two; not held during a call
        hold_while_forking(self, "_lock")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.where})"

    def capacity(self) -> Capacity:
        """Return how much fits: slots are counted, whatever the adapters' sizes."""
        return Capacity(slots=self._slots)

    def size(self, adapter: AdapterSpec) -> int | None:
        """Return the bytes of ``adapter``, if its spec says so: its files are the server's."""
        return adapter.size_bytes

    def load_cost(self, adapter: AdapterSpec) -> CostEstimate:
        """Guess .01 s and 10 GB/s from RAM, .5 s and 1 GB/s from disk, right within a factor of 10."""
        with self._lock:
            source = self._shadow.tier(adapter.name)
        size = adapter.size_bytes or 0
        if source is Tier.GPU:
            return CostEstimate(mean_seconds=0.0, p95_seconds=0.0, source=source)
        if source is Tier.RAM:
            seconds = _RAM_SECONDS + size / _RAM_BYTES_PER_SECOND
        else:
            seconds = _DISK_SECONDS + size / _DISK_BYTES_PER_SECOND
        return CostEstimate(
            mean_seconds=seconds, p95_seconds=2.0 * seconds, log_std=_GUESS_LOG_STD, source=Tier(source)
        )

    def load(self, adapter: AdapterSpec) -> LoadResult:
        """Make ``adapter`` resident; see ``AdapterBackend``."""
        return self._connection.run(self._load(adapter))

    async def aload(self, adapter: AdapterSpec) -> LoadResult:
        """Do as ``load`` does."""
        return await self._connection.arun(self._load(adapter))

    def unload(self, name: str) -> bool:
        """Give up the slot of adapter ``name``; see ``AdapterBackend``."""
        return self._connection.run(self._unload(name))

    async def aunload(self, name: str) -> bool:
        """Do as ``unload`` does."""
        return await self._connection.arun(self._unload(name))

    def resident(self) -> dict[str, Tier]:
        """Ask the server for the adapters that are not on disk alone: name -> tier, as far as is known.

        A server that was restarted has forgotten its adapters; this notices, and the next ``load`` loads them again.
        """
        return self._connection.run(self._resident())

    async def aresident(self) -> dict[str, Tier]:
        """Do as ``resident`` does."""
        return await self._connection.arun(self._resident())

    def _load(self, adapter: AdapterSpec) -> Flow[LoadResult]:
        with self._lock:
            known = self._known.get(adapter.name)
            if known is not None:
                check_same(adapter, known)
                source = self._shadow.tier(adapter.name)
                evicted = self._shadow.use(adapter.name)
                seconds = 0.0 if source is Tier.GPU else None
                return LoadResult(name=adapter.name, seconds=seconds, source=source, evicted=evicted)
        reply = yield Call("POST", self._dialect.load_path, self._dialect.load_body(adapter))
        seconds, source = reply.seconds, Tier.DISK
        if reply.status != 200:
            if reply.status != 400 or not _ALREADY_LOADED.search(self._connection.words(reply)):
                raise (yield from self._refusal(reply, adapter))
            registered = yield from self._registered()
            check_same(adapter, registered.get(adapter.name, adapter.path))
            seconds, source = 0.0, Tier.GPU
        with self._lock:
            self._known[adapter.name] = adapter.path
            pinned = adapter.pinned and Capability.PIN in self.capabilities
            evicted = self._shadow.use(adapter.name, pinned=pinned)
        return LoadResult(name=adapter.name, seconds=seconds, source=source, evicted=evicted)

    def _unload(self, name: str) -> Flow[bool]:
        reply = yield Call("POST", self._dialect.unload_path, {"lora_name": name})
        status, words = self._dialect.unload_refusal
        was_unknown = reply.status == status and words in self._connection.words(reply)
        if reply.status != 200 and not was_unknown:
            raise self._failure(reply)
        with self._lock:
            self._known.pop(name, None)
        yield from self._correct_shadow()
        with self._lock:
            return name not in self._shadow

    def _resident(self) -> Flow[dict[str, Tier]]:
        registered, certain = yield from self._correct_shadow()
        with self._lock:
            for name in self._known.keys() - registered.keys():  # the server was restarted, or others unloaded it
                del self._known[name]
                self._shadow.drop(name)
            tiers = {name: self._shadow.tier(name) for name in {*registered, *self._shadow}}
            if not certain:
                tiers |= dict.fromkeys(tiers.keys() - self._known.keys(), Tier.UNKNOWN)
        return {name: tier for name, tier in tiers.items() if tier is not Tier.DISK}

    def _correct_shadow(self) -> Flow[tuple[dict[str, str], bool]]:
        """Take over what the server says: the adapters it lists, and whether the shadow is certain now."""
        registered = yield from self._registered()
        if self._dialect.registered_are_in_ram:
            with self._lock:
                tiers = {name: self._shadow.tier(name) for name in registered}
                self._shadow.correct({name: Tier.RAM if tier is Tier.DISK else tier for name, tier in tiers.items()})
            return registered, True
        if self._dialect.tiers_of_metrics is None:
            return registered, False
        reply = yield Call("GET", "/metrics")
        if reply.status != 200:
            return registered, False
        found, complete = self._dialect.tiers_of_metrics(reply.text)
        with self._lock:
            if complete:
                self._shadow.correct(found)
            else:
                for name in found.keys() & registered.keys():
                    self._shadow.use(name)
        return registered, complete

    def _registered(self) -> Flow[dict[str, str]]:
        """Ask for the adapters that the server knows by name, wherever they are: name -> path."""
        reply = yield Call("GET", "/v1/models")
        try:
            if reply.status != 200:
                raise ValueError(f"status {reply.status}")
            return {str(card["id"]): str(card["root"]) for card in reply.json()["data"] if card.get("parent")}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BackendUnavailableError(
                f"{self._connection.where} gives no list of its models ({str(error)[:200]!r}); check that base_url "
                f"leads to {self._dialect.server}"
            ) from error

    def _refusal(self, reply: Reply, adapter: AdapterSpec) -> Flow[AdapterError]:
        """Return why ``adapter`` was not loaded."""
        words, where = self._connection.words(reply), self._connection.where
        status = reply.status
        if status == 500:  # the same for an adapter that the engine refuses and for an engine that has died
            health = yield Call("GET", "/health")
            status = 400 if health.status == 200 else 500
        if _NOT_OFFERED.search(words):
            return self._failure(reply)
        if status == 404 or "No such file" in words:
            return AdapterNotFoundError(
                f"{where} finds no adapter {adapter.name!r} in {adapter.path!r} ({words}); give its path there"
            )
        if _FULL.search(words):
            return AdapterCapacityError(f"{where} has no room for adapter {adapter.name!r}: {words}")
        if status in (400, 422):
            return AdapterIncompatibleError(f"{where} refuses adapter {adapter.name!r}: {words}")
        return self._failure(reply)

    def _failure(self, reply: Reply) -> BackendUnavailableError:
        """Return that the server does not do as it was asked."""
        words = self._connection.words(reply)
        advice = f"; start it with {self._dialect.enabled_by}" if _NOT_OFFERED.search(words) else ""
        return BackendUnavailableError(f"{self._connection.where} answers {reply.status}: {words}{advice}")
