"""Drift: notice that an arm is no longer what it was, and believe less of what it taught before.

What is watched, for each arm and objective, is the residual ``r`` of every outcome against its prediction, in units of
the noise ``s``, the root mean square of the residuals so far: ``z = r / s``, clipped to 4 either way, so that no
outlier decides alone. Two sums rise with outcomes above and below expectation and fall with others (Page 1954,
"Continuous inspection schemes"; Hinkley 1971, "Inference about the change-point from cumulative sum tests"):

    up   = max(0, up + z - slack)        down = max(0, down - z - slack)

When one of them passes the threshold, the change is taken to have come when it last was 0 (the maximum likelihood
estimate of the change point). What that objective of that arm taught since then stays; what it taught before is scaled
down to the weight of a few observations. What other objectives, other arms and the part that arms share have learned
stays as well.

A store keeps adding to the statistics, and knows nothing of this. So the weight that is taken off is itself kept, as
statistics of negative weight in the router's durable state, and merged with the stored ones whenever a belief is made
from them: what is believed remains a function of what is stored, in every process. Where several processes find
changes, the resets of all are joined as they are recorded; of one that two find at once, the first recorded stands, for
both. The test itself is each process's own, of the outcomes that were reported to it since it began. An outcome from
before a reset that is erased later is taken off in full, although little of it was left.
"""

from __future__ import annotations

import base64
import json
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple, TypeAlias

from banditroute.beliefs.base import Belief, BeliefSpec, Observation
from banditroute.beliefs.statistics import ArmStatistics
from banditroute.core.arrays import Vector
from banditroute.core.state import StateSlot, read_state
from banditroute.core.validation import number, plain_numbers
from banditroute.errors import InvalidConfigurationError

_FARTHEST = 4.0  # noises that one outcome counts for at most
_LEAST = 30  # outcomes that tell the noise, before any is judged by it
_LATEST = 500  # outcomes since a change, at most

_log = logging.getLogger("banditroute")
_Resets: TypeAlias = dict[tuple[str, str], tuple["Reset", bytes]]  # each with the statistics that it takes off


@dataclass(frozen=True, slots=True, kw_only=True)
class PageHinkley:
    """When an arm counts as changed, and what is left of what it taught before.

    Parameters
    ----------
    slack
        Shift of the mean, in units of the noise, that is let pass; above 0. The shift that is found soonest is twice
        as large.
    threshold
        Sum of shifts beyond the slack at which the arm counts as changed; above 0. A shift of ``h`` noises is found
        after about ``threshold / (h - slack)`` outcomes.
    worth
        How many observations all that was learned before a change counts for after it, above 0. What came since counts
        in full.

    Raises
    ------
    InvalidConfigurationError
        For a number that is not finite and above 0.

    Examples
    --------
    >>> PageHinkley(threshold=50.0).slack
    0.25
    """

    slack: float = 0.25
    threshold: float = 25.0
    worth: float = 10.0

    def __post_init__(self) -> None:
        plain_numbers(self)
        for field in fields(self):
            if number(getattr(self, field.name), name=field.name, low=0.0, error=InvalidConfigurationError) == 0.0:
                raise InvalidConfigurationError(f"{field.name} is 0; give a number above 0")


class Reset(NamedTuple):
    """The latest change of one objective of one arm.

    Attributes
    ----------
    arm, objective
        What changed.
    decided_at
        When the decision was made whose outcome gave it away: Unix time in seconds.
    times
        How many changes of it were found so far.
    """

    arm: str
    objective: str
    decided_at: float
    times: int


class _Sums:
    """The test of one objective of one arm since its last change."""

    __slots__ = ("down", "n", "since_down", "since_up", "squares", "up")

    def __init__(self) -> None:
        self.n, self.squares, self.up, self.down = 0, 0.0, 0.0, 0.0
        self.since_up: deque[Observation] = deque(maxlen=_LATEST)  # since that sum was last 0
        self.since_down: deque[Observation] = deque(maxlen=_LATEST)

    def add(self, observation: Observation, residual: float, test: PageHinkley) -> bool:
        """Take one residual; whether the arm has changed."""
        if self.n >= _LEAST:
            noise = math.sqrt(self.squares / self.n)
            z = min(max(residual / noise, -_FARTHEST), _FARTHEST) if noise > 0.0 else 0.0
            self.up = self._moved(self.up + z - test.slack, self.since_up, observation)
            self.down = self._moved(self.down - z - test.slack, self.since_down, observation)
        self.n += 1
        self.squares += residual * residual
        return max(self.up, self.down) > test.threshold

    def latest(self) -> list[Observation]:
        """Return the outcomes since the change."""
        return list(self.since_up if self.up > self.down else self.since_down)

    @staticmethod
    def _moved(sum_: float, since: deque[Observation], observation: Observation) -> float:
        if sum_ <= 0.0:
            since.clear()
            return 0.0
        since.append(observation)
        return sum_


