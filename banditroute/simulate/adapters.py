"""Simulate many routers of adapters at once: one array of beliefs for all seeds, and a resident set for each.

It makes the choices of a :class:`banditroute.Router` with ``LinUCB(belief=Linear(...), context_exploration=1.0,
floor=0.0)`` and immediate feedback, without store and decisions, a hundred times as fast. Resident sets and controllers
are the router's own; the beliefs of all seeds are updated in one operation, which the router's stages cannot do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from banditroute.adapters.backends.base import Capacity
from banditroute.adapters.controller import Controller, ControllerState
from banditroute.adapters.eviction import Score, Use
from banditroute.adapters.facility import best_cache
from banditroute.adapters.resident_set import Load, ResidentSet
from banditroute.core.arrays import Vector
from banditroute.simulate.adapter_traffic import AdapterTraffic

_POPULAR_AFTER_REQUESTS = 1000  # then the most used adapters are kept
_EDGELORA_TOP = 3  # best adapters, of which EdgeLoRA's rule takes a resident one


@dataclass(frozen=True, slots=True, kw_only=True)
class PagingPolicy:
    """Ways to choose adapters, and to keep them resident.

    Parameters
    ----------
    route
        ``"aware"`` subtracts what a miss costs, ``"oblivious"`` does not, ``"edgelora"`` takes a resident adapter of
        the best three where there is one (Shen et al. 2025), ``"omniscient"`` knows all utilities.
    cache
        A controller's settings; a score by which a miss evicts; or a cache that never changes: ``"oracle"``, the best
        there is, ``"popular"``, the adapters that are best for the most requests, or ``"random"``.
    """

    route: Literal["aware", "oblivious", "edgelora", "omniscient"] = "aware"
    cache: Controller | Score | Literal["oracle", "popular", "random"] = field(default_factory=Controller)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearUCB:
    """The learner of a run: ``LinUCB(alpha=alpha, belief=Linear(...), context_exploration=1.0, floor=0.0)``.

    Parameters
    ----------
    alpha
        Width of the confidence bounds in standard deviations.
    prior_mean
        Expected utility of an adapter never tried.
    feature_precision, intercept_precision
        As in :class:`banditroute.beliefs.Linear`; None: ``4 (d - 1)``.
    noise
        Known standard deviation of observed utilities.
    """

    alpha: float = 3.0
    prior_mean: float = 1.0
    feature_precision: float | None = 1.0
    intercept_precision: float = 1.0
    noise: float = 0.1


class PagingRun(NamedTuple):
    """Choices of a policy over B streams of T requests.

    Attributes
    ----------
    chosen : (B, T)
        Position of the adapter that served each request.
    hit : (B, T)
        Whether it was resident.
    utility : (B, T)
        Its expected utility, without the cost of loads.
    paid : (B, T)
        Cost of loads in utility: of the miss, and of the loads that a controller asked for after the request.
    """

    chosen: NDArray[np.intp]
    hit: NDArray[np.bool_]
    utility: Vector
    paid: Vector

    @property
    def net(self) -> Vector:
        """Utility less the cost of loads ``(B, T)``."""
        return self.utility - self.paid


def run(
    traffics: Sequence[AdapterTraffic], *, policy: PagingPolicy, slots: int, learner: LinearUCB | None = None
) -> PagingRun:
    """Serve B streams of one shape by ``policy``, with ``slots`` slots and one for staging.

    A rule that evicts on a miss has the staging slot as one more slot, so that all policies have the same memory.

    Examples
    --------
    >>> from banditroute.simulate.adapter_traffic import adapter_traffic
    >>> traffic = adapter_traffic(seed=0, adapters=4, tasks=4, requests=200)
    >>> run([traffic], policy=PagingPolicy(), slots=2).chosen.shape
    (1, 200)
    """
    learner = LinearUCB() if learner is None else learner
    every = np.arange(len(traffics))
    x = np.stack([traffic.x for traffic in traffics])
    costs = np.stack([traffic.costs for traffic in traffics])
    belief = BatchedBeliefs(learner, streams=len(traffics), adapters=costs.shape[1], dimension=x.shape[2])
    caches = [_Cache(policy, traffic, slots, seed) for seed, traffic in enumerate(traffics)]
    resident = np.stack([cache.resident for cache in caches])
    shape = x.shape[:2]
    chosen, hit, paid = np.empty(shape, dtype=np.intp), np.empty(shape, dtype=bool), np.zeros(shape)
    paid[:, 0] = [cache.paid for cache in caches]
    for t in range(shape[1]):
        if policy.route == "omniscient":
            means = np.stack([traffic.utilities[t] for traffic in traffics])
            scores = means
        else:
            means, stds = belief.predict(x[:, t])
            scores = means + learner.alpha * stds
        if policy.route == "edgelora":
            best = np.argsort(-scores, axis=1, kind="stable")[:, :_EDGELORA_TOP]
            k = best[every, np.take_along_axis(resident, best, axis=1).argmax(axis=1)]
        else:
            k = (scores if policy.route == "oblivious" else scores - costs * ~resident).argmax(axis=1)
        for b, cache in enumerate(caches):
            k[b] = cache.forced(k[b])
        hit[:, t] = resident[every, k]
        chosen[:, t] = k
        paid[:, t] += costs[every, k] * ~hit[:, t]
        observed = np.array([traffic.utilities[t, k[b]] + traffic.noise[t] for b, traffic in enumerate(traffics)])
        if policy.route != "omniscient":
            belief.update(k, x[:, t], observed)
        for b, cache in enumerate(caches):
            if cache.serve(int(k[b])):
                paid[b, t] += cache.plan(belief, b, x[b, : t + 1])
            if cache.changed:
                resident[b] = cache.resident
    utility = np.stack([traffic.utilities[np.arange(shape[1]), chosen[b]] for b, traffic in enumerate(traffics)])
    return PagingRun(chosen=chosen, hit=hit, utility=utility, paid=paid)


def oracle_cache(traffic: AdapterTraffic, slots: int) -> list[int]:
    """Return the best fixed cache for all requests of a stream, as found by greedy choice and exchanges."""
    every_fourth = traffic.utilities[::4]
    return best_cache(every_fourth, traffic.costs, among=range(len(traffic.costs)), slots=slots)


class BatchedBeliefs:
    """Linear beliefs of B streams about N adapters each, with a known noise."""

    def __init__(self, learner: LinearUCB, *, streams: int, adapters: int, dimension: int) -> None:
        self._noise = learner.noise
        precision = np.full(dimension, learner.feature_precision or 4.0 * (dimension - 1))
        precision[-1] = learner.intercept_precision
        self._inverse = np.tile(np.diag(1.0 / precision), (streams, adapters, 1, 1))
        self._theta = np.zeros((streams, adapters, dimension))
        self._theta[:, :, -1] = learner.prior_mean
        self._every = np.arange(streams)

    def predict(self, x: Vector) -> tuple[Vector, Vector]:
        """Return the expected utility of every adapter at contexts ``x (B, d)``, and its std: each ``(B, N)``."""
        self._gains = (self._inverse @ x[:, None, :, None])[..., 0]
        widths = (self._gains @ x[:, :, None])[..., 0]
        return (self._theta @ x[:, :, None])[..., 0], self._noise * np.sqrt(np.maximum(widths, 0.0))

    def update(self, k: NDArray[np.intp], x: Vector, y: Vector) -> None:
        """Learn what the adapters ``k (B,)`` did at the contexts of the last prediction."""
        gain = self._gains[self._every, k]
        scale = 1.0 / (1.0 + (gain * x).sum(axis=1))
        error = y - (self._theta[self._every, k] * x).sum(axis=1)
        self._theta[self._every, k] += gain * (error * scale)[:, None]
        self._inverse[self._every, k] -= gain[:, :, None] * gain[:, None, :] * scale[:, None, None]

    def review(self, b: int, x: Vector) -> tuple[Vector, Vector]:
        """Return expected utilities and their stds for W contexts of stream b: each ``(W, N)``."""
        widths = np.einsum("nwd,wd->wn", x @ self._inverse[b], x)
        return x @ self._theta[b].T, self._noise * np.sqrt(np.maximum(widths, 0.0))


class _Cache:
    """The resident set of one stream, and its controller or rule."""

    def __init__(self, policy: PagingPolicy, traffic: AdapterTraffic, slots: int, seed: int) -> None:
        self._costs = traffic.costs
        self._names = [str(k) for k in range(len(traffic.costs))]
        self._slots = slots
        self._controller: ControllerState | None = None
        self._keep: list[int] = []
        self._first = 0
        self._uses = np.zeros(len(self._names))
        self.resident = np.zeros(len(self._names), dtype=bool)
        self.changed = False
        self._rule = policy.cache
        capacity = Capacity(slots=slots, staging_slots=1)
        score: Score = self._kept
        if isinstance(self._rule, Controller):
            self._controller = self._rule.start(adapters=self._names)
        elif callable(self._rule):
            capacity, score = Capacity(slots=slots + 1), self._rule
            self._keep = list(range(len(self._names)))
        elif self._rule == "oracle":
            self._keep = oracle_cache(traffic, slots)
        elif self._rule == "random":
            self._keep = np.random.default_rng(seed).permutation(len(self._names))[:slots].tolist()
        self._set = ResidentSet(capacity=capacity, score=score)
        self.paid = 0.0 if callable(self._rule) else sum(self._page(k) for k in self._keep)

    def forced(self, k: int) -> int:
        """Return the adapter that serves the next request, for which ``k`` was chosen."""
        name = None if self._controller is None else self._controller.forced(self._set.names)
        return k if name is None else int(name)

    def serve(self, k: int) -> bool:
        """Use an adapter; return whether a plan is due."""
        self.changed = False
        self._page(k)
        self._uses[k] += 1
        if self._controller is not None:
            return self._controller.count(self._names[k])
        return self._rule == "popular" and self._uses.sum() == _POPULAR_AFTER_REQUESTS

    def plan(self, belief: BatchedBeliefs, b: int, x: Vector) -> float:
        """Plan which adapters to keep, load them, and return the cost in utility."""
        if isinstance(self._rule, Controller) and self._controller is not None:
            begin = max(len(x) - self._rule.window, self._first)
            means, stds = belief.review(b, x[begin:])
            plan = self._controller.plan(
                means, stds, self._costs, arms=self._names, resident=self._set.kept, slots=self._slots
            )
            self._first, self._keep = begin + plan.forget, plan.keep
        else:
            self._keep = np.argsort(-self._uses, kind="stable")[: self._slots].tolist()
        kept = self._set.kept
        return sum(self._page(k) for k in self._keep if self._names[k] not in kept)

    def _kept(self, use: Use, now: int) -> float:
        return float(int(use.name) in self._keep)

    def _page(self, k: int) -> float:
        """Use an adapter, and return the cost of loading it."""
        name = self._names[k]
        step = self._set.request(name, load_seconds=float(self._costs[k]), keep=k in self._keep)
        if isinstance(step, Load):
            self._set.loaded(name)
            self.changed = True
            self.resident[[int(left) for left in step.evict]] = False
            self.resident[k] = True
        self._set.release(name)
        return float(self._costs[k]) if isinstance(step, Load) else 0.0
