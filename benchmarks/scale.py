"""Microseconds of a decision and of a report, against the number of arms, of features, and of threads."""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip
from tqdm import tqdm

from banditroute.router import Router
from benchmarks.speed import BareLinUCB, microseconds

SHAPES = [(64, k) for k in (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)] + [(d, 16) for d in (16, 32, 128, 256, 512)]
BYTES_PER_ROUND = 2e8  # the arms' matrices that bare numpy reads in a round
MOST_CALLS, LEAST_CALLS = 400, 12
THREAD_SHAPES = [(64, 16), (385, 16)]
SECONDS = 1.0  # that threads route side by side
REPEATS = 5


@command(seeds=1)
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """route() and feedback() of the default router, features given, in memory; no FILE is read.

    Processor time, medians of rounds; `route_after_feedback` is a decision that also derives what the arms share.
    `numpy.choose` is the bare numpy LinUCB of the same round. `threads_ratio` is how many decisions two threads make
    together in the time in which one makes one; `p999_ratio` is the 99.9th percentile of a decision's wall time over
    its median, while another thread reports feedback.
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
        rows.append(row(f"d{d}_k{k}", "banditroute", "p999_ratio", [_p999_ratio(d, k)], higher_is_better=False))
    return rows


def _router(d: int, k: int) -> tuple[Router, np.ndarray]:
    router = Router(arms=[f"arm-{i}" for i in range(k)], features=d - 1, seed=0)
    return router, np.random.default_rng(0).normal(size=(MOST_CALLS, d - 1)) / np.sqrt(d)


def _one_round(d: int, k: int) -> dict[str, float]:
    calls = int(min(max(BYTES_PER_ROUND / (8 * k * d * d), LEAST_CALLS), MOST_CALLS))
    router, x = _router(d, k)
    bare, full = BareLinUCB(d, k), np.hstack([x, np.ones((len(x), 1))])
    with router:
        for row_ in x[: 4 * calls]:  # so that there is something learned
            router.feedback(router.route(row_).id, quality=0.5)
        decisions = [router.route(each) for each in x[:calls]]
        times = {
            "numpy.choose": microseconds(lambda i: bare.choose(full[i]), calls),
            "feedback": microseconds(lambda i: router.feedback(decisions[i].id, quality=0.5), calls),
        }
        router.route(x[0])
        times["route"] = microseconds(lambda i: router.route(x[i]), calls)

        def turn(i: int) -> None:
            router.feedback(router.route(x[i]).id, quality=0.5)

        times["route_after_feedback"] = microseconds(turn, calls) - times["feedback"]
    return times


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


def _p999_ratio(d: int, k: int) -> float:
    router, x = _router(d, k)
    decisions = [router.route(each) for each in np.tile(x, (10, 1))]
    reporting = threading.Thread(target=lambda: [router.feedback(each.id, quality=0.5) for each in decisions])
    reporting.start()
    times = []
    while reporting.is_alive():
        begin = time.perf_counter()
        router.route(x[0])
        times.append(time.perf_counter() - begin)
    router.close()
    return float(np.quantile(times, 0.999) / np.median(times))


if __name__ == "__main__":
    main()
