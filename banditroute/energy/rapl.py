"""The energy counters of Intel and AMD processors, as Linux shows them under powercap.

Source: Linux kernel documentation, "Power Capping Framework" (power/powercap).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from banditroute.errors import EnergyCounterError

_POWERCAP = "/sys/class/powercap"
_MOST_WATTS = 500.0  # of one zone: beyond it a counter is taken to have gone round more than once


class RAPL:
    """Microjoules of each processor package, and of its memory where that is counted apart.

    The counter covers the whole package, including the idle processor and other processes. ``core`` and ``uncore`` are
    part of their package, and ``psys`` contains packages: neither is added.

    Parameters
    ----------
    powercap
        The folder in which Linux shows the counters.

    Attributes
    ----------
    source
        ``"rapl"``.
    devices
        ``"rapl:intel-rapl:0"``, ...

    Raises
    ------
    EnergyCounterError
        If the machine has no such counters, or they may not be read: only root may, unless root allows others.
    """

    source = "rapl"

    def __init__(self, *, powercap: str | os.PathLike[str] = _POWERCAP) -> None:
        zones = [
            zone
            for zone in sorted(Path(powercap).glob("intel-rapl:*"))
            if _text(zone / "name").startswith(("package", "dram"))
        ]
        if not zones:
            raise EnergyCounterError(
                f"rapl: {powercap} shows no processor; it takes Linux on an Intel or AMD processor, and virtual "
                "machines seldom show it: give joules_per_token for an estimate"
            )
        self.devices: tuple[str, ...] = tuple(f"rapl:{zone.name}" for zone in zones)
        self._counters = [zone / "energy_uj" for zone in zones]
        self._ranges = [int(_text(zone / "max_energy_range_uj")) for zone in zones]
        self.read()

    def read(self) -> list[int]:
        """Return the microjoules of each zone.

        Raises
        ------
        EnergyCounterError
            If a counter cannot be read.
        """
        return [int(_text(counter)) for counter in self._counters]

    def joules(self, before: Sequence[int], after: Sequence[int], seconds: float) -> float:
        """Return the joules of all zones between two reads; a counter that reached its end began again at 0.

        Raises
        ------
        EnergyCounterError
            If the reads are so far apart that a counter could have gone round more than once.
        """
        longest = min(self._ranges) / 1e6 / _MOST_WATTS
        if seconds > longest:
            raise EnergyCounterError(
                f"rapl: {seconds:.0f} s are too long, because a counter may go round every {longest:.0f} s; measure "
                "shorter pieces and add them"
            )
        taken = (
            end - begin if end >= begin else end - begin + most
            for begin, end, most in zip(before, after, self._ranges, strict=True)
        )
        return sum(taken) / 1e6


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except PermissionError as error:
        raise EnergyCounterError(
            f"rapl: {path} may be read by root only, because it reveals what other processes do; where all users are "
            "trusted, run: sudo chmod a+r /sys/class/powercap/*/energy_uj (again after each start of the machine)"
        ) from error
    except OSError as error:
        raise EnergyCounterError(f"rapl: {path} cannot be read ({error})") from error
