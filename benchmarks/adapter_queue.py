"""What looking ahead in a queue spares: loads, and requests that wait for one, in the order of arrival and grouped."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip

from banditroute.adapters import AdapterCache, AdapterSpec, Capacity, SimulatedBackend, lru
from banditroute.adapters.eviction import Score
from banditroute.core.arm import Arm
from banditroute.router import Router

ADAPTERS, SLOTS = 15, 5
QUEUES, WAITING = 20, 64
BOUNDS = (None, 4, 16, 64)  # requests that may overtake one; None: no queue, but one request after the other
CONTROLS: dict[str, Score | None] = {"lru": lru, "default": None}


@command(seeds=20)
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """20 queues of 64 requests for 15 adapters of Zipf popularity, 5 slots and one for staging.

    Whatever is loaded in the background is loaded before the next request is served: its answer takes longer.
    """
    rows = []
    for control in CONTROLS:
        for bound in BOUNDS:
            runs = np.array([serve(control, bound, seed) for seed in range(seeds)])
            policy = "one_by_one" if bound is None else f"prefetch/max_overtaken={bound}"
            for metric, values in zip(("loads", "waits"), runs.T, strict=True):
                share = values / (QUEUES * WAITING)
                rows.append(row(control, policy, f"{metric}_per_request", share.tolist(), higher_is_better=False))
    return rows


def serve(control: str, bound: int | None, seed: int) -> tuple[int, int]:
    """Loads, and requests that waited for one."""
    rng = np.random.default_rng(seed)
    popularity = np.arange(1, ADAPTERS + 1) ** -0.9
    backend = SimulatedBackend(capacity=Capacity(slots=SLOTS, staging_slots=1), jitter=0.0)
    cache = AdapterCache(backend=backend, control=CONTROLS[control])
    specs = [AdapterSpec(name=f"a{k}", path=f"a{k}", size_bytes=80_000_000) for k in range(ADAPTERS)]
    waits = 0
    with Router(arms=[Arm(name=s.name, adapter=s) for s in specs], features=1, adapters=cache, seed=seed) as router:
        for _ in range(QUEUES):
            asked = rng.choice(ADAPTERS, p=popularity / popularity.sum(), size=WAITING)
            decisions = [router.route([0.0], arms=[f"a{k}"]) for k in asked]
            for decision in decisions if bound is None else cache.prefetch(decisions, max_overtaken=bound):
                cache.wait()
                lease = router.lease(decision)
                with lease:
                    waits += lease.seconds > 0.0
        return cache.loads, waits


if __name__ == "__main__":
    main()
