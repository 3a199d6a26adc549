"""Adapters of an SGLang server."""

from __future__ import annotations

from banditroute.adapters.backends.base import Capability
from banditroute.adapters.backends.http import Dialect, HTTPBackend
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError

_SGLANG = Dialect(
    server="SGLang",
    load_path="/load_lora_adapter",
    unload_path="/unload_lora_adapter",
    enabled_by="--enable-lora",
    load_body=lambda adapter: {"lora_name": adapter.name, "lora_path": adapter.path, "pinned": adapter.pinned},
    unload_refusal=(400, "does not exist"),
    registered_are_in_ram=True,
    capabilities=frozenset({Capability.PIN}),
)


class SGLangBackend(HTTPBackend):
    """An SGLang server that was started with ``--enable-lora``.

    It says which adapters are in its RAM, and copies one from there into a slot when a request needs it. The adapters
    in slots are estimated by its rule, the least recently used leaves first, from the uses that ``load`` counts. It
    keeps pinned adapters, and one slot for others. ``unload`` waits until no request is served through the adapter.

    Parameters
    ----------
    base_url
        Address of the server, such as ``http://localhost:30000``.
    max_loras_per_batch, max_loaded_loras
        As the server was given: its slots, of which requests for the base model take one, at least 2; and adapters in
        RAM, at least as many as it has slots for them. None: no limit.
    api_key
        As the server was given; None: it has none.
    timeout_seconds
        How long it may be silent, above 0. A whole call may take twice as long.

    Raises
    ------
    InvalidConfigurationError
        If the address is not one of http or https, or a number is out of range.
    MissingDependencyError
        If ``httpx`` is not installed.
    """

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
        slots = whole(max_loras_per_batch, name="max_loras_per_batch", low=2, error=error) - 1
        if max_loaded_loras is not None:
            whole(max_loaded_loras, name="max_loaded_loras", low=max_loras_per_batch, error=error)
        super().__init__(
            dialect=_SGLANG,
            slots=slots,
            ram_slots=max_loaded_loras,
            base_url=base_url,
            api_key=api_key,
            timeout_seconds=timeout_seconds,
        )
