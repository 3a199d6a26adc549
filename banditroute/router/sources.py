"""The statistics of every arm, whether it can be chosen or not, from which a belief is built.

An arm has up to three sources of statistics: its *own* outcomes, a *warm start* from a log, and a share of its
predecessor's statistics. All are sums, so each can be added and taken back. The store keeps the first two apart, and
the third follows from them. A restart, a change of arms and a new warm start all begin from the same sources.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from banditroute.beliefs import Linear, comparison
from banditroute.beliefs.base import BeliefSpec, Observation
from banditroute.beliefs.settings import BeliefSettings
from banditroute.core.arm import Arm
from banditroute.core.token_costs import CACHED_TOKENS
from banditroute.core.validation import shown
from banditroute.errors import IncompatibleStoreError, InvalidConfigurationError
from banditroute.router import warm_start_state
from banditroute.store.base import Fold, OutcomeEvent, StoredState
from banditroute.store.outcomes import FAILURE, IN_ALL, PAGING, SHARE_OF, STEP, comparison_of, measured
from banditroute.store.state_slot import StateSlots

_HALF_LIVES = ("half_life_requests", "half_life_seconds")

_INHERITED_SHARE = 0.25
"""Weight of a predecessor's outcomes for its successor, which is similar but not the same."""

_INHERITED_AT_MOST = 64.0
"""Most outcomes that the inherited statistics count for, however long the predecessor served. A version that is better
or worse is then noticed within tens of requests."""


def fold_with(belief: BeliefSpec) -> Fold:
    """Return the function by which a store folds events into the statistics of ``belief``."""

    def fold(blob: bytes | None, events: Sequence[OutcomeEvent]) -> bytes:
        observations = [each for event in events for each in observations_of(event)]
        return belief.fold(blob, observations, dimension=len(events[0].x))

    return fold


def fold_settings(belief: BeliefSpec) -> str:
    """Return as JSON what the fold of ``belief`` depends on; empty if it is not known."""
    if not isinstance(belief, BeliefSettings):  # one of your own
        return ""
    half_lives = {name: getattr(belief, name) for name in _HALF_LIVES}
    return json.dumps({name: value for name, value in half_lives.items() if value is not None})


def fold_by(settings: str) -> Fold:
    """Return the fold with the settings that :func:`fold_settings` gave; see :func:`half_lives_of`."""
    return fold_with(Linear(**half_lives_of(settings)))


def half_lives_of(settings: str) -> dict[str, Any]:
    """Return the half-lives in the settings that :func:`fold_settings` gave, by the belief's names for them.

    Raises
    ------
    IncompatibleStoreError
        If the settings are damaged.
    """
    try:
        half_lives = json.loads(settings)
        Linear(**half_lives)
        if half_lives.keys() <= set(_HALF_LIVES):
            return dict(half_lives)
    except (ValueError, TypeError, RecursionError, InvalidConfigurationError):
        pass
    raise IncompatibleStoreError(
        f"the recorded fold settings {shown(settings)} are damaged; restore the database from a backup, or record them "
        "again: admin.rebuild(url, learner=...)"
    )


def observations_of(event: OutcomeEvent) -> list[Observation]:
    """Return the observations of an event: its own outcomes, then shares of a session's outcome and comparisons."""
    outcomes = measured(event.values)
    if len(outcomes) == len(event.values):  # the usual case
        return [Observation(event.x, outcomes, event.decided_at, event.ordinal, float(event.sign))]
    parts = [(outcomes, 1.0)] if outcomes else []
    for name, value in event.values.items():
        if name in outcomes or name in (PAGING, CACHED_TOKENS) or name.startswith((FAILURE, STEP)):  # teach nothing
            continue
        if name.endswith(IN_ALL):  # the shares of it teach
            continue
        if (compared := comparison_of(name)) is not None:
            parts.append(({"quality": value}, comparison.weight(compared.answers)))
        else:
            objective, _, count = name.partition(SHARE_OF)
            parts.append(({objective: value}, 1.0 / int(count)))
    return [
        Observation(event.x, values, event.decided_at, event.ordinal, event.sign * weight) for values, weight in parts
    ]


class StatisticsSources:
    """The sources of every arm's statistics. Not thread-safe: the engine holds a lock.

    Parameters
    ----------
    belief
        Adds statistics and scales them.
    features_version, dimension
        The features that they are for.
    memory
        The stored state.
    """

    def __init__(self, *, belief: BeliefSpec, features_version: str, dimension: int, memory: StoredState) -> None:
        self._belief = belief
        self._dimension = dimension
        self._own = dict(memory.statistics)
        self._added: dict[str, bytes] = {}  # statistics that the belief was given in addition to the arms' own
        events: dict[str, list[OutcomeEvent]] = {}
        for event in memory.pending:
            events.setdefault(event.arm, []).append(event)
        for arm, some in events.items():
            self.learn(arm, some)
        self.warm: dict[str, bytes] = StateSlots(states=memory.states)["warm_start"].load(
            partial(warm_start_state.from_bytes, features_version=features_version, dimension=dimension)
        )

    def learn(self, arm: str, events: Sequence[OutcomeEvent]) -> None:
        """Add events of an arm that the belief does not have."""
        self._own[arm] = fold_with(self._belief)(self._own.get(arm), events)

    def keep(self, statistics: Mapping[str, bytes]) -> None:
        """Take over the statistics of a belief that was built from ``begin``, less what was added to the arms' own."""
        for arm, blob in statistics.items():
            added = self._added.get(arm)
            if added is not None:
                back = self._belief.scale(added, -1.0, dimension=self._dimension)
                blob = self._merge([blob, back])
            self._own[arm] = blob

    def begin(self, arms: Sequence[Arm]) -> dict[str, bytes]:
        """Return the statistics from which a belief over ``arms`` is built."""
        self._added = self._additions(self._own, arms)
        return self._sum(self._own, self._added)

    def _additions(self, own: dict[str, bytes], arms: Sequence[Arm]) -> dict[str, bytes]:
        """Return the statistics that each of ``arms`` gets in addition to its own."""
        added: dict[str, bytes] = {}
        for arm in arms:
            parts = [self.warm[arm.name]] if arm.name in self.warm else []
            before = [part[arm.replaces] for part in (own, self.warm) if arm.replaces in part]
            if before:
                blob = self._merge(before)
                parts.append(
                    self._belief.scale(blob, _INHERITED_SHARE, dimension=self._dimension, at_most=_INHERITED_AT_MOST)
                )
            if parts:
                added[arm.name] = self._merge(parts)
        return added

    def _sum(self, own: Mapping[str, bytes], added: Mapping[str, bytes]) -> dict[str, bytes]:
        whole = dict(own)
        for name, blob in added.items():
            whole[name] = self._merge([whole[name], blob]) if name in whole else blob
        return whole

    def _merge(self, blobs: Sequence[bytes]) -> bytes:
        return self._belief.merge(blobs, dimension=self._dimension)
