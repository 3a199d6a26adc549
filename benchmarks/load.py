"""A fleet with queues: latency and quality of routing that counts open decisions, and of routing that does not."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip
from tqdm import tqdm

from banditroute.core.preference import Preference
from banditroute.limits.load import Load
from banditroute.router import Router
from banditroute.router.assembly import parts_of
from banditroute.store import MemoryStore


class Server(NamedTuple):
    """An arm that serves ``slots`` requests at a time, first come first served (M/G/c)."""

    slots: int
    mean_seconds: float
    quality: float


# Chosen, not measured: the best arm alone holds less than a third of the traffic.
FLEET = {"small": Server(4, 1.0, 0.70), "medium": Server(4, 1.5, 0.80), "large": Server(8, 3.0, 0.85)}
CAPACITY = sum(each.slots / each.mean_seconds for each in FLEET.values())  # requests a second
SECONDS_WORTH = 0.05  # of quality, for each second
LOADS = (0.5, 0.8, 0.95)  # of the capacity
REQUESTS = 2_000
BATCH = 200
SCORED_FROM = 0.5  # of the requests: before, the router learns
LOG_STD = 0.83  # of the service times: they vary by as much as their mean


class Traffic(NamedTuple):
    """When requests come, what each would take at every arm, and how lucky each is."""

    arrivals: np.ndarray
    seconds: np.ndarray
    luck: np.ndarray


def traffic(load: float, batch: int, rng: np.random.Generator) -> Traffic:
    """Return requests that come one by one (Poisson), or in batches."""
    gaps = rng.exponential(batch / (load * CAPACITY), -(-REQUESTS // batch))
    arrivals = np.repeat(np.cumsum(gaps), batch)[:REQUESTS]
    means = np.array([each.mean_seconds for each in FLEET.values()])
    scales = rng.lognormal(-(LOG_STD**2) / 2.0, LOG_STD, (REQUESTS, len(FLEET)))
    return Traffic(arrivals, scales * means, rng.random(REQUESTS))


class Fleet:
    """The queues: when each slot of each arm is free again."""

    def __init__(self) -> None:
        self.free = {arm: [0.0] * each.slots for arm, each in FLEET.items()}

    def serve(self, arm: str, now: float, seconds: float) -> float:
        """Return the latency of a request that joins the queue of ``arm``."""
        begin = max(heapq.heappop(self.free[arm]), now)
        heapq.heappush(self.free[arm], begin + seconds)
        return begin + seconds - now

    def wait(self, arm: str, now: float) -> float:
        """Return how long a request would wait now."""
        return max(self.free[arm][0] - now, 0.0)


def routed(requests: Traffic, batch: int, seed: int, *, counts_open: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return latency and quality of every request that a router serves; outcomes come when the answer is there."""
    now = 1.7e9
    latencies, qualities = np.empty(REQUESTS), np.empty(REQUESTS)
    fleet, done = Fleet(), list[tuple[float, str, int]]()
    with Router(
        arms=list(FLEET),
        features=1,
        preference=Preference(quality=1.0, latency_seconds=SECONDS_WORTH),
        store=MemoryStore(capacity=REQUESTS),
        seed=seed,
        clock=lambda: now,
    ) as router:
        if not counts_open:
            parts_of(router).engine.with_constraints(
                lambda constraints: setattr(constraints, "_load", Blind(arms=(), add=none))
            )
        for first in range(0, REQUESTS, batch):
            arrived = requests.arrivals[first]
            while done and done[0][0] <= arrived:
                at, id, i = heapq.heappop(done)
                now = 1.7e9 + at
                router.feedback(id, quality=qualities[i], latency_seconds=latencies[i])
            now = 1.7e9 + arrived
            contexts = [[0.0]] * min(batch, REQUESTS - first)
            for i, decision in enumerate(router.route_many(contexts), first):
                arm = decision.arm
                latencies[i] = fleet.serve(arm, arrived, requests.seconds[i, list(FLEET).index(arm)])
                qualities[i] = requests.luck[i] < FLEET[arm].quality
                heapq.heappush(done, (arrived + latencies[i], decision.id, i))
        if router.status().fallbacks:
            raise RuntimeError(f"{router.status().fallbacks} decisions fell back")
    return latencies, qualities


