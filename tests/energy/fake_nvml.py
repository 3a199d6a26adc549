"""NVIDIA's C library, as far as the counter needs it, under the real Python binding.

``pynvml`` finds C functions by name in what it loaded, and maps their return codes to its errors: with this in place
of the loaded library, all of the binding is the real one.
"""

from __future__ import annotations

import ctypes

import pynvml


class GPU:
    """Takes ``watts``; its counter moves every ``period`` seconds. The test sets ``now``."""

    def __init__(self, *, watts=100.0, period=0.0, code=pynvml.NVML_SUCCESS):
        self.watts = watts
        self.period = period
        self.code = code
        self.loaded = 5_000_000
        self.now = 0.0

    def millijoules(self):
        seen = self.now // self.period * self.period if self.period else self.now
        return self.loaded + round(self.watts * seen * 1000)


class Library:
    """Stands for ``libnvidia-ml.so.1``: its functions return a code and write through pointers."""

    def __init__(self, *gpus, code=pynvml.NVML_SUCCESS):
        self.gpus = gpus
        self.code = code
        self.started = False

    def nvmlInitWithFlags(self, flags):
        self.started = self.code == pynvml.NVML_SUCCESS
        return self.code

    def nvmlDeviceGetCount_v2(self, count):
        if not self.started:
            return pynvml.NVML_ERROR_UNINITIALIZED
        count._obj.value = len(self.gpus)
        return pynvml.NVML_SUCCESS

    def nvmlDeviceGetHandleByIndex_v2(self, index, handle):
        if not self.started:
            return pynvml.NVML_ERROR_UNINITIALIZED
        if index.value >= len(self.gpus):
            return pynvml.NVML_ERROR_INVALID_ARGUMENT
        ctypes.c_void_p.from_buffer(handle._obj).value = index.value + 1
        return pynvml.NVML_SUCCESS

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, millijoules):
        gpu = self.gpus[ctypes.c_void_p.from_buffer(handle).value - 1]
        if gpu.code == pynvml.NVML_SUCCESS:
            millijoules._obj.value = gpu.millijoules()
        return gpu.code


def install(monkeypatch, library):
    """Let ``pynvml`` find ``library`` loaded."""
    monkeypatch.setattr(pynvml, "nvmlLib", library)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return library
