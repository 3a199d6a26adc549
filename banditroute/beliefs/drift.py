"""Drift: detect that an arm has changed, and reduce the weight of its older outcomes.

The test looks at the residual ``r`` of every outcome against its prediction, for each arm and objective. The noise
``s`` is the root mean square of the residuals so far. The residual in units of the noise, ``z = r / s``, is clipped to
[-4, 4], so that no outlier decides alone. One sum rises with outcomes above the prediction, the other with outcomes
below it (Page 1954, "Continuous inspection schemes"; Hinkley 1971, "Inference about the change-point from cumulative
sum tests"):

    up   = max(0, up + z - slack)        down = max(0, down - z - slack)

The arm has changed when one sum passes the threshold. The change point is the moment at which that sum was last 0 (its
maximum likelihood estimate). The belief keeps what it learned after the change point about that objective of that arm.
It scales what it learned earlier down to the weight of a few observations. Other objectives, other arms and the weights
that arms share stay as they are.

A store only adds to statistics and does not know about resets. The router therefore stores each reset as statistics of
negative weight in its durable state. It merges them with the stored statistics whenever it builds a belief. So the
belief is a function of the stored data, in every process.

Resets of several processes are joined when they are recorded. If two processes find the same change, both use the reset
that was recorded first. Each process runs its own test, on the outcomes that were reported to it since it started. If
an outcome from before a reset is erased later, its full weight is subtracted, although the reset had reduced it.
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

_MOST_NOISES_PER_OUTCOME = 4.0  # clips the residual of one outcome, in standard deviations of the noise
_OUTCOMES_BEFORE_TEST = 30  # they estimate the noise; the test starts after them
_MOST_OUTCOMES_AFTER_CHANGE = 500  # remembered, to keep their full weight at a reset

_log = logging.getLogger("banditroute")
_Resets: TypeAlias = dict[tuple[str, str], tuple["Reset", bytes]]  # (arm, objective) -> reset, statistics to subtract


@dataclass(frozen=True, slots=True, kw_only=True)
class PageHinkley:
    """The settings of the Page-Hinkley test for a change of an arm, and of the reset that follows it.

    Parameters
    ----------
    slack
        Shift of the mean that the test ignores, in units of the noise; above 0. The test is fastest for shifts of twice
        the slack.
    threshold
        Sum of shifts beyond the slack at which the arm counts as changed; above 0. The test finds a shift of ``h``
        noises after about ``threshold / (h - slack)`` outcomes.
    worth
        Number of observations that everything learned before a change counts as after it; above 0.

    Raises
    ------
    InvalidConfigurationError
        If a number is not finite and above 0.

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
        The arm and the objective that changed.
    decided_at
        Time of the decision whose outcome passed the threshold: Unix time in seconds.
    times
        Number of changes found so far in this objective of this arm.
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
        self.since_up: deque[Observation] = deque(maxlen=_MOST_OUTCOMES_AFTER_CHANGE)  # since `up` was last 0
        self.since_down: deque[Observation] = deque(maxlen=_MOST_OUTCOMES_AFTER_CHANGE)

    def add(self, observation: Observation, residual: float, test: PageHinkley) -> bool:
        """Add one residual; return True if the arm has changed."""
        if self.n >= _OUTCOMES_BEFORE_TEST:
            noise = math.sqrt(self.squares / self.n)
            limit = _MOST_NOISES_PER_OUTCOME
            z = min(max(residual / noise, -limit), limit) if noise > 0.0 else 0.0
            self.up = self._moved(self.up + z - test.slack, self.since_up, observation)
            self.down = self._moved(self.down - z - test.slack, self.since_down, observation)
        self.n += 1
        self.squares += residual * residual
        return max(self.up, self.down) > test.threshold

    def latest(self) -> list[Observation]:
        """Return the observations since the change point."""
        return list(self.since_up if self.up > self.down else self.since_down)

    @staticmethod
    def _moved(sum_: float, since: deque[Observation], observation: Observation) -> float:
        if sum_ <= 0.0:
            since.clear()
            return 0.0
        since.append(observation)
        return sum_


class Drift:
    """The change detection of one router. Not thread-safe: the router holds a lock.

    Parameters
    ----------
    test
        Settings of the test; None: detect no changes, and ignore earlier resets.
    belief
        Merges and scales the statistics.
    dimension, features_version
        Dimension and version of the features; resets of other versions are not applied.
    slot
        Stores the resets for restarts and other processes; see :meth:`discounted`.
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
        """The latest change of each objective of each arm that changed, oldest first."""
        known = list(self._resets.values())  # copied in one step: another thread may add a reset
        return tuple(sorted((reset for reset, _ in known), key=lambda reset: reset.decided_at))

    @property
    def active(self) -> bool:
        """True if outcomes are tested."""
        return self._test is not None

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
        """Test outcomes against the predictions of ``belief``, and return the objectives that changed.

        Call this before ``belief`` learns the outcomes.
        """
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
        """Reduce the weight of an arm's outcomes before a change, and return the statistics of all arms."""
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
        """Return the stored ``statistics`` minus all resets in the stored ``states``, or None without any reset.

        ``statistics`` is called only if there is a reset. A store that was rolled back may hold less than a reset
        subtracts; that reset is skipped.

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
    """Join two stored states: keep the reset with more changes of each objective and arm, and ``earlier`` in a tie."""
    versions = _from_bytes(earlier)
    for features_version, resets in _from_bytes(later).items():
        known = versions.setdefault(features_version, {})
        for key, found in resets.items():
            if key not in known or known[key][0].times < found[0].times:
                known[key] = found
    return _to_bytes(versions)


def _to_bytes(versions: Mapping[str, _Resets]) -> bytes:
    """Write the resets of each version of the features as JSON, which ``_from_bytes`` reads."""
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
