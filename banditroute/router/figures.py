"""Count the decisions and outcomes of this process, in all and within the last hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from banditroute.router.status import ArmStatus, Means
from banditroute.store.outcomes import measured

_MINUTES = 60  # the last hour is kept minute by minute
_SECONDS_PER_MINUTE = 60.0


class _Counts:
    """Decisions of every arm, and the number and sum of its outcomes, from one moment on."""

    __slots__ = ("begin", "decisions", "outcomes")

    def __init__(self, begin: float, parts: Iterable[_Counts] = ()) -> None:
        self.begin = begin
        self.decisions: dict[str, int] = {}
        self.outcomes: dict[tuple[str, str], tuple[int, float]] = {}  # (arm, objective) -> number, sum
        for part in parts:
            self.merge(part)

    def merge(self, other: _Counts) -> None:
        for arm, decisions in other.decisions.items():
            self.decisions[arm] = self.decisions.get(arm, 0) + decisions
        for key, (count, total) in other.outcomes.items():
            before = self.outcomes.get(key, (0, 0.0))
            self.outcomes[key] = before[0] + count, before[1] + total

    def share(self, arm: str) -> float:
        return self.decisions.get(arm, 0) / (sum(self.decisions.values()) or 1)

    def means(self, arm: str) -> Means:
        return {of: total / count for (name, of), (count, total) in self.outcomes.items() if name == arm}


class Figures:
    """Counts of one process. Not thread-safe: the engine holds a lock."""

    def __init__(self) -> None:
        self._older = _Counts(0.0)
        self._minutes: deque[_Counts] = deque([_Counts(0.0)])
        self._latest = self._minutes[0]
        self._next_minute = 0.0  # when the latest minute is over

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

    def add_outcomes(self, arm: str, values: Mapping[str, float], now: float) -> None:
        """Count outcomes of a decision for ``arm``, reported at ``now``."""
        if now >= self._next_minute:
            self._begin_minute(now)
        outcomes = self._latest.outcomes
        for objective, value in measured(values).items():
            count, total = outcomes.get((arm, objective), (0, 0.0))
            outcomes[arm, objective] = count + 1, total + value

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
