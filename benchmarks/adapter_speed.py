"""The time that adapters add to `route()`, with one server and with four, and the time of the controller's plan."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip

from banditroute.adapters import AdapterCache, AdapterSpec, Capacity, Controller, Fleet, SimulatedBackend, lru
from banditroute.beliefs import Linear
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.preference import Preference
from banditroute.learners import LinUCB
from banditroute.router import Router
from banditroute.router.assembly import parts_of
from banditroute.store import MemoryStore, SQLStore

ADAPTERS = (15, 200)
CONTEXTS = 1000
FEATURES = 9
SLOTS = 5
SERVERS = 4
CALLS = 300


@command(seeds=9)
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Best of 20 rounds of 300 calls of `route()` without a cache, with one, and with a fleet, in turn, for each seed.

    Seconds are those of the processor, so that other work on the machine does not count. The fleet has 4 servers.
    `lease` holds a resident adapter and releases it, and nothing is recorded; `lease_recorded` is the same with a
    database, into which the thread of the store writes how long the adapter was waited for. `controller` is the plan
    over 1,000 contexts whose utilities are known; `plan` also predicts them, as happens after feedback.
    """
    rows = []
    for count in ADAPTERS:
        case = f"N={count}"
        figures: dict[tuple[str, str], list[float]] = {}
        for seed in range(seeds):
            for key, value in _measure(count, seed).items():
                figures.setdefault(key, []).append(value)
        rows += [row(case, policy, metric, each, higher_is_better=False) for (policy, metric), each in figures.items()]
    return rows


def _measure(count: int, seed: int) -> dict[tuple[str, str], float]:
    rng = np.random.default_rng(seed)
    names = [f"a{k}" for k in range(count)]
    specs = [AdapterSpec(name=name, path=name, size_bytes=10**9) for name in names]
    capacity = Capacity(slots=SLOTS, staging_slots=1)
    cache = AdapterCache(backend=SimulatedBackend(capacity=capacity, jitter=0.0))
    fleet = Fleet(servers={f"s{i}": SimulatedBackend(capacity=capacity, jitter=0.0) for i in range(SERVERS)})
    plain, paged, fleeted = (
        Router(
            arms=arms,
            features=FEATURES,
            learner=LinUCB(alpha=3.0, belief=Linear(), context_exploration=1.0),
            preference=Preference(quality=1.0, latency_seconds=0.3),
            adapters=adapters,
        )
        for arms, adapters in (
            ([Arm(name=name, expected={"quality": 1.0}) for name in names], None),
            ([Arm(name=spec.name, adapter=spec) for spec in specs], cache),
            ([Arm(name=spec.name, adapter=spec) for spec in specs], fleet),
        )
    )
    x = rng.normal(size=FEATURES)
    for router in (plain, paged, fleeted):
        for _ in range(50):
            router.feedback(router.route(x).id, quality=0.5)
    rounds = np.array([[_seconds(lambda r=r: r.route(x), CALLS) for r in (plain, paged, fleeted)] for _ in range(20)])
    without, with_cache, with_fleet = rounds.min(axis=0) / CALLS * 1e6
    for _ in range(CONTEXTS):
        paged.route(rng.normal(size=FEATURES))
    engine = parts_of(paged).engine
    controller = Controller().start(adapters=names)
    means, stds = rng.uniform(size=(CONTEXTS, count)), 0.1 * rng.uniform(size=(CONTEXTS, count))
    costs = np.tile(rng.uniform(0.05, 0.3, size=count), (CONTEXTS, 1))
    return {
        ("route", "microseconds"): without,
        ("route_with_cache", "microseconds"): with_cache,
        ("cache_adds", "microseconds"): with_cache - without,
        ("route_with_fleet", "microseconds"): with_fleet,
        ("fleet_adds", "microseconds"): with_fleet - without,
        **_leases(specs[0], x),
        ("controller", "milliseconds"): 1e3
        * _seconds(lambda: controller.plan(means, stds, costs, arms=names, resident=names[:SLOTS], slots=SLOTS)),
        ("plan", "milliseconds"): 1e3 * _seconds(lambda: engine.adapters.plan(engine._review, engine.models.untried)),
    }


def _leases(adapter: AdapterSpec, x: Vector) -> dict[tuple[str, str], float]:
    found = {}
    with TemporaryDirectory() as folder:
        for policy, store in (("lease", MemoryStore()), ("lease_recorded", SQLStore(f"sqlite:///{folder}/routes.db"))):
            cache = AdapterCache(backend=SimulatedBackend(capacity=Capacity(slots=1), jitter=0.0), control=lru)
            rounds = []
            with Router(
                arms=[Arm(name="a", adapter=adapter)], features=FEATURES, adapters=cache, store=store
            ) as router:
                for _ in range(20):
                    decisions = iter([router.route(x) for _ in range(CALLS)])
                    router.flush()
                    rounds.append(_seconds(lambda left=decisions: _serve(router, next(left)), CALLS))  # type: ignore[misc]
            found[policy, "microseconds"] = min(rounds) / CALLS * 1e6
    return found


def _serve(router: Router, decision: Decision) -> None:
    with router.lease(decision):
        pass


def _seconds(call: Callable[[], object], times: int = 1) -> float:
    begun = time.process_time()
    for _ in range(times):
        call()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