class Blind(Load):
    """Counts nothing: the router knows the mean latency of each arm and no more."""

    def extra_seconds(self, now: float) -> None:
        return None


def none(*given: object) -> None:
    """Share nothing."""


Choose = Callable[[Fleet, float, np.random.Generator], str]


def uniform(fleet: Fleet, now: float, rng: np.random.Generator) -> str:
    """Choose any arm."""
    return str(rng.choice(list(FLEET)))


def static_mix(fleet: Fleet, now: float, rng: np.random.Generator) -> str:
    """Give every arm the share of the traffic that it has of the capacity."""
    return str(rng.choice(list(FLEET), p=[each.slots / each.mean_seconds / CAPACITY for each in FLEET.values()]))


def oracle(fleet: Fleet, now: float, rng: np.random.Generator) -> str:
    """Choose the arm of the largest utility, with quality, mean time and present wait known."""
    return max(FLEET, key=lambda a: FLEET[a].quality - SECONDS_WORTH * (FLEET[a].mean_seconds + fleet.wait(a, now)))


def played(requests: Traffic, seed: int, choose: Choose) -> tuple[np.ndarray, np.ndarray]:
    """Return latency and quality of every request that a reference serves."""
    fleet, rng = Fleet(), np.random.default_rng(seed)
    latencies, qualities = np.empty(REQUESTS), np.empty(REQUESTS)
    for i, now in enumerate(requests.arrivals):
        arm = choose(fleet, now, rng)
        latencies[i] = fleet.serve(arm, now, requests.seconds[i, list(FLEET).index(arm)])
        qualities[i] = requests.luck[i] < FLEET[arm].quality
    return latencies, qualities


CASES = {**{f"load {load:g}": (load, 1) for load in LOADS}, "batches of 200, load 0.8": (0.8, BATCH)}


def run(job: tuple[str, int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return latency and quality of every policy on the same requests."""
    case, seed = job
    load, batch = CASES[case]
    requests = traffic(load, batch, np.random.default_rng([seed, int(100 * load), batch]))
    return {
        "banditroute": routed(requests, batch, seed, counts_open=True),
        "banditroute/load_blind": routed(requests, batch, seed, counts_open=False),
        **{each.__name__: played(requests, seed, each) for each in (uniform, static_mix, oracle)},
    }


@command()
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Latency in a simulated fleet of queues (M/G/c), with open decisions counted and without; no FILE is read.

    Requests come one by one at a share of the fleet's capacity, or 200 at a time with `route_many`. Outcomes are
    reported when the answer is there. `banditroute/load_blind` is the same router without the count of open decisions.
    The oracle knows every queue. The second half of 2,000 requests is scored: mean and 95th percentile of the latency
    in seconds, quality, and utility (quality less .05 for each second).
    """
    jobs = [(case, seed) for case in CASES for seed in range(seeds)]
    with ProcessPoolExecutor(max_workers=2) as pool:
        results = list(tqdm(pool.map(run, jobs), total=len(jobs)))
    rows = []
    for case in CASES:
        some = [found for (each, _), found in zip(jobs, results, strict=True) if each == case]
        for name in some[0]:
            rows += _rows(case, name, [found[name] for found in some])
    return rows


def _rows(case: str, name: str, results: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[Row]:
    scored = slice(int(REQUESTS * SCORED_FROM), None)
    seconds = [latencies[scored] for latencies, _ in results]
    quality = [float(qualities[scored].mean()) for _, qualities in results]
    mean = [float(each.mean()) for each in seconds]
    p95 = [float(np.quantile(each, 0.95)) for each in seconds]
    utility = [q - SECONDS_WORTH * s for q, s in zip(quality, mean, strict=True)]
    add = partial(row, case, name)
    return [
        add("latency_p95_seconds", p95, higher_is_better=False),
        add("latency_mean_seconds", mean, higher_is_better=False),
        add("quality", quality),
        add("utility", utility),
    ]


if __name__ == "__main__":
    main()
