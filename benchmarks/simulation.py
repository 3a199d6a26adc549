"""Decisions simulated a second, beside a bare numpy LinUCB in the same run, and how a sweep uses the cores."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.beliefs import Linear
from banditroute.core.preference import Preference
from banditroute.learners import Learner, LinUCB, ThompsonSampling
from banditroute.simulate import fast_path
from banditroute.simulate.environments import Environment, linear
from banditroute.simulate.replay import replay
from banditroute.simulate.sweep import sweep
from benchmarks.speed import BareLinUCB

D, K = 64, 16
REQUESTS = 4_000
CORES = os.cpu_count() or 1
COUNT = 20_000_000
SWEPT_SEEDS_PER_CORE = 4
PREFER = Preference(quality=1.0)
LEARNERS: dict[str, Learner] = {
    "banditroute": ThompsonSampling(),
    "banditroute/linucb": LinUCB(),
    "banditroute/linucb_linear": LinUCB(belief=Linear(), context_exploration=1.0),
    "banditroute/linucb_known_noise": LinUCB(belief=Linear(noise={"quality": 0.1}), context_exploration=1.0),
}


@command(seeds=5, options=[click.option("--requests", default=REQUESTS, show_default=True, type=click.IntRange(min=1))])
def main(*, files: list[Path], seeds: int, requests: int) -> list[Row]:
    """Decisions a second of one core, learning included, at d = 64, K = 16; and a sweep with one worker and with all.

    No FILE is read. Of CPU time, so that other work on the machine counts for little. `linucb` has the default belief,
    `linucb_linear` is the algorithm of the paper with learned noise, `linucb_known_noise` with known; `.../router` goes
    by the router itself. Medians of rounds that take turns; `ratio` is to the bare numpy LinUCB of the same round.

    `speedup` is the time of a sweep with one worker over that with one for each core. That of `busy_loop`, plain
    counting in as many processes, is what the machine gives at that moment beside its other work; `load` is its load
    average over its cores, before and after.
    """
    environment = linear(n=requests, arms=K, features=D - 1)
    environment = environment._replace(
        table=replace(environment.table, outcomes={"quality": environment.table.outcomes["quality"]})
    )
    case = f"d{D}_k{K}"
    passes, sweeps_per_seed = len(LEARNERS) + 2, 4
    with tqdm(total=seeds * passes, desc="passes", mininterval=0.0) as bar:
        rounds = [_round(environment, bar) for _ in range(seeds)]
    rows = []
    for policy in rounds[0]:
        rows.append(_median(case, policy, "decisions_per_second", [requests / each[policy] for each in rounds]))
        rows.append(_median(case, policy, "ratio", [each["numpy"] / each[policy] for each in rounds]))
    load = [os.getloadavg()[0] / CORES]
    with tqdm(total=seeds * sweeps_per_seed, desc="sweeps", mininterval=0.0) as bar:
        speedups = [(_speedup(_sweep(environment), bar), _speedup(_count, bar)) for _ in range(seeds)]
    sweeps, counts = zip(*speedups, strict=True)
    load.append(os.getloadavg()[0] / CORES)
    return [
        *rows,
        _median("sweep", "banditroute/linucb", "speedup", list(sweeps)),
        _median("sweep", "busy_loop", "speedup", list(counts)),
        _median("sweep", "banditroute/linucb", "ratio", [swept / count for swept, count in speedups]),
        row("sweep", "machine", "load", load, higher_is_better=False),
    ]


def _median(case: str, policy: str, metric: str, values: list[float]) -> Row:
    return replace(row(case, policy, metric, values), mean=statistics.median(values))  # one round may be disturbed


def _seconds(call: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    start = clock()
    call()
    return clock() - start


def _round(environment: Environment, bar: tqdm) -> dict[str, float]:
    """CPU seconds of a pass of each policy."""
    times = {"numpy": _seconds(lambda: _bare(environment))}
    bar.update()
    for policy, learner in LEARNERS.items():
        times[policy] = _seconds(lambda: _pass(environment, learner))  # noqa: B023
        bar.update()
    applies = fast_path.applies
    fast_path.applies = lambda *arguments: False
    try:
        policy = "banditroute/linucb_linear"
        times[f"{policy}/router"] = _seconds(lambda: _pass(environment, LEARNERS[policy]))
    finally:
        fast_path.applies = applies
    bar.update()
    return times


def _pass(environment: Environment, learner: Learner) -> object:
    return replay(*environment, learner=learner, preference=PREFER, seed=0)


def _bare(environment: Environment) -> None:
    table, x = environment
    contexts, quality = np.hstack([x, np.ones((len(x), 1))]), table.outcomes["quality"]
    bare = BareLinUCB(D, K)
    for row_, context in enumerate(contexts):
        k = bare.choose(context)
        bare.update(k, context, quality[row_, k])


def _sweep(environment: Environment) -> Callable[[], object]:
    seeds = range(SWEPT_SEEDS_PER_CORE * CORES)
    return lambda: list(sweep(*environment, learners={"linucb": LinUCB()}, preference=PREFER, seeds=seeds))


def _count() -> None:
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(sum, [range(COUNT)] * 2 * CORES))


def _speedup(work: Callable[[], object], bar: tqdm) -> float:
    """Of work on all cores over one, the start of its processes included."""
    seconds = {}
    cpu_count = os.cpu_count
    for workers in (1, CORES):
        os.cpu_count = lambda: workers  # noqa: B023
        try:
            seconds[workers] = _seconds(work, time.perf_counter)
            bar.update()
        finally:
            os.cpu_count = cpu_count
    return seconds[1] / seconds[CORES]


if __name__ == "__main__":
    main()
