"""The energy counters of NVIDIA GPUs, from Volta on, through NVIDIA's management library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from banditroute.core.optional_imports import optional
from banditroute.errors import EnergyCounterError


class NVML:
    """Millijoules since the driver was loaded, one counter for each GPU. Needs the extra ``energy``.

    The counter moves every 20 to 100 ms. The reading of shorter work is often 0, and right only on average over many:
    report the zeros too, or measure a batch and ``split()`` it.

    Parameters
    ----------
    gpus
        Numbers of the GPUs as ``nvidia-smi`` shows them, whatever ``CUDA_VISIBLE_DEVICES`` says; None: all.

    Attributes
    ----------
    source
        ``"nvml"``.
    devices
        ``"nvml:0"``, ...

    Raises
    ------
    EnergyCounterError
        If there is no driver or no GPU, or a GPU is not there, too old, or not readable.
    MissingDependencyError
        If the extra ``energy`` is not installed.
    """

    source = "nvml"

    def __init__(self, *, gpus: Sequence[int] | None = None) -> None:
        self._nvml = optional("pynvml", extra="energy")
        self._ask("start", self._nvml.nvmlInit)
        if gpus is None:
            gpus = range(self._ask("count the GPUs", self._nvml.nvmlDeviceGetCount))
        if not gpus:
            raise EnergyCounterError("nvml: there is no GPU; give joules_per_token for an estimate")
        self.devices: tuple[str, ...] = tuple(f"nvml:{gpu}" for gpu in gpus)
        self._handles = [self._ask(f"find GPU {gpu}", self._nvml.nvmlDeviceGetHandleByIndex, gpu) for gpu in gpus]
        self.read()

    def read(self) -> list[int]:
        """Return the millijoules of each GPU.

        Raises
        ------
        EnergyCounterError
            If a counter cannot be read.
        """
        energy = self._nvml.nvmlDeviceGetTotalEnergyConsumption
        return [
            self._ask(f"read the energy of {device}", energy, handle)
            for device, handle in zip(self.devices, self._handles, strict=True)
        ]

    def joules(self, before: Sequence[int], after: Sequence[int], seconds: float) -> float:
        """Return the joules of all GPUs between two reads.

        Raises
        ------
        EnergyCounterError
            If a counter went back, as it does when the driver is loaded again.
        """
        taken = [end - begin for begin, end in zip(before, after, strict=True)]
        if min(taken) < 0:
            raise EnergyCounterError("nvml: a counter went back, because the driver was loaded again; measure again")
        return sum(taken) / 1e3

    def _ask(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._nvml.NVMLError as error:
            raise EnergyCounterError(
                f"nvml: cannot {what} ({error}); it takes an NVIDIA driver and a GPU from Volta on: see that "
                "nvidia-smi lists it"
            ) from error
