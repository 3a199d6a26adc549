"""Microseconds per call with features given, next to a bare stacked-numpy LinUCB in the same run."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip
import click
from tqdm import tqdm

from banditroute.beliefs import Linear, Prior
from banditroute.learners import Learner, LinUCB, ThompsonSampling
from banditroute.router import Router
from banditroute.store import MemoryStore, SQLStore
from banditroute.store.base import Store

SHAPES = [(26, 3), (64, 16), (385, 16), (64, 200), (64, 1000)]  # (features with bias, arms)
MOST_CALLS = 2_000
BYTES_PER_ROUND = 4e8  # the arms' matrices that bare numpy reads in a round; larger shapes get fewer calls
REPEATS = 9


class BareLinUCB:
    """Stacked arrays and nothing else: the least that a numpy LinUCB (Li et al. 2010) can take."""

    def __init__(self, d: int, k: int) -> None:
        self.inverse = np.tile(np.eye(d), (k, 1, 1))
        self.flat = self.inverse.reshape(k * d, d)
        self.theta = np.zeros((k, d))
        self.shape = (k, d)

    def choose(self, x: np.ndarray) -> int:
        widths = (self.flat @ x).reshape(self.shape) @ x
        return int(np.argmax(self.theta @ x + 0.5 * np.sqrt(widths)))

    def update(self, k: int, x: np.ndarray, y: float) -> None:
        gain = self.inverse[k] @ x
        scale = 1.0 + gain @ x
        self.inverse[k] -= np.multiply.outer(gain, gain / scale)
        self.theta[k] += gain * ((y - x @ self.theta[k]) / scale)


def microseconds(call: Callable[[int], object], calls: int) -> float:
    """Return the processor time of one call, so that what else runs on the machine counts little."""
    start = time.thread_time()
    for i in range(calls):
        call(i)
    return (time.thread_time() - start) / calls * 1e6


@command()
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """score+choose, update, route() and feedback() for 3 to 1,000 arms; no FILE is read.

    Processor time, medians of repeats that take turns, so that a busy machine slows all of them alike; `ratio` is to
    the bare numpy LinUCB of the same repeat (route and choose to its choose, feedback and update to its update, turn
    to both). A turn is a decision and its feedback: the decision derives what the arms learned together since the last.
    MABWiser and ParetoBandit run where they are installed. `bytes` is what a SQLite file grows by for each decision.
    """
    rows: list[Row] = []
    for d, k in SHAPES:
        times: dict[str, list[float]] = {}
        for _ in tqdm(range(REPEATS), desc=f"d={d}, K={k}"):
            for name, value in _one_round(d, k).items():
                times.setdefault(name, []).append(value)
        case = f"d{d}_k{k}"
        for name, values in times.items():
            policy, metric = name.rsplit(".", 1)
            rows.append(_row(case, policy, f"{metric}_microseconds", values))
            choose, update = times["numpy.choose"], times["numpy.update"]
            turn = [one + other for one, other in zip(choose, update, strict=True)]
            reference = {"choose": choose, "route": choose, "turn": turn}.get(metric, update)
            ratios = [value / base for value, base in zip(values, reference, strict=True)]
            if policy != "numpy":
                rows.append(_row(case, policy, f"{metric}_ratio", ratios))
        rows.append(row(case, "banditroute/sqlite", "bytes", [_stored_bytes(d, k)], higher_is_better=False))
    return rows


def _row(case: str, policy: str, metric: str, values: list[float]) -> Row:
    measured = row(case, policy, metric, values, higher_is_better=False)
    return Row(**{**vars(measured), "mean": statistics.median(values)})  # a median: one repeat may be disturbed


def _one_round(d: int, k: int) -> dict[str, float]:
    calls = int(min(max(BYTES_PER_ROUND / (8 * k * d * d), 12), MOST_CALLS))
    rng = np.random.default_rng(0)
    contexts = rng.normal(size=(calls, d - 1)) / np.sqrt(d)
    full = np.hstack([contexts, np.ones((calls, 1))])
    weights = rng.normal(size=(k, d)) * 0.2
    noise = rng.normal(size=calls) * 0.1
    arms = [f"arm-{i}" for i in range(k)]
    quality = np.clip(0.5 + full @ weights.T + noise[:, None], 0.0, 1.0)

    bare = BareLinUCB(d, k)
    chosen: list[int] = []
    times = {
        "numpy.choose": microseconds(lambda i: chosen.append(bare.choose(full[i])), calls),
        "numpy.update": microseconds(lambda i: bare.update(i % k, full[i], 0.5), calls),
    }
    belief = Linear().start(arms=arms, dimension=d, priors={"quality": Prior(mean=0.5, noise=0.4)})
    belief.watch(["quality"])
    times["banditroute/belief.update"] = microseconds(
        lambda i: belief.update(arms[i % k], full[i], {"quality": float(quality[i, i % k])}), calls
    )
    belief.predict(full[0])
    times["banditroute/belief.choose"] = microseconds(lambda i: belief.predict(full[i]), calls)
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, tuple[Learner, Store]] = {
            "banditroute": (ThompsonSampling(), MemoryStore()),
            "banditroute/linucb": (LinUCB(), MemoryStore()),
            "banditroute/linucb_sqlite": (LinUCB(), SQLStore(f"sqlite:///{folder}/speed.db")),
        }
        for policy, (learner, store) in settings.items():
            with Router(arms=arms, features=d - 1, learner=learner, store=store, seed=0) as router:
                decisions = []

                def route(i: int, router: Router = router, decisions: list = decisions) -> None:
                    decisions.append(router.route(contexts[i]))

                def feedback(i: int, router: Router = router, decisions: list = decisions) -> None:
                    arm = int(decisions[i].arm.removeprefix("arm-"))
                    router.feedback(decisions[i].id, quality=quality[i, arm])

                def turn(i: int, route: Callable = route, feedback: Callable = feedback) -> None:
                    route(i)
                    feedback(i)

                times[f"{policy}.route"] = microseconds(route, calls)
                if not policy.endswith("sqlite"):  # there it waits for the disk, which says nothing of the code
                    times[f"{policy}.feedback"] = microseconds(feedback, calls)
                    decisions.clear()
                    times[f"{policy}.turn"] = microseconds(turn, calls)
                    router.route(contexts[0])  # derives what the arms learned together
                    decisions.clear()
                    times[f"{policy}.route"] = microseconds(route, calls)  # once more, with something learned
    if k <= 16 and d <= 64:  # a call of theirs takes milliseconds beyond
        for name, other in _others(d, k):
            times[f"{name}.turn"] = microseconds(lambda i, other=other: other(contexts[i], 0.5), min(calls, 200))
    return times


def _stored_bytes(d: int, k: int, decisions: int = 200) -> float:
    """Return what a SQLite file grows by for each decision among ``k`` arms."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = []
        for count in (decisions, 3 * decisions):
            file = Path(folder) / f"{count}.db"
            with Router(arms=[f"arm-{i}" for i in range(k)], features=d - 1, store=SQLStore(f"sqlite:///{file}")) as it:
                for x in np.random.default_rng(0).normal(size=(count, d - 1)):
                    it.route(x)
            sizes.append(sum(part.stat().st_size for part in Path(folder).glob(f"{count}.db*")))
        return (sizes[1] - sizes[0]) / (2 * decisions)


def _others(d: int, k: int) -> Iterator[tuple[str, Callable[[np.ndarray, float], None]]]:
    """Give a decision and its feedback of each other library that is installed."""
    with _optional("mabwiser"):
        from benchmarks.rivals import MABWiser

        wiser = MABWiser(k, seed=0)
        for arm in range(k):
            wiser.learn(np.ones(d - 1), arm, 0.5)
        yield "mabwiser", lambda x, quality: wiser.learn(x, wiser.choose(x), quality)
    with _optional("paretobandit"):
        from pareto_bandit import BanditRouter
        from pareto_bandit.feature_service import FeatureService

        prices = {"input_cost_per_m": 1.0, "output_cost_per_m": 1.0}
        pareto = BanditRouter.create(
            {f"arm-{i}": dict(prices) for i in range(k)},
            priors="none",
            feature_service=FeatureService.for_precomputed(d - 1),
        )
        yield "paretobandit", lambda x, quality: pareto.process_feedback(pareto.route(x)[1].request_id, quality)


@contextmanager
def _optional(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        click.echo(f"{name} is left out: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
