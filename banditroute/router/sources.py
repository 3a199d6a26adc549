"""What is known of every arm, whether it can be chosen or not, and with what a belief begins.

Of an arm there are up to three parts, all of them sums, so that each can be added and taken back: its *own* outcomes,
a *warm start* from a log, and a share of what its predecessor has. The store keeps the first two apart and the third
follows from them: a restart, a change of arms and a new warm start all begin from the same parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from banditroute.beliefs import comparison
from banditroute.beliefs.base import BeliefSpec, Observation
from banditroute.core.arm import Arm
from banditroute.router import warm_start
from banditroute.store.base import Event, Fold, StoredState
from banditroute.store.outcomes import FAILURE, SHARE_OF, measured, reported

_INHERITED_SHARE = 0.25
"""Of what its predecessor's outcomes count for a successor: they are like it, and not of it."""

_INHERITED_AT_MOST = 64.0
"""Outcomes of its own that a successor needs to outweigh them, however long the predecessor served: a version that has
become better or worse is then found out in tens of requests."""


def fold_with(belief: BeliefSpec) -> Fold:
    """How a store folds events into the statistics of ``belief``."""

    def fold(blob: bytes | None, events: Sequence[Event]) -> bytes:
        observations = [each for event in events for each in observations_of(event)]
        return belief.fold(blob, observations, dimension=len(events[0].x))

    return fold


def observations_of(event: Event) -> list[Observation]:
    """What an event teaches: its own outcomes, then each share of a session's outcome and each comparison."""
    outcomes = measured(event.values)
    parts = [(outcomes, 1.0)] if outcomes else []
    for name in reported(event.values).keys() - outcomes.keys():
        if name.startswith(FAILURE):  # teaches nothing
            continue
        objective, share, count = name.partition(SHARE_OF)
        taught, weight = (objective, 1.0 / int(count)) if share else ("quality", comparison.WEIGHT)
        parts.append(({taught: event.values[name]}, weight))
    return [
        Observation(event.x, values, event.decided_at, event.ordinal, event.sign * weight) for values, weight in parts
    ]


class StatisticsSources:
    """The parts of every arm's statistics. Not thread-safe: the chooser holds a lock.

    Parameters
    ----------
    belief
        Adds statistics and scales them.
    features_version, dimension
        The context that they are of.
    memory
        What a store remembers.
    """

    def __init__(self, *, belief: BeliefSpec, features_version: str, dimension: int, memory: StoredState) -> None:
        self._belief = belief
        self._dimension = dimension
        self._folded = dict(memory.statistics)
        self._own = dict(memory.statistics)
        self._given: dict[str, bytes] = {}  # what the arms of the belief hold beside their own
        events: dict[str, list[Event]] = {}
        for event in memory.pending:
            events.setdefault(event.arm, []).append(event)
        for arm, some in events.items():
            self.learn(arm, some)
        self.warm = warm_start.from_bytes(
            memory.states.get("warm_start"), features_version=features_version, dimension=dimension
        )

    def learn(self, arm: str, events: Sequence[Event]) -> None:
        """Learn of an arm that no belief holds."""
        self._own[arm] = fold_with(self._belief)(self._own.get(arm), events)

    def keep(self, statistics: Mapping[str, bytes]) -> None:
        """Take what a belief that began with ``begin`` has by now, less what it was given beside the arms' own."""
        for arm, blob in statistics.items():
            given = self._given.get(arm)
            if given is not None:
                back = self._belief.scale(given, -1.0, dimension=self._dimension)
                blob = self._merge([blob, back])
            self._own[arm] = blob

    def begin(self, arms: Sequence[Arm]) -> dict[str, bytes]:
        """The statistics that a belief over ``arms`` begins with."""
        self._given = self._beside(self._own, arms)
        return self._with(self._own, self._given)

    def folded(self, arms: Sequence[Arm]) -> dict[str, bytes]:
        """What of them a store has folded, which every process knows alike; the other parts with it."""
        return self._with(self._folded, self._beside(self._folded, arms))

    def _beside(self, own: dict[str, bytes], arms: Sequence[Arm]) -> dict[str, bytes]:
        """What each of ``arms`` is given beside its own."""
        given: dict[str, bytes] = {}
        for arm in arms:
            parts = [self.warm[arm.name]] if arm.name in self.warm else []
            before = [part[arm.replaces] for part in (own, self.warm) if arm.replaces in part]
            if before:
                blob = self._merge(before)
                parts.append(
                    self._belief.scale(blob, _INHERITED_SHARE, dimension=self._dimension, at_most=_INHERITED_AT_MOST)
                )
            if parts:
                given[arm.name] = self._merge(parts)
        return given

    def _with(self, own: Mapping[str, bytes], given: Mapping[str, bytes]) -> dict[str, bytes]:
        whole = dict(own)
        for name, blob in given.items():
            whole[name] = self._merge([whole[name], blob]) if name in whole else blob
        return whole

    def _merge(self, blobs: Sequence[bytes]) -> bytes:
        return self._belief.merge(blobs, dimension=self._dimension)
