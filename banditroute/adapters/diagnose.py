"""How cacheable traffic is: what few resident adapters cover, segment by segment.

Carried over from experts of a mixture to adapters: segment coverage and the hit rate of a cache that looks ahead
(Liang et al. 2025, "Not all models suit expert offloading: on local routing consistency of mixture-of-expert models",
arXiv 2505.16056), and the same in utility, since a second best adapter that is resident may be nearly as good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from banditroute.adapters.facility import best_cache, cache_value
from banditroute.errors import InvalidInputError
from banditroute.types import Vector

_ENOUGH = 0.98  # of the utility with everything resident
_AS_GOOD = 0.99  # of what shorter epochs keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Cacheability:
    """What ``slots`` slots can do whose adapters change every ``epoch`` requests.

    Attributes
    ----------
    slots, epoch
        Resident adapters, and requests between changes.
    coverage
        Share of requests whose best adapter is among the most asked for of their segment.
    lookahead_hit_rate
        Hits of a cache that on a miss evicts what the next ``epoch`` requests ask for least.
    utility_kept
        Utility under the best cache of each segment, over that with everything resident.
    """

    slots: int
    epoch: int
    coverage: float
    lookahead_hit_rate: float
    utility_kept: float


def cacheability(
    utilities: Vector, *, slots: Sequence[int], epochs: Sequence[int], miss_cost: float
) -> list[Cacheability]:
    """Every combination of ``slots`` and ``epochs`` over requests in the order in which they came.

    Parameters
    ----------
    utilities
        Expected utility of every adapter for every request ``(T, N)``.
    miss_cost
        What paging an adapter in costs, in utility.

    Raises
    ------
    InvalidInputError
        If there is nothing to judge: no request, or no combination that fits.

    Examples
    --------
    >>> u = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    >>> found = cacheability(u, slots=[1], epochs=[2, 6], miss_cost=1.0)
    >>> [(each.epoch, round(each.coverage, 2)) for each in found]
    [(2, 1.0), (6, 0.33)]
    """
    count, adapters = utilities.shape
    sizes = sorted({k for k in slots if 0 < k <= adapters})
    lengths = sorted({m for m in epochs if 0 < m <= count})
    if not sizes or not lengths:
        raise InvalidInputError(
            f"{count} requests and {adapters} adapters have no segment of {list(epochs)} requests, or no cache of "
            f"{list(slots)}; give a longer log or smaller numbers"
        )
    best = utilities.argmax(axis=1)
    costs = np.full(adapters, miss_cost)
    found = []
    for k in sizes:
        for m in lengths:
            segments = [slice(begin, begin + m) for begin in range(0, count - m + 1, m)]
            covered = [np.sort(np.bincount(best[each]))[-k:].sum() / m for each in segments]
            kept = [_value(utilities[each], costs, k) for each in segments]
            everything = float(utilities[: len(segments) * m].max(axis=1).mean())
            found.append(
                Cacheability(
                    slots=k,
                    epoch=m,
                    coverage=float(np.mean(covered)),
                    lookahead_hit_rate=lookahead_hit_rate(best, slots=k, ahead=m),
                    utility_kept=float(np.mean(kept)) / everything if everything else 1.0,
                )
            )
    return found


def lookahead_hit_rate(asked: NDArray[np.intp], *, slots: int, ahead: int) -> float:
    """Hits, per request, of a cache that evicts what the next ``ahead`` requests ask for least.

    Examples
    --------
    >>> lookahead_hit_rate(np.array([0, 1, 0, 2, 0, 1]), slots=2, ahead=3)  # 1 leaves for 2, which leaves for 1
    0.3333333333333333
    """
    coming = np.bincount(asked[:ahead], minlength=int(asked.max()) + 1)
    resident: set[int] = set()
    hits = 0
    for t, each in enumerate(asked.tolist()):
        coming[each] -= 1
        if t + ahead < len(asked):
            coming[asked[t + ahead]] += 1
        if each in resident:
            hits += 1
            continue
        if len(resident) == slots:
            resident.remove(min(resident, key=lambda i: (coming[i], i)))
        resident.add(each)
    return hits / len(asked)


def recommend(found: Sequence[Cacheability]) -> Cacheability:
    """The fewest slots that keep 98% of the utility at the shortest epoch, or else the most slots, and the longest
    epoch that keeps 99% of what the shortest does."""
    shortest = min(each.epoch for each in found)
    brief = sorted((each for each in found if each.epoch == shortest), key=lambda each: each.slots)
    enough = next((each for each in brief if each.utility_kept >= _ENOUGH), brief[-1])
    same = [each for each in found if each.slots == enough.slots]
    return max((each for each in same if each.utility_kept >= _AS_GOOD * enough.utility_kept), key=lambda e: e.epoch)


def _value(utilities: Vector, costs: Vector, slots: int) -> float:
    cache = best_cache(utilities, costs, among=range(utilities.shape[1]), slots=slots)
    return cache_value(utilities, costs, cache)