class Drift:
    """Watches the arms of one router. Not thread-safe: the chooser holds a lock.

    Parameters
    ----------
    test
        When an arm counts as changed; None: never, and what was reset before counts again.
    belief
        How statistics are merged.
    dimension, features_version
        Of the statistics; resets of others are not applied.
    slot
        Where resets are kept, for a restart and for other processes; see :meth:`discounted`.
    """

    def __init__(
        self,
        *,
        test: PageHinkley | None,
        belief: BeliefSpec,
        dimension: int,
        features_version: str,
        slot: StateSlot,
    ) -> None:
        self._test = test
        self._belief = belief
        self._dimension = dimension
        self._features_version = features_version
        self._slot = slot
        self._sums: dict[tuple[str, str], _Sums] = {}
        self._resets: _Resets = {}

    @property
    def resets(self) -> tuple[Reset, ...]:
        """The latest change of everything that changed, oldest first."""
        known = list(self._resets.values())  # at once: a refresh may add to them meanwhile
        return tuple(sorted((reset for reset, _ in known), key=lambda reset: reset.decided_at))

    def notice(
        self,
        belief: Belief,
        arm: str,
        x: Vector,
        values: Mapping[str, float],
        *,
        decided_at: float = 0.0,
        ordinal: int = 0,
    ) -> list[str]:
        """Compare outcomes with what ``belief``, which has yet to learn them, expects; the objectives that changed."""
        if self._test is None:
            return []
        believed = [name for name in values if name in belief.objectives]
        if not believed:
            return []
        means = belief.predict(x).means[:, belief.arms.index(arm)]
        return [
            name
            for name in believed
            if self._sums.setdefault((arm, name), _Sums()).add(
                Observation(x, {name: values[name]}, decided_at, ordinal),
                values[name] - float(means[belief.objectives.index(name)]),
                self._test,
            )
        ]

    def reset(self, statistics: Mapping[str, bytes], arm: str, objective: str, decided_at: float) -> dict[str, bytes]:
        """Let go of what an objective of an arm taught before it changed, but for a little; what is left of all."""
        since = self._belief.fold(None, self._sums.pop((arm, objective)).latest(), dimension=self._dimension)
        held = ArmStatistics.from_bytes(statistics[arm])
        held.groups = [
            group.split([objective])[0] if len(group.objectives) > 1 else group
            for group in held.groups
            if objective in group.objectives
        ]
        back = self._belief.scale(since, -1.0, dimension=self._dimension)
        before_it = ArmStatistics.from_bytes(self._belief.merge([held.to_bytes(), back], dimension=self._dimension))
        n = sum(group.n for group in before_it.groups)
        worth = n if self._test is None else self._test.worth
        if n <= worth:
            return dict(statistics)
        for group in before_it.groups:
            group.scale(worth / n - 1.0)
        taken = before_it.to_bytes()
        last, before = self._resets.get((arm, objective), (None, None))
        times = 1 if last is None else last.times + 1
        off = taken if before is None else self._belief.merge([before, taken], dimension=self._dimension)
        self._resets[arm, objective] = Reset(arm, objective, decided_at, times), off
        self._slot.save(_to_bytes({self._features_version: self._resets}), _joined)
        _log.warning("%s of arm %r has changed: %.0f observations of it now count as %g", objective, arm, n, worth)
        return {**statistics, arm: self._belief.merge([statistics[arm], taken], dimension=self._dimension)}

    def discounted(
        self, statistics: Callable[[], Mapping[str, bytes]], states: Mapping[str, bytes]
    ) -> dict[str, bytes] | None:
        """Return what all resets in the stored ``states`` leave of the stored ``statistics``.

        None where there were none: then ``statistics`` is not called.

        Where less is stored than a reset would take off (the store was rolled back to before it), it is passed over.

        Raises
        ------
        IncompatibleStoreError
            If the state is damaged.
        """
        if self._test is not None and "drift" in states:
            before, self._resets = self._resets, _from_bytes(states["drift"]).get(self._features_version, {})
            for key, (reset, _) in self._resets.items():
                if key not in before or before[key][0] != reset:
                    self._sums.pop(key, None)
        if not self._resets:
            return None
        left = dict(statistics())
        for (arm, objective), (_, off) in self._resets.items():
            if arm in left:
                merged = self._belief.merge([left[arm], off], dimension=self._dimension)
                if any(g.n > 0.0 for g in ArmStatistics.from_bytes(merged).groups if objective in g.objectives):
                    left[arm] = merged
        return left


def recorded_resets(blob: bytes) -> tuple[Reset, ...]:
    """Return the changes in a router's stored state ``drift``, in any version of its features.

    Raises
    ------
    IncompatibleStoreError
        If the state is damaged.
    """
    return tuple(reset for resets in _from_bytes(blob).values() for reset, _ in resets.values())


def _joined(earlier: bytes, later: bytes) -> bytes:
    """The resets of both: of each objective of an arm the one with more changes, the earlier where they are equal."""
    versions = _from_bytes(earlier)
    for features_version, resets in _from_bytes(later).items():
        known = versions.setdefault(features_version, {})
        for key, found in resets.items():
            if key not in known or known[key][0].times < found[0].times:
                known[key] = found
    return _to_bytes(versions)


def _to_bytes(versions: Mapping[str, _Resets]) -> bytes:
    """The resets in each version of the features; for ``_from_bytes``."""
    return json.dumps(
        {
            version: [[*reset, base64.b64encode(off).decode()] for reset, off in resets.values()]
            for version, resets in versions.items()
        }
    ).encode()


def _from_bytes(blob: bytes) -> dict[str, _Resets]:
    return read_state("drift", blob, _read)


def _read(blob: bytes) -> dict[str, _Resets]:
    return {
        version: {(reset[0], reset[1]): (Reset(*reset), base64.b64decode(off, validate=True)) for *reset, off in resets}
        for version, resets in json.loads(blob).items()
    }
