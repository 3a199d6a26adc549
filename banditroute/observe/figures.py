"""Figures of a router as metrics show them: counted from what an observer sees, or read from a database."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from banditroute.budgets.budget import BudgetStatus

LATENCY = "latency_seconds"
LATENCY_BOUNDS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(slots=True)
class Sums:
    """How many values there were, and their sum."""

    count: int = 0
    sum: float = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.count += 1
        self.sum += value


@dataclass(slots=True)
class ArmFigures:
    """Figures of one arm.

    Attributes
    ----------
    decisions, fallbacks
        How often it was named, and how often as the fallback arm.
    outcomes
        Objective -> its reported values.
    latencies
        Number of latencies up to each of ``LATENCY_BOUNDS_SECONDS`` and above the one before it.
    loads
        Seconds that requests waited for its adapter.
    resets
        Objective -> how often it was found to have changed.
    alarms
        Objective -> how often a drift monitor gave alarm.
    circuit_open
        Whether the circuit breaker leaves it alone.
    """

    decisions: int = 0
    fallbacks: int = 0
    outcomes: defaultdict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))
    latencies: list[int] = field(default_factory=lambda: [0] * len(LATENCY_BOUNDS_SECONDS))
    loads: Sums = field(default_factory=Sums)
    resets: dict[str, int] = field(default_factory=dict)
    alarms: dict[str, int] = field(default_factory=dict)
    circuit_open: bool = False

    def add_outcome(self, objective: str, value: float) -> None:
        """Count one reported value of an objective."""
        self.outcomes[objective].add(value)
        if objective == LATENCY and value <= LATENCY_BOUNDS_SECONDS[-1]:
            self.latencies[bisect_left(LATENCY_BOUNDS_SECONDS, value)] += 1


@dataclass(slots=True)
class RouterFigures:
    """Figures of one router.

    Attributes
    ----------
    router
        Its name.
    arms
        Name -> figures.
    budgets
        How each budget stands.
    guard
        The guard's mode, and the share of the requests that the learner decides; None without a guard.
    gauges
        Name of a metric -> its present value; only those that the source of the figures knows.
    """

    router: str
    arms: defaultdict[str, ArmFigures] = field(default_factory=lambda: defaultdict(ArmFigures))
    budgets: Sequence[BudgetStatus] = ()
    guard: tuple[str, float] | None = None
    gauges: Mapping[str, float] = field(default_factory=dict)
