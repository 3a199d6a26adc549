"""The best adapters to keep resident: facility location over recent requests.

The value of a cache C is the mean utility of the best choices under it. With the utility ``u[w, i]`` of adapter i for
request w, and the price ``c[w, i]`` of loading it when it is not resident,

    V(C) = mean over w of max( max_i (u[w, i] - c[w, i]),  max over i in C of u[w, i] )

V is monotone and submodular: it never falls as C grows, and each further adapter adds less. So greedy choice reaches
``1 - 1/e`` of the best gain (Nemhauser, Wolsey and Fisher 1978). With sizes, the better of greedy and of greedy by gain
per byte reaches half of that (Leskovec et al. 2007, "Cost-effective outbreak detection", theorem 3). Exchanges then
improve the greedy choice. If there are few possible caches, all are tried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations
from math import comb

import numpy as np

from banditroute.core.arrays import Vector

_MAX_CACHES_TRIED = 200
_MAX_EXCHANGES = 3
_MIN_GAIN = 1e-12


def cache_value(utilities: Vector, costs: Vector, cache: Collection[int]) -> float:
    """Return ``V(C)``, the utility per request of the best choices under a cache.

    Parameters
    ----------
    utilities
        Utilities of W requests under K arms ``(W, K)``.
    costs
        Cost of loading each arm's adapter, in utility: ``(K,)`` or ``(W, K)``, 0 for an arm that is always ready.
    cache
        Positions of the resident arms.

    Examples
    --------
    >>> u = np.array([[0.9, 0.5], [0.1, 0.8]])
    >>> cache_value(u, np.array([0.2, 0.2]), [1])  # .9 - .2 and .8
    0.75
    """
    floor = (utilities - costs).max(axis=1)
    kept = sorted(cache)
    return float((np.maximum(floor, utilities[:, kept].max(axis=1)) if kept else floor).mean())


def best_cache(
    utilities: Vector,
    costs: Vector,
    *,
    among: Sequence[int],
    slots: int | None = None,
    sizes: Vector | None = None,
    room: float | None = None,
    forced: Collection[int] = (),
) -> list[int]:
    """Return the most valuable cache that is found: ``forced`` first, then in the order of gain.

    Parameters
    ----------
    utilities, costs
        As in :func:`cache_value`.
    among
        Positions of the arms that can be resident or not.
    slots
        Number of arms that fit; None: no limit.
    sizes, room
        Bytes of each arm ``(K,)``, and the limit of their sum; None: no limit.
    forced
        Positions that are part of it whatever they are worth.

    Returns
    -------
    list of int
        Positions of arms that add value; there may be room left.

    Examples
    --------
    >>> u = np.array([[0.9, 0.1, 0.7], [0.1, 0.8, 0.7]])
    >>> best_cache(u, np.full(3, 0.5), among=[0, 1, 2], slots=1)
    [2]
    >>> best_cache(u, np.full(3, 0.5), among=[0, 1, 2], slots=2)
    [0, 1]
    """
    search = _Search(utilities, costs, among, slots, sizes, room, forced)
    if (
        slots is not None
        and sizes is None
        and comb(len(search.free), max(slots - len(search.forced), 0)) <= _MAX_CACHES_TRIED
    ):
        return search.exhaustive(max(slots - len(search.forced), 0))
    found = search.greedy(np.ones(utilities.shape[1]))
    if sizes is not None:
        found = max(search.greedy(sizes), found, key=search.value)
    return search.exchanged(found)


class _Search:
    def __init__(
        self,
        utilities: Vector,
        costs: Vector,
        among: Sequence[int],
        slots: int | None,
        sizes: Vector | None,
        room: float | None,
        forced: Collection[int],
    ) -> None:
        self.utilities = utilities
        self.forced = list(forced)
        self.free = [i for i in among if i not in forced]
        self._slots = np.inf if slots is None else slots
        self._sizes = np.zeros(utilities.shape[1]) if sizes is None else sizes
        self._room = np.inf if room is None else room
        self._floor = (utilities - costs).max(axis=1)

    def value(self, cache: Sequence[int]) -> float:
        return float(self._served(cache).mean())

    def exhaustive(self, count: int) -> list[int]:
        """Return the best of all caches with ``count`` free members, ordered by gain."""
        every = combinations(self.free, min(count, len(self.free)))
        return self._ordered(max(every, key=lambda some: self.value([*self.forced, *some])))

    def greedy(self, weights: Vector) -> list[int]:
        """Add the arm with the most gain per weight that still fits, again and again."""
        return self._ordered(self.free, weights)

    def exchanged(self, cache: list[int]) -> list[int]:
        """Exchange one arm for another while that gains, a few times."""
        for _ in range(_MAX_EXCHANGES):
            found = max(self._exchanges(cache), key=lambda each: each[0], default=(0.0, cache))
            if found[0] <= self.value(cache) + _MIN_GAIN:
                break
            cache = found[1]
        return self._ordered([i for i in cache if i not in self.forced])

    def _exchanges(self, cache: list[int]) -> Iterator[tuple[float, list[int]]]:
        """Yield, for each arm that may leave, the best cache with another in its place."""
        for leaving in cache:
            if leaving in self.forced:
                continue
            rest = [i for i in cache if i != leaving]
            others = [i for i in self.free if i not in cache and self._fits([*rest, i])]
            if others:
                values = np.maximum(self.utilities[:, others], self._served(rest)[:, None]).mean(axis=0)
                best = int(values.argmax())
                yield float(values[best]), [*rest, others[best]]

    def _ordered(self, free: Sequence[int], weights: Vector | None = None) -> list[int]:
        """Return the forced arms, then of ``free`` the one with most gain per weight, while it fits and gains."""
        weights = np.ones(self.utilities.shape[1]) if weights is None else weights
        cache, left = list(self.forced), list(free)
        served = self._served(cache)
        while left := [i for i in left if self._fits([*cache, i])]:
            gains = np.maximum(self.utilities[:, left] - served[:, None], 0.0).mean(axis=0)
            best = int((gains / weights[left]).argmax())
            if gains[best] <= _MIN_GAIN:
                break
            cache.append(left[best])
            served = np.maximum(served, self.utilities[:, left[best]])
        return cache

    def _served(self, cache: Sequence[int]) -> Vector:
        """Return the value of each request under a cache ``(W,)``."""
        served: Vector = self._floor
        if len(cache):
            served = np.maximum(served, self.utilities[:, list(cache)].max(axis=1))
        return served

    def _fits(self, cache: Sequence[int]) -> bool:
        return len(cache) <= self._slots and float(self._sizes[list(cache)].sum()) <= self._room
