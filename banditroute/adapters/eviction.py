"""Eviction rules: the resident adapter of the lowest score leaves. A score is a function of how an adapter was used."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(slots=True, kw_only=True)
class Use:
    """The history of use of one adapter; it survives an eviction.

    Attributes
    ----------
    name
        Name of the adapter.
    size_bytes
        Its size, at least 1.
    load_seconds
        Expected seconds of a load.
    uses
        Number of uses.
    loaded_at, used_at
        The last load and the last use, counted in uses of all adapters.
    floor
        The score of the adapter evicted last, at the time of this one's last use. It ages a score.
    """

    name: str
    size_bytes: int = 1
    load_seconds: float = 1.0
    uses: int = 0
    loaded_at: int = 0
    used_at: int = 0
    floor: float = 0.0


Score: TypeAlias = Callable[[Use, int], float]
"""``score(use, now)`` -> value of keeping an adapter after ``now`` uses of all adapters. The lowest leaves; of equals,
the one used longest ago."""


def fifo(use: Use, now: int) -> float:
    """Return when the adapter was loaded: first in, first out."""
    return float(use.loaded_at)


def lru(use: Use, now: int) -> float:
    """Return when the adapter was last used: the least recently used one leaves."""
    return float(use.used_at)


def lfu(use: Use, now: int) -> float:
    """Return the number of uses since the start: the least frequently used one leaves."""
    return float(use.uses)


def cost_aware(use: Use, now: int) -> float:
    """Return the seconds of the next load, aged: GreedyDual.

    Young 1994, "The k-server dual and loose competitiveness".
    """
    return use.floor + use.load_seconds


def gdsf(use: Use, now: int) -> float:
    """Return uses times load seconds per byte, aged: GreedyDual-Size-Frequency (Cherkasova 1998).

    Examples
    --------
    >>> small, large = Use(name="a", size_bytes=10, uses=2), Use(name="b", size_bytes=100, uses=4)
    >>> gdsf(small, 6) > gdsf(large, 6)
    True
    """
    return use.floor + use.uses * use.load_seconds / use.size_bytes


def belady(trace: Sequence[str]) -> Score:
    """Return the rule that evicts the adapter whose next use in a known ``trace`` is farthest away (Belady 1966).

    No real policy knows the trace. The rule is optimal if all sizes and load times are equal and uses do not overlap.

    Examples
    --------
    >>> score = belady(["a", "b", "a", "b"])
    >>> [score(Use(name=name), 1) for name in "abc"]  # after one use: b is next, then a, and c is never used
    [-2.0, -1.0, -inf]
    """
    places: dict[str, list[int]] = {}
    for i, name in enumerate(trace):
        places.setdefault(name, []).append(i)

    def score(use: Use, now: int) -> float:
        mine = places.get(use.name, [])
        following = bisect_left(mine, now)
        return -float(mine[following]) if following < len(mine) else -math.inf

    return score
