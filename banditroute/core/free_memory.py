"""How much memory this process may still use."""

from __future__ import annotations

import math
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> float:
    """Return the bytes that the machine and the container still have for this process; infinity if it is not known.

    Examples
    --------
    >>> free_bytes() > 0
    True
    """
    return min(_of_machine(), _of_container())


def _of_machine() -> float:
    try:
        lines = _MEMINFO.read_text().splitlines()
        return next(float(line.split()[1]) * 1024.0 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):  # another system than Linux
        return math.inf


def _of_container() -> float:
    try:
        limit = float((_CGROUP / "memory.max").read_text())
        return limit - float((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or "max"
        return math.inf
