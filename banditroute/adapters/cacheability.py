"""The cacheability of adapter traffic: the value of resident adapters, by their number and how long they stay.

Requests come in segments, or epochs, of m; a cache holds K adapters. From the adapters that requests wanted, and from
their utilities, these figures say how much K resident adapters could have served. Liang et al. 2025 ("Not all models
suit expert offloading", arXiv 2505.16056) measure the same of the experts within a model: how well a fixed group covers
a segment (SRP, there an F1 score without a number of slots), and the hit rate of a cache that knows the next requests
(SCH). Net coverage counts utility instead of identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from banditroute.adapters.facility import best_cache, cache_value
from banditroute.core.arrays import Vector
from banditroute.core.validation import whole
from banditroute.errors import InvalidInputError

_ENOUGH_SHARE = 0.99  # of the most that can be kept


class NetCoverage(NamedTuple):
    """The share of the utility that a cache keeps.

    Attributes
    ----------
    hindsight
        With the best cache of the segment itself. No controller that plans once a segment can exceed it.
    carried
        With the best cache of the segment before, less its loads. A controller that plans once a segment has it.
    """

    hindsight: float
    carried: float


def net_coverage(utilities: Vector, *, length: int, slots: int, miss_cost: float | None = None) -> NetCoverage:
    """Return the utility that K resident adapters keep, as a share of the utility with all adapters resident.

    ``V_s(C)`` is that of :mod:`banditroute.adapters.facility`, ``C_s`` is the best cache found for segment s. Sums run
    over all complete segments but the first:

        hindsight = sum of V_s(C_s) / sum of V_s(all)
        carried   = sum of (V_s(C_{s-1}) - c |C_{s-1} without C_{s-2}| / m) / sum of V_s(all)

    where the loads of the first cache are not counted, and slots that are left over keep their adapters. If utilities
    are 1 for the adapter that a request wants and 0 for others, this is the coverage of segments: the mean share of a
    segment's requests whose adapter is among the K best of the segment.

    Parameters
    ----------
    utilities
        Utility of each of N adapters for n requests, in their order ``(n, N)``.
    length
        Requests of a segment, m: at least 1 and at most n / 2.
    slots
        Number of resident adapters, K: at least 1.
    miss_cost
        Cost of loading an adapter, in utility, at least 0; None: only resident adapters serve, and loads between
        segments are free.

    Raises
    ------
    InvalidInputError
        If a number is out of range, or all adapters together have no utility, so that there is no share.

    Examples
    --------
    >>> wanted = np.eye(2)[[0, 0, 0, 1, 1, 0, 1, 1]]
    >>> net_coverage(wanted, length=4, slots=1)  # of 1, 0, 1, 1: three by adapter 1, one by 0
    NetCoverage(hindsight=0.75, carried=0.25)
    """
    n, arms = _finite(utilities).shape
    if whole(length, name="length") > n // 2:
        raise InvalidInputError(f"length is {length} with {n} requests; give at most half of them, so that two fit")
    whole(slots, name="slots")
    if miss_cost is not None and not 0.0 <= miss_cost < np.inf:
        raise InvalidInputError(f"miss_cost is {miss_cost!r}; give what a load costs in utility, at least 0")
    # A miss that costs the whole range of the utilities is never better than the worst adapter that is there.
    costs = np.full(arms, float(np.ptp(utilities)) if miss_cost is None else miss_cost)
    segments = np.split(utilities[: n // length * length], n // length)
    caches: list[list[int]] = []
    for each in segments:
        best = best_cache(each, costs, among=range(arms), slots=slots)
        before = caches[-1] if caches else range(arms)  # what is worth nothing now stays where there is room
        caches.append([*best, *(k for k in before if k not in best)][:slots])
    everything = sum(float(each.max(axis=1).mean()) for each in segments[1:])
    if everything <= 0.0:
        raise InvalidInputError("no adapter is worth more than 0 on average; weigh quality more, or costs less")
    hindsight = sum(cache_value(each, costs, cache) for each, cache in zip(segments[1:], caches[1:], strict=True))
    carried = sum(cache_value(each, costs, cache) for each, cache in zip(segments[1:], caches[:-1], strict=True))
    loads = sum(len({*new} - {*old}) for old, new in pairwise(caches[:-1]))
    return NetCoverage(
        hindsight=hindsight / everything,
        carried=(carried - (miss_cost or 0.0) * loads / length) / everything,
    )


def lookahead_hit_rates(wanted: NDArray[np.bool_], *, ahead: int, slots: Sequence[int]) -> Vector:
    """Return the hit rate of a cache that knows the next m requests, for every number of slots: ``(S,)``.

    A miss loads the adapter, and evicts the one that the next m requests want least often; of equals, the one wanted
    longest ago (SCH of Liang et al. 2025). The cache is empty at first. If several adapters would do, a resident one is
    a hit; otherwise the one wanted most often is loaded.

    Parameters
    ----------
    wanted
        Whether each adapter serves a request best, at least one per request: ``(n, N)``.
    ahead
        m, at least 1.
    slots
        Numbers of slots, each at least 1.

    Raises
    ------
    InvalidInputError
        If a request wants no adapter, or a number is out of range.

    Examples
    --------
    >>> wanted = np.eye(3, dtype=bool)[[0, 1, 0, 2, 0, 1]]
    >>> lookahead_hit_rates(wanted, ahead=2, slots=[1, 2, 3])  # with two slots: hits are the third and the fifth
    array([0.        , 0.33333333, 0.5       ])
    """
    if wanted.ndim != 2 or wanted.dtype != np.bool_ or not len(wanted) or not wanted.any(axis=1).all():
        raise InvalidInputError(f"wanted has shape {wanted.shape}; give booleans (n, N), at least one true in each row")
    whole(ahead, name="ahead")
    room = np.array([whole(each, name="slots") for each in slots])
    n, arms = wanted.shape
    so_far = np.concatenate([np.zeros((1, arms), dtype=np.intp), wanted.cumsum(axis=0)])
    resident = np.zeros((len(room), arms), dtype=bool)
    last = np.full(arms, -1)
    hits = np.zeros(len(room))
    for t, wants in enumerate(wanted):
        coming = so_far[min(t + 1 + ahead, n)] - so_far[t + 1]
        hit = resident[:, wants].any(axis=1)
        hits += hit
        if not hit.all():
            loaded = int(np.where(wants, coming, -1).argmax())
            full = ~hit & (resident.sum(axis=1) >= room)
            worth = np.where(resident[full], coming * (n + 1) + last, np.iinfo(np.intp).max)
            resident[full, worth.argmin(axis=1)] = False
            resident[~hit, loaded] = True
        last[wants] = t
    rates: Vector = hits / n
    return rates


def knee(slots: Sequence[int], kept: Sequence[float]) -> int:
    """Return the number of slots beyond which a slot adds less than on average; fewer, if they keep 99%.

    The point farthest above the line from the first to the last one (Satopää et al. 2011, "Finding a 'Kneedle' in a
    haystack", without smoothing).

    Parameters
    ----------
    slots
        Numbers of slots, growing; the last is the number of all adapters.
    kept
        Share that each keeps.

    Examples
    --------
    >>> knee([1, 2, 3, 4, 5], [0.5, 0.7, 0.9, 0.95, 1.0])
    3
    >>> knee([1, 2, 3], [0.995, 0.996, 1.0])
    1
    """
    x, y = np.asarray(slots, dtype=np.float64), np.asarray(kept, dtype=np.float64)
    enough = int((y >= _ENOUGH_SHARE * y[-1]).argmax())
    if not enough:
        return slots[0]
    above = (y - y[0]) / (y[-1] - y[0]) - (x - x[0]) / (x[-1] - x[0])
    return slots[min(enough, int(above.argmax()))]


def longest_epoch(lengths: Sequence[int], carried: Sequence[float]) -> int:
    """Return the longest epoch that keeps 99% of what the best one does: a controller that plans seldom costs least.

    Examples
    --------
    >>> longest_epoch([50, 100, 200, 500], [0.80, 0.85, 0.845, 0.7])
    200
    """
    enough = np.asarray(carried) >= _ENOUGH_SHARE * max(carried)
    return lengths[int(np.flatnonzero(enough)[-1])]


def _finite(utilities: Vector) -> Vector:
    if utilities.ndim != 2 or not utilities.size or not np.isfinite(utilities).all():
        raise InvalidInputError(
            f"utilities have shape {utilities.shape}; give finite numbers (n, N), one for each request and adapter"
        )
    return utilities
