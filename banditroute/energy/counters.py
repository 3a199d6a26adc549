"""The extension point for energy counters, and the counters of this machine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from banditroute.energy.nvml import NVML
from banditroute.energy.rapl import RAPL
from banditroute.errors import EnergyCounterError, MissingDependencyError

_log = logging.getLogger(__name__)


class EnergyCounter(Protocol):
    """Counters of the hardware that only go up; they may be read from any thread."""

    @property
    def source(self) -> str:
        """The name that a reading gives as its source."""
        ...

    @property
    def devices(self) -> Sequence[str]:
        """Names of the devices, unique on the machine: meters that run at once on one device share it."""
        ...

    def read(self) -> Sequence[int]:
        """Return the present count of each device.

        Raises
        ------
        EnergyCounterError
            If one cannot be read.
        """
        ...

    def joules(self, before: Sequence[int], after: Sequence[int], seconds: float) -> float:
        """Return the joules between two reads that lie ``seconds`` apart.

        Raises
        ------
        EnergyCounterError
            If the counts do not determine them.
        """
        ...


def find_counters() -> list[EnergyCounter]:
    """Return the counters of this machine that can be read: NVIDIA GPUs, then Intel and AMD processors.

    The list may be empty. Open the counters once, not per request. If one is missing, the reason is logged (level
    INFO), and ``NVML()`` or ``RAPL()`` raises it.
    """
    found: list[EnergyCounter] = []
    for counter in (NVML, RAPL):
        try:
            found.append(counter())
        except (EnergyCounterError, MissingDependencyError) as error:
            _log.info("no energy counter: %s", error)
    return found
