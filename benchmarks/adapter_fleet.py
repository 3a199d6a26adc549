"""Four servers and many adapters: choosing adapter, server and residents together, against caches and affinity."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip
from tqdm import tqdm

from banditroute.adapters.backends.base import Capacity
from banditroute.adapters.controller import Controller, ControllerState
from banditroute.adapters.eviction import Score, Use, gdsf, lfu, lru
from banditroute.adapters.facility import best_cache
from banditroute.adapters.placement import Room, place
from banditroute.adapters.resident_set import Load, ResidentSet
from banditroute.core.arrays import Vector
from banditroute.simulate.adapter_traffic import AdapterTraffic, adapter_traffic
from banditroute.simulate.adapters import BatchedBeliefs, LinearUCB

SERVERS, SLOTS, CONCURRENCY = 4, 5, 16
ADAPTERS = (32, 200, 500)
TASKS = 32
REQUESTS = 8000
REQUESTS_PER_SECOND, SERVICE_SECONDS = 8.0, 1.0
UTILITY_PER_SECOND = 0.3  # so that a mean miss of .15 in utility is half a second
MISS_COST = 0.15
LEARNER = LinearUCB(alpha=3.0)
_TIE_SECONDS = 1e-9  # per open request, as in ``Fleet``


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A way to choose adapter and server, and what stays resident.

    ``aware`` takes the wait off the utility. ``server`` is ``"wait"``, the server of least wait; ``"affinity"``, the
    idlest server that has the adapter, else the idlest; or ``"sticky"``, the one that the adapter's name hashes to.
    """

    cache: Controller | Score | Literal["oracle"] = field(default_factory=Controller)
    aware: bool = True
    server: Literal["wait", "affinity", "sticky"] = "wait"
    omniscient: bool = False


POLICIES = {  # the oracle first: the others are measured against it
    "oracle": Policy(cache="oracle", omniscient=True),
    "oracle_cache": Policy(cache="oracle"),
    "banditroute": Policy(),
    "polar": Policy(cache=Controller.polar()),
    "lru_affinity_aware": Policy(cache=lru, server="affinity"),
    "gdsf_affinity_aware": Policy(cache=gdsf, server="affinity"),
    "lru_affinity": Policy(cache=lru, aware=False, server="affinity"),
    "lfu_affinity": Policy(cache=lfu, aware=False, server="affinity"),
    "gdsf_affinity": Policy(cache=gdsf, aware=False, server="affinity"),
    "lru_sticky": Policy(cache=lru, aware=False, server="sticky"),
}


class Run(NamedTuple):
    """Figures of every request ``(T,)``: expected utility, cost of loads in utility, loads, seconds waited."""

    utility: Vector
    paid: Vector
    loads: Vector
    waited: Vector


