"""Quotas under contention: several processes on one database serve more requests than a quota allows."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
from tqdm import tqdm

from banditroute.core.arm import Arm
from banditroute.limits import Quota
from banditroute.router import Router
from banditroute.store import SQLStore

LIMIT = 600  # requests a minute, and thousands of tokens
OFFERED = 1.5  # times the limit
TOKENS = (800, 200)  # input, most output: a call takes them all
MINUTE = 60.0


def serve(url: str, rate: float, minutes: int, begin: float) -> Counter[tuple[str, int]]:
    """Route at a steady rate until the minutes are over; return how often the quota was charged in each minute."""
    served: Counter[tuple[str, int]] = Counter()
    quotas = [
        Quota(arms=["requests"], requests_per_minute=LIMIT),
        Quota(arms=["tokens"], tokens_per_minute=LIMIT * float(sum(TOKENS))),
    ]
    arms = [Arm(name="requests"), Arm(name="tokens", max_output_tokens=TOKENS[1]), Arm(name="other")]
    with Router(arms=arms, features=1, quotas=quotas, store=SQLStore(url)) as router:
        time.sleep(max(begin - time.time(), 0.0))
        due = time.time()
        while (now := time.time()) < begin + minutes * MINUTE:
            due += 1.0 / rate
            time.sleep(max(due - now, 0.0))
            for arm in ("requests", "tokens"):
                decision = router.route([0.5], arms=[arm, "other"], input_tokens=TOKENS[0])
                if decision.arm == "other" and arm in decision.arms:  # the policy's choice: the quota has room
                    decision = router.route([0.5], arms=[arm], input_tokens=TOKENS[0])
                if decision.arm == arm and not decision.fell_back:
                    served[arm, int(decision.decided_at // MINUTE)] += 1
    return served


@command(
    seeds=1,
    options=[
        click.option("--processes", default=4, show_default=True),
        click.option("--minutes", default=3, show_default=True),
    ],
)
def main(*, files: list[Path], seeds: int, processes: int, minutes: int) -> list[Row]:
    """Requests and tokens that several processes used of a quota a minute, when half as much again is asked for.

    `used` is the share of the quota that was used in each full minute: never above 1, and at least .95 under a steady
    load. Its worst value is the smallest; `used_most` is the largest.
    """
    used: dict[str, list[float]] = {"requests": [], "tokens": []}
    for _ in tqdm(range(seeds)):
        with tempfile.TemporaryDirectory() as directory, multiprocessing.get_context("spawn").Pool(processes) as pool:
            url = f"sqlite:///{directory}/quotas.db"
            begin = (time.time() // MINUTE + 1.0) * MINUTE
            begin += MINUTE * (begin - time.time() < 20.0)  # the processes have to start
            rate = OFFERED * LIMIT / MINUTE / processes
            counts = pool.starmap(serve, [(url, rate, minutes, begin)] * processes)
        total = sum(counts, Counter())
        for arm, values in used.items():
            first = int(begin // MINUTE)
            values += [total[arm, first + k] / LIMIT for k in range(minutes)]
    case = f"{processes} processes, {OFFERED:g} times the quota"
    rows = []
    for arm, values in used.items():
        rows.append(row(f"{case}, {arm}", "banditroute", "used", values))
        rows.append(row(f"{case}, {arm}", "banditroute", "used_most", values, higher_is_better=False))
    return rows


if __name__ == "__main__":
    main()
