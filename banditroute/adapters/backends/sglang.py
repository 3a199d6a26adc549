"""Adapters of an SGLang server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from banditroute.adapters.backends.base import Capability, Tier
from banditroute.adapters.backends.remote import Flow, RemoteBackend, said
from banditroute.core.adapter import AdapterSpec
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError

if TYPE_CHECKING:
    import httpx


class SGLangBackend(RemoteBackend):
    """An SGLang server that was started with ``--enable-lora``.

    It says which adapters are in its RAM, and copies one from there into a slot when a request needs it. Which are in
    slots is estimated by its rule, the least recently used goes first, from the uses that ``load`` counts. It keeps
    pinned adapters, and one slot for others. ``unload`` waits until no request is served through the adapter.

    Parameters
    ----------
    base_url
        Where the server is, such as ``http://localhost:30000``.
    max_loras_per_batch, max_loaded_loras
        As the server was given: its slots, of which requests for the base model take one, at least 2; and adapters in
        RAM, at least as many as it has slots for them. None: no limit.
    api_key
        As the server was given; None: it has none.
    timeout_seconds
        How long it may be silent, above 0.

    Raises
    ------
    InvalidConfigurationError
        For an address that is none, and for a number out of range.
    MissingDependencyError
        If ``httpx`` is not installed.
    """

    _name = "SGLang"
    _load_url = "/load_lora_adapter"
    _unload_url = "/unload_lora_adapter"
    _switch = "--enable-lora"
    capabilities = frozenset({Capability.PIN})

    def __init__(
        self,
        *,
        base_url: str,
        max_loras_per_batch: int = 8,
        max_loaded_loras: int | None = None,
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        error = InvalidConfigurationError
        super().__init__(
            slots=whole(max_loras_per_batch, name="max_loras_per_batch", low=2, error=error) - 1,
            ram_slots=None
            if max_loaded_loras is None
            else whole(max_loaded_loras, name="max_loaded_loras", low=max_loras_per_batch, error=error),
            base_url=base_url,
            api_key=api_key,
            timeout_seconds=timeout_seconds,
        )

    def _body(self, adapter: AdapterSpec) -> dict[str, object]:
        return {"lora_name": adapter.name, "lora_path": adapter.path, "pinned": adapter.pinned}

    def _was_unknown(self, response: httpx.Response) -> bool:
        return response.status_code == 400 and "does not exist" in said(response)

    def _look(self) -> Flow[tuple[dict[str, str], bool]]:
        registered = yield from self._registered()
        with self._lock:
            tiers = {name: self._shadow.tier(name) for name in registered}
            self._shadow.correct({name: Tier.RAM if tier is Tier.DISK else tier for name, tier in tiers.items()})
        return registered, True
