"""The counts that are learned of all sessions together, and how processes store and add them."""

from __future__ import annotations

import json
from typing import NamedTuple

from banditroute.sessions.horizon import Horizon
from banditroute.sessions.warmth import Warmth


class SessionCounts(NamedTuple):
    """The counts of idle times and of turns; sums, so that those of many processes add up."""

    warmth: Warmth
    horizon: Horizon

    def copy(self) -> SessionCounts:
        """Return the same counts, to go on by themselves."""
        return SessionCounts(self.warmth.copy(), self.horizon.copy())

    def less(self, before: SessionCounts) -> SessionCounts:
        """Return what was counted since ``before``."""
        since = self.copy()
        since.warmth.include(before.warmth, sign=-1.0)
        since.horizon.include(before.horizon, sign=-1.0)
        return since


def added(earlier: bytes, later: bytes) -> bytes:
    """Return the sum of two stored counts."""
    counts, more = from_bytes(earlier), from_bytes(later)
    counts.warmth.include(more.warmth)
    counts.horizon.include(more.horizon)
    return to_bytes(counts)


def to_bytes(counts: SessionCounts) -> bytes:
    """Return counts as JSON."""
    return json.dumps({"warmth": counts.warmth.counts, "turns": counts.horizon.counts}).encode()


def from_bytes(blob: bytes | None) -> SessionCounts:
    """Return the counts that ``to_bytes`` has written; new ones for None.

    Raises
    ------
    LookupError, TypeError, ValueError
        If the bytes are not what ``to_bytes`` writes.
    """
    if blob is None:
        return SessionCounts(Warmth(), Horizon())
    stored = json.loads(blob)
    counts = {str(provider): list(map(float, each)) for provider, each in stored["warmth"].items()}
    return SessionCounts(Warmth(counts), Horizon(list(map(float, stored["turns"]))))
