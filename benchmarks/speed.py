"""Microseconds per call with features given, beside a bare stacked-numpy LinUCB in the same run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip
from tqdm import tqdm

from banditroute.beliefs import Linear, Prior
from banditroute.learners import Learner, LinUCB, ThompsonSampling
from banditroute.router import Router
from banditroute.store import MemoryStore, SQLStore
from banditroute.store.base import Store

SHAPES = [(26, 3), (64, 16)]  # (features with bias, arms)
CALLS = 2_000
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


def microseconds(call: Callable[[int], object]) -> float:
    start = time.perf_counter()
    for i in range(CALLS):
        call(i)
    return (time.perf_counter() - start) / CALLS * 1e6


@command()
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """score+choose, update, route() and feedback() at (d, K) = (26, 3) and (64, 16); no FILE is read.

    Medians of repeats that take turns, so that a busy machine slows all of them alike; `ratio` is to the bare numpy
    LinUCB of the same repeat (route and choose to its choose, feedback and update to its update).
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
            reference = times["numpy.choose" if metric in ("choose", "route") else "numpy.update"]
            ratios = [value / base for value, base in zip(values, reference, strict=True)]
            if policy != "numpy":
                rows.append(_row(case, policy, f"{metric}_ratio", ratios))
    return rows


def _row(case: str, policy: str, metric: str, values: list[float]) -> Row:
    measured = row(case, policy, metric, values, higher_is_better=False)
    return Row(**{**vars(measured), "mean": statistics.median(values)})  # a median: one repeat may be disturbed


def _one_round(d: int, k: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    contexts = rng.normal(size=(CALLS, d - 1)) / np.sqrt(d)
    full = np.hstack([contexts, np.ones((CALLS, 1))])
    weights = rng.normal(size=(k, d)) * 0.2
    noise = rng.normal(size=CALLS) * 0.1
    arms = [f"arm-{i}" for i in range(k)]
    quality = np.clip(0.5 + full @ weights.T + noise[:, None], 0.0, 1.0)

    bare = BareLinUCB(d, k)
    chosen: list[int] = []
    times = {
        "numpy.choose": microseconds(lambda i: chosen.append(bare.choose(full[i]))),
        "numpy.update": microseconds(lambda i: bare.update(i % k, full[i], 0.5)),
    }
    belief = Linear().start(arms=arms, dimension=d, priors={"quality": Prior(mean=0.5, noise=0.4)})
    belief.watch(["quality"])
    times["banditroute/belief.update"] = microseconds(
        lambda i: belief.update(arms[i % k], full[i], {"quality": float(quality[i, i % k])})
    )
    times["banditroute/belief.choose"] = microseconds(lambda i: belief.predict(full[i]))
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

                times[f"{policy}.route"] = microseconds(route)
                if not policy.endswith("sqlite"):  # there it waits for the disk, which says nothing of the code
                    times[f"{policy}.feedback"] = microseconds(feedback)
                    decisions.clear()
                    times[f"{policy}.route"] = microseconds(route)  # once more, with something learned
    return times


if __name__ == "__main__":
    main()
