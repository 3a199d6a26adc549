"""Delays and false alarms of drift detectors: our own PageHinkley, and those of river as monitors of a router."""

from __future__ import annotations

import logging
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip
from river import drift
from tqdm import tqdm

from banditroute.beliefs import PageHinkley
from banditroute.core.decision import Decision
from banditroute.core.events import DriftDetected, DriftSuspected, Event, FeedbackRecorded
from banditroute.learners import Learner
from banditroute.observe import RiverDriftMonitor
from banditroute.policies import Uniform
from banditroute.router import Router

CHANGE_AT = 500
OUTCOMES = 1_000
CASES = {
    "normal_1": ("normal", 1.0),
    "normal_0.5": ("normal", 0.5),
    "normal_0": ("normal", 0.0),
    "binary_0.8_to_0.6": ("binary", 0.2),
    "binary_0.8_to_0.3": ("binary", 0.5),
}
"""Case -> the kind of outcome, and how far its mean falls: in standard deviations, or in the share of ones."""

DETECTORS = {
    "river/page_hinkley": drift.PageHinkley,
    "river/page_hinkley_0.25_25": lambda: drift.PageHinkley(delta=0.25, threshold=25.0),
    "river/adwin": drift.ADWIN,
    "river/kswin": lambda: drift.KSWIN(seed=0),
}


class Alarms:
    """The times of all alarms."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def on_decision(self, decision: Decision) -> None:
        """Pass over a decision."""

    def on_feedback(self, feedback: FeedbackRecorded) -> None:
        """Pass over feedback."""

    def on_event(self, event: Event) -> None:
        """Keep the time of an alarm."""
        if isinstance(event, DriftDetected | DriftSuspected):
            self.at.append(event.at)


@command()
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Median outcomes until a change is found, share of runs that miss it, false alarms before it; no FILE is read.

    A router with one arm learns a mean that depends on three features. After 500 outcomes the mean falls; 500 more
    follow. Residuals are those of the router's predictions. `delay_outcomes` counts outcomes after the change until
    the first alarm, over the runs that find it.
    """
    logging.getLogger("banditroute").setLevel(logging.ERROR)
    rows: list[Row] = []
    for case in CASES:
        alarms: dict[str, list[list[float]]] = {}
        for seed in tqdm(range(seeds), desc=case):
            for detector, found in alarms_of(case, seed).items():
                alarms.setdefault(detector, []).append(found)
        for detector, of_seeds in alarms.items():
            after = [[at - CHANGE_AT for at in found if at >= CHANGE_AT] for found in of_seeds]
            before = [float(sum(at < CHANGE_AT for at in found)) for found in of_seeds]
            rows.append(row(case, detector, "false_alarms", before, higher_is_better=False))
            if CASES[case][1] == 0.0:
                continue
            delays = [found[0] for found in after if found]
            rows.append(row(case, detector, "missed", [float(not found) for found in after], higher_is_better=False))
            if delays:
                measured = row(case, detector, "delay_outcomes", delays, higher_is_better=False)
                rows.append(Row(**{**vars(measured), "mean": float(np.median(delays))}))
    return rows


def alarms_of(case: str, seed: int) -> dict[str, list[float]]:
    """Return detector -> the outcomes, by number, at which it gave alarm."""
    own, river = Alarms(), {name: Alarms() for name in DETECTORS}
    monitors = [RiverDriftMonitor(detector=DETECTORS[name](), observers=[river[name]]) for name in DETECTORS]
    _run(case, seed, Learner(policy=Uniform(), drift=PageHinkley()), [own])
    _run(case, seed, Learner(policy=Uniform()), monitors)
    return {"banditroute": own.at, **{name: alarms.at for name, alarms in river.items()}}


def _run(case: str, seed: int, learner: Learner, observers: list[Alarms] | list[RiverDriftMonitor]) -> None:
    kind, fall = CASES[case]
    rng = np.random.default_rng(seed)
    now = [0.0]
    router = Router(arms=["a"], features=3, learner=learner, observers=observers, seed=0, clock=lambda: now[0])
    for i in range(OUTCOMES):
        now[0] = float(i)
        x = rng.normal(size=3) / 2.0
        fallen = fall if i >= CHANGE_AT else 0.0
        if kind == "normal":
            value = 0.6 + 0.1 * (0.5 * x.sum() + rng.normal() - fallen)
        else:
            value = float(rng.uniform() < 0.8 - fallen)
        router.feedback(router.route(x).id, quality=min(max(value, 0.0), 1.0))
    router.close()


if __name__ == "__main__":
    main()
