"""Microseconds of processor time that observers add to ``route()``."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from river.drift import ADWIN
from tqdm import tqdm

from banditroute.core.decision import Decision
from banditroute.core.events import Event, FeedbackRecorded, Observer
from banditroute.observe import LoggingObserver, OpenTelemetryObserver, PrometheusObserver, RiverDriftMonitor
from banditroute.router import Router
from banditroute.router.observation import Observation

CALLS = 2_000
REPEATS = 15


class Nothing:
    """Sees all and does nothing."""

    def on_decision(self, decision: Decision) -> None:
        """Do nothing."""

    def on_feedback(self, feedback: FeedbackRecorded) -> None:
        """Do nothing."""

    def on_event(self, event: Event) -> None:
        """Do nothing."""


def observers_of() -> dict[str, list[Observer]]:
    """Return name -> the observers of a router."""
    quiet = logging.getLogger("benchmarks.observers")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    quiet.setLevel(logging.INFO)
    return {
        "none": [],
        "nothing": [Nothing()],
        "logging": [LoggingObserver(logger=quiet)],
        "prometheus": [PrometheusObserver(registry=CollectorRegistry())],
        "opentelemetry": [OpenTelemetryObserver(tracer_provider=TracerProvider(), logger_provider=LoggerProvider())],
        "drift": [RiverDriftMonitor(detector=ADWIN())],
    }


@command()
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Processor time of the caller in `emit` and `route()`, and of the whole process; no FILE is read.

    `emit_microseconds` is what the router does for observers in one decision. `route_microseconds` is the time of the
    calling thread in `route()`, and `process_microseconds` that of all threads until the observers are done. Each is
    the least of repeats that take turns. `--seeds` counts nothing here.
    """
    times: dict[tuple[str, str], list[float]] = {}
    for _ in tqdm(range(REPEATS)):
        for name, observers in observers_of().items():
            for metric, value in one_round(observers).items():
                times.setdefault((name, metric), []).append(value)
    return [summary_row(name, metric, values) for (name, metric), values in times.items()]


def summary_row(policy: str, metric: str, values: list[float]) -> Row:
    measured = row("observers", policy, metric, values, higher_is_better=False)
    return Row(**{**vars(measured), "mean": min(values)})  # the least: other processes only add


def one_round(observers: list[Observer]) -> dict[str, float]:
    with Router(arms=["a", "b", "c"], features=25, observers=observers, seed=0) as router:
        x = np.random.default_rng(0).normal(size=25)
        decision = router.route(x)  # a first call prepares what all share
        began = time.process_time()
        route = _microseconds(lambda: router.route(x))
        router.close()
        process = (time.process_time() - began) / CALLS * 1e6
    observation = Observation(observers)
    emit = _microseconds(lambda: observation.emit(decision))
    observation.close()
    nothing = _microseconds(lambda: None)
    return {
        "emit_microseconds": emit - nothing,
        "route_microseconds": route - nothing,
        "process_microseconds": process,
    }


def _microseconds(call: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    began = time.thread_time()
    for _ in range(CALLS):
        call()
    spent = time.thread_time() - began
    gc.enable()
    return spent / CALLS * 1e6


if __name__ == "__main__":
    main()
