"""Microseconds of a decision and of a report, against the number of arms, of features, and of threads."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip
from tqdm import tqdm

from banditroute.router import Router
from benchmarks.speed import BareLinUCB

SHAPES = [(64, k) for k in (2, 4, 16, 64, 256, 1024)] + [(d, 16) for d in (16, 32, 128, 256, 512)]
BYTES_PER_ROUND = 2e8  # the arms' matrices that bare numpy reads in a round
MOST_CALLS, LEAST_CALLS = 400, 12
THREAD_SHAPES = [(64, 16), (385, 16)]
SECONDS = 1.0  # that threads route side by side
REPEATS = 5


@command(seeds=1)
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """route() and feedback() of the default router, features given, in memory; no FILE is read.

    Processor time, medians over calls, then over rounds; `route_after_feedback` is a decision that also derives what
    the arms share. `numpy.choose` and `numpy.update` are the bare numpy LinUCB of the same round. `threads_ratio` is
    how many decisions two threads make together in the time in which one makes one.
    """
    rows: list[Row] = []
    for d, k in tqdm(SHAPES):
        rounds = [_one_round(d, k) for _ in range(REPEATS)]
        for name in rounds[0]:
            values = [each[name] for each in rounds]
            measured = row(f"d{d}_k{k}", "banditroute", f"{name}_microseconds", values, higher_is_better=False)
            rows.append(Row(**{**vars(measured), "mean": statistics.median(values)}))
    for d, k in tqdm(THREAD_SHAPES):
        alone, together = ([_decisions_per_second(d, k, n) for _ in range(REPEATS)] for n in (1, 2))
        ratios = [two / one for one, two in zip(alone, together, strict=True)]
        rows.append(row(f"d{d}_k{k}", "banditroute", "threads_ratio", ratios))
    return rows


def _router(d: int, k: int) -> tuple[Router, np.ndarray]:
    router = Router(arms=[f"arm-{i}" for i in range(k)], features=d - 1, seed=0)
    return router, np.random.default_rng(0).normal(size=(MOST_CALLS, d - 1)) / np.sqrt(d)


def _one_round(d: int, k: int) -> dict[str, float]:
    calls = int(min(max(BYTES_PER_ROUND / (8 * k * d * d), LEAST_CALLS), MOST_CALLS))
    router, x = _router(d, k)
    bare, full = BareLinUCB(d, k), np.hstack([x, np.ones((len(x), 1))])
    with router:
        for each in x[:calls]:  # so that there is something learned
            router.feedback(router.route(each).id, quality=0.5)
        decisions = [router.route(each) for each in x[:calls]]
        arms = np.arange(calls) % k
        times = {
            "numpy.choose": _typical_microseconds(lambda i: bare.choose(full[i]), calls),
            "numpy.update": _typical_microseconds(lambda i: bare.update(arms[i], full[i], 0.5), calls),
            "feedback": _typical_microseconds(lambda i: router.feedback(decisions[i].id, quality=0.5), calls),
            "route_after_feedback": 0.0,
        }
        router.route(x[0])
        times["route"] = _typical_microseconds(lambda i: router.route(x[i]), calls)
        after = []
        for i in range(calls):
            router.feedback(router.route(x[i]).id, quality=0.5)
            after.append(_typical_microseconds(lambda i: router.route(x[i]), 1))
        times["route_after_feedback"] = statistics.median(after)
    return times


def _typical_microseconds(call: Callable[[int], object], calls: int) -> float:
    """Return the median processor time of a call: now and then a report chooses how much each feature block matters."""
    times = []
    for i in range(calls):
        begin = time.thread_time()
        call(i)
        times.append(time.thread_time() - begin)
    return statistics.median(times) * 1e6


def _decisions_per_second(d: int, k: int, threads: int) -> float:
    router, x = _router(d, k)
    counts = [0] * threads
    end = time.perf_counter() + SECONDS

    def route(number: int) -> None:
        while time.perf_counter() < end:
            router.route(x[counts[number] % len(x)])
            counts[number] += 1

    started = [threading.Thread(target=route, args=(number,)) for number in range(threads)]
    for each in started:
        each.start()
    for each in started:
        each.join()
    router.close()
    return sum(counts) / SECONDS


if __name__ == "__main__":
    main()