@command()
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Regret, quality, loads and waiting of 4 servers with 5 slots each (and one for staging), and N adapters.

    32 task types of Zipf(0.9) popularity, 8,000 requests that arrive as a Poisson process of 8 a second, noise 0.1. A
    request is answered in a second, 16 at a time on each server; a load takes half a second in the mean, costs .15 of
    utility, and one goes on at a time on each server. All policies have the same learner and the same memory. Regret is
    against the best fixed residents with an omniscient router, and counts loads, not queues. Loads in the background
    are counted too. `loads_vs_lru_affinity` and `quality_vs_lru_affinity` are the ratio and the difference to
    `lru_affinity` for each seed.
    """
    rows: list[Row] = []
    for count in ADAPTERS:
        traffics = [
            adapter_traffic(seed=seed, adapters=count, tasks=TASKS, requests=REQUESTS, miss_cost=MISS_COST)
            for seed in range(seeds)
        ]
        runs = {
            name: [serve(traffic, policy, seed) for seed, traffic in enumerate(traffics)]
            for name, policy in tqdm(POLICIES.items(), desc=f"N={count}")
        }
        best = np.array([(run.utility - run.paid).sum() for run in runs["oracle"]])
        usual = runs["lru_affinity"]
        for name, found in runs.items():
            rows += _rows(f"N={count}", name, found, best, usual)
    return rows


def _rows(case: str, policy: str, found: list[Run], best: Vector, usual: list[Run]) -> list[Row]:
    loads = np.array([1000.0 * run.loads.mean() for run in found])
    quality = np.array([run.utility.mean() for run in found])
    regret = best - [(run.utility - run.paid).sum() for run in found]
    figures: list[tuple[str, Vector, bool]] = [
        ("regret", regret, False),
        ("quality", quality, True),
        ("loads_per_1000", loads, False),
        ("waiting_p95_seconds", np.array([np.quantile(run.waited, 0.95) for run in found]), False),
        ("loads_vs_lru_affinity", loads / [1000.0 * run.loads.mean() for run in usual], False),
        ("quality_vs_lru_affinity", quality - [run.utility.mean() for run in usual], True),
    ]
    return [row(case, policy, metric, values, higher_is_better=better) for metric, values, better in figures]


def serve(traffic: AdapterTraffic, policy: Policy, seed: int) -> Run:
    """Serve one stream of requests."""
    requests, count = traffic.utilities.shape
    arrivals = np.random.default_rng([seed, 1]).exponential(1.0 / REQUESTS_PER_SECOND, size=requests).cumsum()
    belief = BatchedBeliefs(LEARNER, streams=1, adapters=count, dimension=traffic.x.shape[1])
    fleet = _SimulatedFleet(traffic, policy)
    utility, paid, loads, waited = (np.zeros(requests) for _ in range(4))
    for t, now in enumerate(arrivals):
        if policy.omniscient:
            scores = traffic.utilities[t]
        else:
            means, stds = belief.predict(traffic.x[t][None])
            scores = means[0] + LEARNER.alpha * stds[0]
        k, server = fleet.choose(scores, float(now))
        before = fleet.paid, fleet.loads
        waited[t] = fleet.use(k, server, float(now))
        utility[t] = traffic.utilities[t, k]
        if not policy.omniscient:
            belief.update(np.array([k]), traffic.x[t][None], np.array([utility[t] + traffic.noise[t]]))
        fleet.plan_if_due(k, belief, traffic.x[: t + 1], float(now))
        paid[t], loads[t] = fleet.paid - before[0], fleet.loads - before[1]
    return Run(utility, paid, loads, waited)


class _SimulatedServer:
    """The resident set of a server, its loads one after the other, and the requests that it answers."""

    def __init__(self, *, staged: bool, score: Score) -> None:
        capacity = Capacity(slots=SLOTS, staging_slots=1) if staged else Capacity(slots=SLOTS + 1)
        self.residents = ResidentSet(capacity=capacity, score=score)
        self.keep: set[str] = set()
        self.ready_at: dict[int, float] = {}  # adapter -> when its load ends
        self.loads_until = 0.0
        self.ends: list[float] = []  # of the requests that it answers, a heap

    def busy(self, now: float) -> int:
        """Return the number of requests that it answers."""
        while self.ends and self.ends[0] <= now:
            heapq.heappop(self.ends)
        return len(self.ends)

    def queue_seconds(self, now: float) -> float:
        """Return what ``Fleet`` expects that a request waits before its load."""
        busy = self.busy(now)
        over = max(busy + 1 - CONCURRENCY, 0) * SERVICE_SECONDS / CONCURRENCY
        full = self.residents.size >= SLOTS
        return max(self.loads_until - now, 0.0) + over + _TIE_SECONDS * (busy + CONCURRENCY * full)


class _SimulatedFleet:
    """Servers, and who decides what they keep."""

    def __init__(self, traffic: AdapterTraffic, policy: Policy) -> None:
        self.paid, self.loads = 0.0, 0
        self._policy, self._traffic = policy, traffic
        self._costs = traffic.costs
        self._seconds = traffic.costs / UTILITY_PER_SECOND
        self._names = [str(k) for k in range(len(self._costs))]
        self._resident = np.zeros((SERVERS, len(self._costs)), dtype=bool)
        self._home = np.array([_hash(name) % SERVERS for name in self._names])
        self._controller: ControllerState | None = None
        self._first = 0
        rule = policy.cache
        evicts = callable(rule)
        self._servers = []
        for _ in range(SERVERS):
            kept: set[str] = set()
            score: Score = rule if evicts else _kept_score(kept)  # type: ignore[assignment]
            self._servers.append(_SimulatedServer(staged=not evicts, score=score))
            self._servers[-1].keep = kept
        if isinstance(rule, Controller):
            self._controller = rule.start(adapters=self._names)
        elif rule == "oracle":
            sample = traffic.utilities[::4]
            self._keep(best_cache(sample, self._costs, among=range(len(self._costs)), slots=SERVERS * SLOTS), 0.0)

    def choose(self, scores: Vector, now: float) -> tuple[int, int]:
        """Return the adapter and the server of a request."""
        queues = np.array([server.queue_seconds(now) for server in self._servers])
        waits = queues[:, None] + np.where(self._resident, 0.0, self._seconds)
        penalty = UTILITY_PER_SECOND * waits.min(axis=0) if self._policy.aware else 0.0
        k = int((scores - penalty).argmax())
        if self._controller is not None and (forced := self._controller.forced(self._resident_names())) is not None:
            k = int(forced)
        if self._policy.server == "sticky":
            return k, int(self._home[k])
        if self._policy.server == "affinity":
            have = self._resident[:, k]
            return k, int(np.where(have | ~have.any(), queues, np.inf).argmin())
        return k, int(waits[:, k].argmin())

    def use(self, k: int, server: int, now: float) -> float:
        """Serve a request, and return the seconds waited."""
        self._page(k, server, now, keep=callable(self._policy.cache) or self._names[k] in self._servers[server].keep)
        at = self._servers[server]
        ready = max(now, at.ready_at.get(k, 0.0))
        start = max(ready, heapq.heappop(at.ends)) if at.busy(now) >= CONCURRENCY else ready
        heapq.heappush(at.ends, start + SERVICE_SECONDS)
        return start - now

    def plan_if_due(self, k: int, belief: BatchedBeliefs, x: Vector, now: float) -> None:
        """Count a request, and plan what is kept if an epoch has ended."""
        rule, controller = self._policy.cache, self._controller
        if not isinstance(rule, Controller) or controller is None or not controller.count(self._names[k]):
            return
        begin = max(len(x) - rule.window, self._first)
        means, stds = belief.review(0, x[begin:])
        kept = set().union(*(server.residents.kept for server in self._servers))
        plan = controller.plan(means, stds, self._costs, arms=self._names, resident=kept, slots=SERVERS * SLOTS)
        self._first = begin + plan.forget
        self._keep(plan.keep, now)

    def _keep(self, keep: list[int], now: float) -> None:
        rooms = {str(r): Room(slots=SLOTS, resident=each.residents.kept) for r, each in enumerate(self._servers)}
        placed = place([self._names[k] for k in keep], rooms=rooms, sizes=dict.fromkeys(self._names, 1.0))
        for name, adapters in placed.items():
            server = self._servers[int(name)]
            server.keep.clear()
            server.keep.update(adapters)
            for adapter in adapters:
                if adapter not in server.residents.kept:
                    self._page(int(adapter), int(name), now, keep=True)

    def _page(self, k: int, r: int, now: float, *, keep: bool) -> None:
        server, name = self._servers[r], self._names[k]
        step = server.residents.request(name, load_seconds=float(self._seconds[k]), keep=keep)
        if isinstance(step, Load):
            server.residents.loaded(name)
            self._resident[r, [int(left) for left in step.evict]] = False
            self._resident[r, k] = True
            server.loads_until = max(server.loads_until, now) + float(self._seconds[k])
            server.ready_at[k] = server.loads_until
            self.paid += float(self._costs[k])
            self.loads += 1
        server.residents.release(name)

    def _resident_names(self) -> set[str]:
        return {self._names[k] for k in np.flatnonzero(self._resident.any(axis=0))}


def _kept_score(kept: set[str]) -> Callable[[Use, int], float]:
    return lambda use, now: float(use.name in kept)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


if __name__ == "__main__":
    main()
