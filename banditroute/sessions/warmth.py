"""The probability that a provider still holds a prompt in its cache, learned by how long the session was idle."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

_EDGES = (0.2, 0.5, 0.9, 1.1, 2.0, 6.0, 24.0)  # idle time as a share of the time to live
_PRIOR_WARM = (0.95, 0.95, 0.9, 0.6, 0.3, 0.1, 0.05, 0.02)
_PRIOR_CALLS = 3.0  # that the provider's documentation is worth, for each range of idle times

Counts = dict[str, list[float]]
"""Provider -> calls that found their prefix, by range of idle times, then calls that did not."""


class Warmth:
    """Counts, by provider and idle time, of how much of a prefix was found in the cache.

    It begins with the documented time to live: nearly always warm before it, rarely after. A call counts by the share
    of the expected prefix that the provider read from its cache. Counts are sums, so those of many processes add up.

    Examples
    --------
    >>> warmth = Warmth()
    >>> round(warmth.probability("anthropic", 30.0, 300.0), 2)
    0.95
    >>> for _ in range(30):
    ...     warmth.add("anthropic", 30.0, 300.0, share=0.0)
    >>> round(warmth.probability("anthropic", 30.0, 300.0), 2)
    0.09
    """

    def __init__(self, counts: Mapping[str, list[float]] | None = None) -> None:
        self.counts: Counts = {provider: list(each) for provider, each in (counts or {}).items()}

    def probability(self, provider: str, idle_seconds: float, live_seconds: float) -> float:
        """Return the probability that a prefix is warm after ``idle_seconds``, in (0, 1)."""
        k = bisect_right(_EDGES, idle_seconds / live_seconds)
        warm, calls = _PRIOR_CALLS * _PRIOR_WARM[k], _PRIOR_CALLS
        if (counts := self.counts.get(provider)) is not None:
            warm += counts[k]
            calls += counts[k] + counts[k + len(_PRIOR_WARM)]
        return warm / calls

    def add(self, provider: str, idle_seconds: float, live_seconds: float, *, share: float) -> None:
        """Count a call that found ``share`` of its prefix, in [0, 1]."""
        k = bisect_right(_EDGES, idle_seconds / live_seconds)
        counts = self.counts.setdefault(provider, [0.0] * (2 * len(_PRIOR_WARM)))
        counts[k] += share
        counts[k + len(_PRIOR_WARM)] += 1.0 - share

    def include(self, other: Warmth, *, sign: float = 1.0) -> None:
        """Add other counts, or take them back where ``sign`` is -1."""
        for provider, counts in other.counts.items():
            own = self.counts.setdefault(provider, [0.0] * len(counts))
            own[:] = [mine + sign * theirs for mine, theirs in zip(own, counts, strict=True)]

    def copy(self) -> Warmth:
        """Return the same counts, to go on by themselves."""
        return Warmth(self.counts)
