"""Adapters: which LoRA adapters are resident."""

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
from banditroute.adapters.spec import AdapterSpec

__all__ = [
    "AdapterBackend",
    "AdapterSpec",
    "AsyncAdapterBackend",
    "Capability",
    "Capacity",
    "CostEstimate",
    "LoadResult",
    "PeftBackend",
    "SGLangBackend",
    "SimulatedBackend",
    "Tier",
    "VLLMBackend",
]
