"""What an energy counter is, and which ones this machine has."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from banditroute.energy.nvml import NVML
from banditroute.energy.rapl import RAPL
from banditroute.errors import EnergyCounterError, MissingDependencyError

_log = logging.getLogger(__name__)


class EnergyCounter(Protocol):
    """Counters of the hardware that only go up; to be read from any thread."""

    @property
    def source(self) -> str:
        """What a reading names as its source."""
        ...

    @property
    def devices(self) -> Sequence[str]:
        """Names of what is counted, unique on the machine: meters that run at once on one device share it."""
        ...

    def read(self) -> Sequence[int]:
        """The counters as they stand, one for each device.

        Raises
        ------
        EnergyCounterError
            If one cannot be read.
        """
        ...

    def joules(self, before: Sequence[int], after: Sequence[int], seconds: float) -> float:
        """What was taken between two reads that lie ``seconds`` apart.

        Raises
        ------
        EnergyCounterError
            If they do not tell.
        """
        ...


def find_counters() -> list[EnergyCounter]:
    """The counters of this machine that can be read: NVIDIA GPUs, then Intel and AMD processors. May be empty.

    Open them once, not per request. Why one is missing is logged (level INFO) and is what ``NVML()`` or ``RAPL()``
    raises.
    """
    found: list[EnergyCounter] = []
    for counter in (NVML, RAPL):
        try:
            found.append(counter())
        except (EnergyCounterError, MissingDependencyError) as error:
            _log.info("no energy counter: %s", error)
    return found
