"""Count the decisions and outcomes of this process, in all and within the last hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from banditroute.router.status import ArmStatus, Means
from banditroute.store.outcomes import IN_ALL, SHARE_OF

_MINUTES = 60  # the last hour is kept minute by minute
_SECONDS_PER_MINUTE = 60.0
_LEAST_WEIGHT = 1e-9  # less is what rounding leaves of outcomes that were taken back
_HELD_DECISIONS = 1_000  # whose outcomes can be replaced


class _Counts:
    """Decisions of every arm, and the weight and weighted sum of its outcomes, from one moment on."""

    __slots__ = ("begin", "decisions", "outcomes")

    def __init__(self, begin: float, parts: Iterable[_Counts] = ()) -> None:
        self.begin = begin
        self.decisions: dict[str, int] = {}
        self.outcomes: dict[tuple[str, str], tuple[float, float]] = {}  # (arm, objective) -> weight, sum
        for part in parts:
            self.merge(part)

    def add_outcome(self, arm: str, objective: str, value: float, weight: float) -> None:
        weights, total = self.outcomes.get((arm, objective), (0, 0.0))
        self.outcomes[arm, objective] = weights + weight, total + weight * value

    def merge(self, other: _Counts) -> None:
        for arm, decisions in other.decisions.items():
            self.decisions[arm] = self.decisions.get(arm, 0) + decisions
        for key, (weights, total) in other.outcomes.items():
            before = self.outcomes.get(key, (0, 0.0))
            self.outcomes[key] = before[0] + weights, before[1] + total

    def share(self, arm: str) -> float:
        return self.decisions.get(arm, 0) / (sum(self.decisions.values()) or 1)

    def means(self, arm: str) -> Means:
        return {
            of: total / weights
            for (name, of), (weights, total) in self.outcomes.items()
            if name == arm and weights > _LEAST_WEIGHT
        }


class _Counted(NamedTuple):
    """An outcome of a decision, and where it is counted."""

    counts: _Counts
    arm: str
    objective: str
    value: float
    weight: float


class Figures:
    """Counts of one process. Not thread-safe: the engine holds a lock."""

    def __init__(self) -> None:
        self._older = _Counts(0.0)
        self._minutes: deque[_Counts] = deque([_Counts(0.0)])
        self._latest = self._minutes[0]
        self._next_minute = 0.0  # when the latest minute is over
        self._held: dict[str, dict[str, _Counted]] = {}  # of the latest decisions, by objective

    @property
    def decisions(self) -> int:
        """Number of decisions, those for arms that were removed included."""
        return sum(sum(counts.decisions.values()) for counts in (self._older, *self._minutes))

    def add_decision(self, arm: str, now: float) -> None:
        """Count a decision for ``arm`` at ``now``, in Unix seconds."""
        if now >= self._next_minute:
            self._begin_minute(now)
        decisions = self._latest.decisions
        decisions[arm] = decisions.get(arm, 0) + 1

    def add_outcomes(self, decision_id: str, arm: str, values: Mapping[str, float], now: float) -> None:
        """Count outcomes of a decision for ``arm``, reported at ``now``.

        The outcome of a session counts for each of its decisions by the share, until that has an outcome of its own.
        """
        if now >= self._next_minute:
            self._begin_minute(now)
        latest, held = self._latest, self._held.setdefault(decision_id, {})
        for name, value in values.items():
            objective, weight = _weighed(name) if " " in name else (name, 1.0)
            if not weight:
                continue
            if (share := held.get(objective)) is not None:
                self._add(share, -share.weight)
            held[objective] = _Counted(latest, arm, objective, value, weight)
            latest.add_outcome(arm, objective, value, weight)
        if len(self._held) > _HELD_DECISIONS:
            del self._held[next(iter(self._held))]

    def correct(self, decision_id: str, values: Mapping[str, float]) -> None:
        """Replace outcomes of a decision where they were counted, if they were, and not too many decisions ago."""
        held = self._held.get(decision_id, {})
        for objective in values.keys() & held.keys():
            self._add(held[objective], -held[objective].weight)
            held[objective] = held[objective]._replace(value=values[objective])
            self._add(held[objective], held[objective].weight)

    def _add(self, outcome: _Counted, weight: float) -> None:
        """Add an outcome to the counts that hold it by now; with a negative weight, take it back."""
        counts = outcome.counts if any(each is outcome.counts for each in self._minutes) else self._older
        counts.add_outcome(outcome.arm, outcome.objective, outcome.value, weight)

    def of_arms(self, arms: Sequence[str], open_circuits: Sequence[str], now: float) -> tuple[ArmStatus, ...]:
        """Return the figures of these arms at ``now``."""
        ever = _Counts(0.0, [self._older, *self._minutes])
        first = (now // _SECONDS_PER_MINUTE - _MINUTES + 1) * _SECONDS_PER_MINUTE
        hour = _Counts(first, [minute for minute in self._minutes if minute.begin >= first])
        return tuple(
            ArmStatus(
                arm=arm,
                decisions=ever.decisions.get(arm, 0),
                share=ever.share(arm),
                means=ever.means(arm),
                decisions_last_hour=hour.decisions.get(arm, 0),
                share_last_hour=hour.share(arm),
                means_last_hour=hour.means(arm),
                circuit_open=arm in open_circuits,
            )
            for arm in arms
        )

    def _begin_minute(self, now: float) -> None:
        """Begin the minute of ``now``; a clock that goes back stays in the latest one."""
        begin = now // _SECONDS_PER_MINUTE * _SECONDS_PER_MINUTE
        self._next_minute = begin + _SECONDS_PER_MINUTE
        self._latest = _Counts(begin)
        self._minutes.append(self._latest)
        if len(self._minutes) > _MINUTES:
            self._older.merge(self._minutes.popleft())


def _weighed(name: str) -> tuple[str, float]:
    """Return the objective of a session's outcome, and its weight; 0 for a comparison, or a note of the router's."""
    objective, _, parts = name.removesuffix(IN_ALL).partition(SHARE_OF)
    return objective, 1.0 / int(parts) if parts.isdigit() and " " not in objective else 0.0
