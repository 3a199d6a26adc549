"""Many processes that report at once: what is lost or refused, how long feedback takes, when all agree."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np

from banditroute.core.decision import Decision
from banditroute.router import Router
from banditroute.store import SQLStore
from benchmarks.server import server

ARMS = ("a", "b", "c")
PROBES = np.eye(8)


def routes(url: str) -> Router:
    return Router(arms=ARMS, features=8, store=SQLStore(url), seed=os.getpid())


def predictions(router: Router) -> np.ndarray:
    def of(made: Decision) -> np.ndarray:
        return np.concatenate([made.means[made.objectives.index("quality")], made.stds[0]])

    return np.array([of(router.route(probe)) for probe in PROBES])


def work(url: str, seconds: float, out: Path) -> None:
    """Route and report for a while, then wait until all agree; writes what was measured."""
    rng = np.random.default_rng(os.getpid())
    start = time.process_time()
    latencies: list[float] = []
    failures: list[str] = []
    with routes(url) as router:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            made = router.route(rng.normal(size=8))
            begin = time.perf_counter()
            try:
                router.feedback(made.id, quality=float(rng.random() < 0.5))
            except Exception as error:  # every one is counted, whatever it is
                failures.append(repr(error))
            else:
                latencies.append(time.perf_counter() - begin)
    cpu = time.process_time() - start
    measured = {
        "latencies": latencies,
        "failures": failures,
        "fallbacks": router.status().fallbacks,
        "cpu_seconds": cpu,
    }
    out.write_text(json.dumps(measured))


def contend(url: str, processes: int, seconds: float, folder: Path, case: str) -> list[Row]:
    """What ``processes`` that report for some ``seconds`` see, and a reader beside them."""
    outs = [folder / f"{case}-{index}.json" for index in range(processes)]
    children = [run(lambda out=out: work(url, seconds, out)) for out in outs]  # type: ignore[misc]
    for child in children:
        os.waitpid(child, 0)
    measured = [json.loads(out.read_text()) for out in outs]
    latencies = np.array([each for one in measured for each in one["latencies"]])
    failures = [each for one in measured for each in one["failures"]]
    for failure in sorted(set(failures))[:5]:
        click.echo(failure)
    with routes(url) as router:
        lost = len(latencies) - router.status().learned
    figures = {
        "feedback_per_second": len(latencies) / seconds,
        "cpu_milliseconds_per_feedback": sum(one["cpu_seconds"] for one in measured) / len(latencies) * 1e3,
        "feedback_p50_milliseconds": float(np.quantile(latencies, 0.5)) * 1e3,
        "feedback_p99_milliseconds": float(np.quantile(latencies, 0.99)) * 1e3,
        "feedback_max_milliseconds": float(latencies.max()) * 1e3,
        "lost": float(lost),
        "failures": float(len(failures)),
        "fallbacks": float(sum(one["fallbacks"] for one in measured)),
    }
    return [Row(**{**vars(row(case, "banditroute", name, [value])), "n": processes}) for name, value in figures.items()]


def agree(url: str, case: str) -> list[Row]:
    """How long after the last feedback two that report, one that reads and one that starts then predict the same."""
    rng = np.random.default_rng(0)
    taken, started = [], []

    def agreed(begin: float, *routers: Router) -> float:
        while not all(
            np.allclose(predictions(routers[0]), predictions(other), rtol=1e-12, atol=1e-12) for other in routers[1:]
        ):
            time.sleep(0.01)
        return time.perf_counter() - begin

    with routes(url) as one, routes(url) as two, routes(url) as reader:
        for _ in range(20):
            for router in (one, two) * 10:
                x = rng.normal(size=8)
                made = router.route(x)
                router.feedback(made.id, quality=float(0.5 + 0.1 * x[ARMS.index(made.arm)]))
            begin = time.perf_counter()
            taken.append(agreed(begin, one, two, reader))
            begin = time.perf_counter()
            with routes(url) as later:
                started.append(agreed(begin, one, later))
    return [
        row(case, "banditroute", "agreement_seconds", taken, higher_is_better=False),
        row(case, "banditroute", "agreement_of_one_started_later_seconds", started, higher_is_better=False),
    ]


def run(target: Callable[[], None]) -> int:
    """The id of a forked process that does ``target``."""
    child = os.fork()
    if child:
        return child
    try:
        target()
    finally:
        os._exit(0)


@command(
    seeds=1,
    options=[
        click.option("--seconds", default=10.0, show_default=True),
        click.option("--sqlite", default=4, show_default=True, help="Processes on SQLite."),
        click.option("--postgresql", default=16, show_default=True, help="Processes on PostgreSQL."),
    ],
)
def main(*, files: list[Path], seeds: int, seconds: float, sqlite: int, postgresql: int) -> list[Row]:
    """Processes that report at once on one SQLite file and on one PostgreSQL server; reads no FILE."""
    with tempfile.TemporaryDirectory() as name, server() as running:
        folder = Path(name)
        return [
            *contend(f"sqlite:///{folder / 'routes.db'}", sqlite, seconds, folder, "sqlite"),
            *contend(running.database(), postgresql, seconds, folder, "postgresql"),
            *agree(f"sqlite:///{folder / 'agree.db'}", "sqlite"),
            *agree(running.database(), "postgresql"),
        ]


if __name__ == "__main__":
    main()
