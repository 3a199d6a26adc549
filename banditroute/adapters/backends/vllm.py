"""Adapters of a vLLM server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from banditroute.adapters.backends.base import Tier
from banditroute.adapters.backends.remote import Call, Flow, RemoteBackend, said
from banditroute.core.adapter import AdapterSpec
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError

if TYPE_CHECKING:
    import httpx

_METRIC = "vllm:lora_adapter_loaded"
_SAMPLE = re.compile(rf"^{_METRIC}\{{(?P<labels>.*)\}} (?P<value>\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class VLLMBackend(RemoteBackend):
    """A vLLM server that was started with ``--enable-lora`` and ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=true``.

    It does not say which of the adapters that it knows by name are in its memory. That is estimated by its rule, the
    least recently used goes first, from the uses that ``load`` counts; its metric ``vllm:lora_adapter_loaded``, where
    it has one, corrects the estimate whenever ``resident`` asks. ``unload`` makes the server forget the name; that the
    memory is freed is certain by the metric alone. A name should not be used again for other weights: the server may
    answer from what it computed with the first.

    Parameters
    ----------
    base_url
        Where the server is, such as ``http://localhost:8000``.
    max_loras, max_cpu_loras
        As the server was given: adapters in its slots, and in RAM (those in slots included).
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

    _name = "vLLM"
    _load_url = "/v1/load_lora_adapter"
    _unload_url = "/v1/unload_lora_adapter"
    _switch = "VLLM_ALLOW_RUNTIME_LORA_UPDATING=true"

    def __init__(
        self,
        *,
        base_url: str,
        max_loras: int = 1,
        max_cpu_loras: int | None = None,
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        super().__init__(
            base_url=base_url,
            slots=whole(max_loras, name="max_loras", error=InvalidConfigurationError),
            ram_slots=max_loras
            if max_cpu_loras is None
            else whole(max_cpu_loras, name="max_cpu_loras", low=max_loras, error=InvalidConfigurationError),
            api_key=api_key,
            timeout_seconds=timeout_seconds,
        )

    def _body(self, adapter: AdapterSpec) -> dict[str, object]:
        return {"lora_name": adapter.name, "lora_path": adapter.path}

    def _was_unknown(self, response: httpx.Response) -> bool:
        return response.status_code == 404 and "cannot be found" in said(response)

    def _look(self) -> Flow[tuple[dict[str, str], bool]]:
        registered = yield from self._registered()
        response = yield Call("GET", "/metrics")
        if response.status_code != 200 or _METRIC not in response.text:
            return registered, False
        levels: dict[str | None, list[str]] = {"cpu": [], "gpu": []}
        for sample in _SAMPLE.finditer(response.text):
            labels = dict(_LABEL.findall(sample["labels"]))
            if sample["value"] not in ("0", "0.0"):
                levels.get(labels.get("level"), []).append(_unescaped(labels.get("adapter_name", "")))
        tiers = dict.fromkeys(levels["cpu"], Tier.RAM) | dict.fromkeys(levels["gpu"], Tier.GPU)
        with self._lock:
            self._shadow.correct(tiers)
        return registered, True


def _unescaped(value: str) -> str:
    """A label's value as it was before it was written into a metric."""
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], value)
