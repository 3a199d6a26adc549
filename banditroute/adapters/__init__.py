"""LoRA adapters: choosing the adapter of a request together with the adapters that stay resident."""

from banditroute.adapters.backends.base import (
    AdapterBackend,
    AsyncAdapterBackend,
    Capability,
    Capacity,
    CostEstimate,
    LoadResult,
    Tier,
)
from banditroute.adapters.backends.peft import PeftBackend
from banditroute.adapters.backends.sglang import SGLangBackend
from banditroute.adapters.backends.simulated import SimulatedBackend
from banditroute.adapters.backends.vllm import VLLMBackend
from banditroute.adapters.cache import AdapterCache
from banditroute.adapters.controller import Controller
from banditroute.adapters.eviction import belady, cost_aware, fifo, gdsf, lfu, lru
from banditroute.adapters.fleet import Fleet
from banditroute.adapters.hold import Hold
from banditroute.adapters.lookahead import loads_ahead, service_order
from banditroute.adapters.prefetch import Prefetcher
from banditroute.core.adapter import AdapterSpec

__all__ = [
    "AdapterBackend",
    "AdapterCache",
    "AdapterSpec",
    "AsyncAdapterBackend",
    "Capability",
    "Capacity",
    "Controller",
    "CostEstimate",
    "Fleet",
    "Hold",
    "LoadResult",
    "PeftBackend",
    "Prefetcher",
    "SGLangBackend",
    "SimulatedBackend",
    "Tier",
    "VLLMBackend",
    "belady",
    "cost_aware",
    "fifo",
    "gdsf",
    "lfu",
    "loads_ahead",
    "lru",
    "service_order",
]
