"""What the backends behind HTTP share: the calls, their failures, and the shadow of what the server keeps.

A call is written once, as a generator that yields requests and is sent the responses; clients of either kind run it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar, cast

from banditroute.adapters.backends.base import Capability, Capacity, CostEstimate, LoadResult, Tier, check_same
from banditroute.adapters.backends.shadow import ShadowLRU
from banditroute.core.adapter import AdapterSpec
from banditroute.core.optional_imports import optional
from banditroute.core.validation import number
from banditroute.errors import (
    AdapterCapacityError,
    AdapterError,
    AdapterIncompatibleError,
    AdapterNotFoundError,
    BackendUnavailableError,
    InvalidConfigurationError,
)

if TYPE_CHECKING:
    import ssl

    import httpx

_ALREADY = re.compile("already (been loaded|loaded|exists)")
_FULL = re.compile("unload some|pin all")
_OFF = re.compile("^Not Found$|LoRA is not enabled")  # of an address that the server does not have, and of LoRA


class Call(NamedTuple):
    """A request to the server."""

    method: str
    url: str
    json: Mapping[str, object] | None = None


Result = TypeVar("Result")
Flow: TypeAlias = Generator[Call, "httpx.Response", Result]


class RemoteBackend(ABC):
    """A server that loads adapters when it is asked to, and evicts them by its own rules.

    Parameters
    ----------
    slots, ram_slots
        Adapters that it keeps in the memory that serves requests, and in RAM; see ``ShadowLRU``.
    base_url, api_key, timeout_seconds
        How to reach it; see the backends.
    """

    capabilities: frozenset[Capability] = frozenset()

    _name: str
    _load_url: str
    _unload_url: str
    _switch: str  # what makes the server offer these addresses

    def __init__(
        self, *, slots: int, ram_slots: int | None, base_url: str, api_key: str | None, timeout_seconds: float
    ) -> None:
        self._httpx = optional("httpx", extra="adapters")
        error = InvalidConfigurationError
        try:
            url = self._httpx.URL(base_url)
        except (TypeError, self._httpx.InvalidURL) as problem:
            raise error(
                f"base_url is {base_url!r} ({problem}); give an address such as http://localhost:8000"
            ) from None
        if url.scheme not in ("http", "https") or not url.host:
            raise error(f"base_url is {base_url!r}; give an address such as http://localhost:8000")
        if number(timeout_seconds, name="timeout_seconds", error=error) <= 0.0:
            raise error(f"timeout_seconds is {timeout_seconds!r}; give a number above 0")
        self._slots = slots
        self._where = f"{self._name} at {url.scheme}://{url.netloc.decode()}"  # without a password
        self._settings = {
            "base_url": url,
            "headers": {} if api_key is None else {"Authorization": f"Bearer {api_key}"},
            "timeout": timeout_seconds,
            "verify": _ssl_context(),
        }
        self._known: dict[str, str] = {}  # name -> path of what the server loads by itself when a request needs it
        self._shadow = ShadowLRU(slots=slots, ram_slots=ram_slots)
        self._lock = Lock()  # of the two; not held during a call

    def capacity(self) -> Capacity:
        """How much fits: slots are counted, whatever the adapters' sizes."""
        return Capacity(slots=self._slots)

    def size(self, adapter: AdapterSpec) -> int | None:
        """The bytes of ``adapter``, if its spec says so: its files are the server's."""
        return adapter.size_bytes

    def load_cost(self, adapter: AdapterSpec) -> CostEstimate:
        """A prior: from RAM at 10 GB/s, from disk at 1 GB/s and half a second for all that comes with it."""
        with self._lock:
            tier = self._shadow.tier(adapter.name)
        size = adapter.size_bytes or 0
        seconds = {Tier.GPU: 0.0, Tier.RAM: 0.01 + size / 1e10}.get(tier, 0.5 + size / 1e9)
        return CostEstimate(mean_seconds=seconds, p95_seconds=2.0 * seconds)

    def load(self, adapter: AdapterSpec) -> LoadResult:
        """Make ``adapter`` resident; see ``AdapterBackend``."""
        return self._run(self._load(adapter))

    async def aload(self, adapter: AdapterSpec) -> LoadResult:
        """As ``load``."""
        return await self._arun(self._load(adapter))

    def unload(self, name: str) -> bool:
        """Give up the slot of adapter ``name``; see ``AdapterBackend``."""
        return self._run(self._unload(name))

    async def aunload(self, name: str) -> bool:
        """As ``unload``."""
        return await self._arun(self._unload(name))

    def resident(self) -> dict[str, Tier]:
        """Name -> tier of the adapters that are not on disk alone, as far as is known; asks the server."""
        return self._run(self._resident())

    async def aresident(self) -> dict[str, Tier]:
        """As ``resident``."""
        return await self._arun(self._resident())

    def _load(self, adapter: AdapterSpec) -> Flow[LoadResult]:
        with self._lock:
            known = self._known.get(adapter.name)
            if known is not None:
                check_same(adapter, known)
                source = self._shadow.tier(adapter.name)
                evicted = self._shadow.use(adapter.name)
                seconds = 0.0 if source is Tier.GPU else None
                return LoadResult(name=adapter.name, seconds=seconds, source=source, evicted=evicted)
        response = yield Call("POST", self._load_url, self._body(adapter))
        seconds, source = response.elapsed.total_seconds(), Tier.DISK
        if response.status_code != 200:
            if response.status_code != 400 or not _ALREADY.search(said(response)):
                raise (yield from self._refusal(response, adapter))
            registered = yield from self._registered()
            check_same(adapter, registered.get(adapter.name, adapter.path))
            seconds, source = 0.0, Tier.GPU
        with self._lock:
            self._known[adapter.name] = adapter.path
            pinned = adapter.pinned and Capability.PIN in self.capabilities
            evicted = self._shadow.use(adapter.name, pinned=pinned)
        return LoadResult(name=adapter.name, seconds=seconds, source=source, evicted=evicted)

    def _unload(self, name: str) -> Flow[bool]:
        response = yield Call("POST", self._unload_url, {"lora_name": name})
        if response.status_code != 200 and not self._was_unknown(response):
            raise self._failure(response)
        with self._lock:
            self._known.pop(name, None)
        yield from self._look()
        with self._lock:
            return name not in self._shadow

    def _resident(self) -> Flow[dict[str, Tier]]:
        registered, certain = yield from self._look()
        with self._lock:
            for name in self._known.keys() - registered.keys():  # the server was started anew, or told by others
                del self._known[name]
                self._shadow.drop(name)
            tiers = {name: self._shadow.tier(name) for name in {*registered, *self._shadow}}
            if not certain:
                tiers |= dict.fromkeys(tiers.keys() - self._known.keys(), Tier.UNKNOWN)
        return {name: tier for name, tier in tiers.items() if tier is not Tier.DISK}

    def _registered(self) -> Flow[dict[str, str]]:
        """Name -> path of the adapters that the server knows by name, wherever they are."""
        response = yield Call("GET", "/v1/models")
        try:
            if response.status_code != 200:
                raise ValueError(f"status {response.status_code}")
            return {str(card["id"]): str(card["root"]) for card in response.json()["data"] if card.get("parent")}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BackendUnavailableError(
                f"{self._where} gives no list of its models ({error!r}); check that base_url leads to {self._name}"
            ) from error

    @abstractmethod
    def _body(self, adapter: AdapterSpec) -> dict[str, object]:
        """What is sent to have ``adapter`` loaded."""

    @abstractmethod
    def _was_unknown(self, response: httpx.Response) -> bool:
        """Whether ``response`` says that there is nothing to unload."""

    @abstractmethod
    def _look(self) -> Flow[tuple[dict[str, str], bool]]:
        """Correct the shadow by what the server says: what it knows by name, and whether the shadow is now certain."""

    def _refusal(self, response: httpx.Response, adapter: AdapterSpec) -> Flow[AdapterError]:
        """Why ``adapter`` was not loaded."""
        words = said(response)
        status = response.status_code
        if status == 500:  # the same for an adapter that the engine refuses and for an engine that has died
            health = yield Call("GET", "/health")
            status = 400 if health.status_code == 200 else 500
        if _OFF.search(words):
            return self._failure(response)
        if status == 404 or "No such file" in words:
            return AdapterNotFoundError(
                f"{self._where} finds no adapter {adapter.name!r} in {adapter.path!r} ({words}); give its path there"
            )
        if _FULL.search(words):
            return AdapterCapacityError(f"{self._where} has no room for adapter {adapter.name!r}: {words}")
        if status in (400, 422):
            return AdapterIncompatibleError(f"{self._where} refuses adapter {adapter.name!r}: {words}")
        return self._failure(response)

    def _failure(self, response: httpx.Response) -> BackendUnavailableError:
        """That the server does not do what it was asked for."""
        words = said(response)
        advice = f"; start it with {self._switch}" if _OFF.search(words) else ""
        return BackendUnavailableError(f"{self._where} answers {response.status_code}: {words}{advice}")

    def _unreachable(self, error: Exception) -> BackendUnavailableError:
        return BackendUnavailableError(
            f"{self._where} does not answer ({type(error).__name__}: {error}); check that it runs, or raise "
            f"timeout_seconds, which is {self._settings['timeout']:g}"
        )

    def _run(self, flow: Flow[Result]) -> Result:
        try:
            call = next(flow)
            with self._httpx.Client(**self._settings) as client:
                while True:
                    call = flow.send(client.request(*call[:2], json=call.json))
        except StopIteration as done:
            return cast("Result", done.value)
        except self._httpx.RequestError as error:
            raise self._unreachable(error) from error

    async def _arun(self, flow: Flow[Result]) -> Result:
        try:
            call = next(flow)
            async with self._httpx.AsyncClient(**self._settings) as client:
                while True:
                    call = flow.send(await client.request(*call[:2], json=call.json))
        except StopIteration as done:
            return cast("Result", done.value)
        except self._httpx.RequestError as error:
            raise self._unreachable(error) from error


@cache
def _ssl_context() -> ssl.SSLContext:
    """The certificates that are trusted: to read them takes longer than a call."""
    context: ssl.SSLContext = optional("httpx", extra="adapters").create_ssl_context()
    return context


def said(response: httpx.Response) -> str:
    """What ``response`` says, in at most 500 characters: its error's message, however it is wrapped."""
    try:
        body: Any = response.json()
        body = body.get("error", body)
        words = body.get("message") or body.get("error_message") or body.get("detail")
    except (ValueError, AttributeError):
        words = None
    return str(words or response.text)[:500]
