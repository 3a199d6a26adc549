"""Adapters of a vLLM server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from banditroute.adapters.backends.base import Tier
from banditroute.adapters.backends.http import Dialect, HTTPBackend
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError

_RESIDENCY = "vllm:lora_adapter_loaded"
_RUNNING = "vllm:lora_requests_info"  # the metric of older releases: adapters with requests in flight
_LABEL = re.compile(r'(\w{1,64})="((?:[^"\\]|\\.)*+)"')
_MAX_LINE_CHARACTERS = 65_536


class VLLMBackend(HTTPBackend):
    """A vLLM server that was started with ``--enable-lora`` and ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=true``.

    It does not say which of the adapters that it knows by name are in its memory. That is estimated by its rule, the
    least recently used leaves first, from the uses that ``load`` counts. ``resident`` corrects the estimate by the
    metric ``vllm:lora_adapter_loaded``; in older releases by ``vllm:lora_requests_info``, which names the adapters that
    serve requests now. ``unload`` makes the server forget the name; only the first metric shows that the memory is
    free. Do not use a name again for other weights: the server may answer from what it computed with the first.

    Parameters
    ----------
    base_url
        Address of the server, such as ``http://localhost:8000``.
    max_loras, max_cpu_loras
        As the server was given: adapters in its slots, and in RAM (those in slots included).
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
        max_loras: int = 1,
        max_cpu_loras: int | None = None,
        api_key: str | None = None,
        timeout_seconds: float = 60.0,
    ) -> None:
        error = InvalidConfigurationError
        slots = whole(max_loras, name="max_loras", error=error)
        if max_cpu_loras is not None:
            whole(max_cpu_loras, name="max_cpu_loras", low=max_loras, error=error)
        super().__init__(
            dialect=_VLLM,
            slots=slots,
            ram_slots=max_loras if max_cpu_loras is None else max_cpu_loras,
            base_url=base_url,
            api_key=api_key,
            timeout_seconds=timeout_seconds,
        )


def tiers_of_metrics(text: str) -> tuple[Mapping[str, Tier], bool]:
    """Read vLLM's metrics: the adapters whose tier is certain, and whether they are all that are in memory.

    Examples
    --------
    >>> tiers_of_metrics('vllm:lora_adapter_loaded{adapter_name="law",level="gpu"} 1.0')
    ({'law': <Tier.GPU: 'gpu'>}, True)
    >>> tiers_of_metrics('vllm:lora_requests_info{running_lora_adapters="law"} 1.7e9')
    ({'law': <Tier.GPU: 'gpu'>}, False)
    """
    if _RESIDENCY in text:
        levels: dict[str, list[str]] = {"cpu": [], "gpu": []}
        for labels, value in _samples(text, _RESIDENCY):
            if value > 0.0:
                levels.get(labels.get("level", ""), []).append(labels.get("adapter_name", ""))
        return dict.fromkeys(levels["cpu"], Tier.RAM) | dict.fromkeys(levels["gpu"], Tier.GPU), True
    latest = max(_samples(text, _RUNNING), key=lambda sample: sample[1], default=({}, 0.0))[0]  # its value is a time
    running = [name for name in latest.get("running_lora_adapters", "").split(",") if name]
    return dict.fromkeys(running, Tier.GPU), False


def _samples(text: str, metric: str) -> Iterator[tuple[dict[str, str], float]]:
    """Yield labels and value of every sample of ``metric``; broken lines are skipped."""
    for line in text.split("\n"):
        head, _, value = line.rpartition(" ")
        if not head.startswith(metric + "{") or not head.endswith("}") or len(line) > _MAX_LINE_CHARACTERS:
            continue
        labels = {name: _unescaped(label) for name, label in _LABEL.findall(head)}
        try:
            yield labels, float(value)
        except ValueError:
            continue


def _unescaped(value: str) -> str:
    """Return a label's value as it was before it was written into a metric."""
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], value)


_VLLM = Dialect(
    server="vLLM",
    load_path="/v1/load_lora_adapter",
    unload_path="/v1/unload_lora_adapter",
    enabled_by="VLLM_ALLOW_RUNTIME_LORA_UPDATING=true",
    load_body=lambda adapter: {"lora_name": adapter.name, "lora_path": adapter.path},
    unload_refusal=(404, "cannot be found"),
    registered_are_in_ram=False,
    tiers_of_metrics=tiers_of_metrics,
)
