"""Rehearse a change of prices or budgets: the arms' shares if the latest requests came again, from now on."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from banditroute.budgets.book import recorded_budgets
from banditroute.budgets.budget import Budget
from banditroute.core.arm import Arm
from banditroute.core.preference import Preference
from banditroute.features.given import GivenFeatures
from banditroute.objectives.objective import STANDARD_OBJECTIVES
from banditroute.router import Router
from banditroute.store.base import StoredDecision, StoredState
from banditroute.store.memory import MemoryStore

if TYPE_CHECKING:
    from sqlalchemy import Connection

_SETTLING_REQUESTS = 500
_STANDARD = [objective.name for objective in STANDARD_OBJECTIVES]
_STATES = ("budgets", "choices", "warm_start", "breaker")  # what a rehearsal begins with


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The latest requests of a router, and what its database holds of it.

    Attributes
    ----------
    requests
        The latest decisions with a context, oldest first.
    features_version, dimension
        Their features.
    arms, budgets
        With the prices and amounts that are recorded.
    state
        What was learned and counted.
    """

    requests: list[StoredDecision]
    features_version: str
    dimension: int
    arms: Sequence[Arm]
    budgets: Sequence[Budget]
    state: StoredState

    def shares(self, *, arms: Sequence[Arm] | None = None, budgets: Sequence[Budget] | None = None) -> dict[str, float]:
        """Return the arms' mean probabilities with these arms and budgets, by the default learner.

        The requests come several times, so that the shadow prices of the budgets settle; the last time counts.
        """
        arms, clock = self.arms if arms is None else arms, [time.time()]
        shares = dict.fromkeys([arm.name for arm in arms], 0.0)
        n, times = len(self.requests), 1 + math.ceil(_SETTLING_REQUESTS / len(self.requests))
        gaps = np.diff([each.decided_at for each in self.requests], prepend=self.requests[0].decided_at)
        with Router(
            arms=arms,
            features=_Recorded(version=self.features_version, dimension=self.dimension - 1),
            budgets=self.budgets if budgets is None else budgets,
            store=_Memory(self.state),
            seed=0,
            clock=lambda: clock[0],
        ) as router:
            for i, (each, gap) in enumerate(zip(self.requests * times, gaps.tolist() * times, strict=True)):
                clock[0] += max(gap, 0.0)
                assert each.x is not None
                decision = router.route(
                    each.x[:-1],
                    preference=_standard(each.preference),
                    arms=[name for name in each.arms if name in shares] or None,
                    session=each.session,
                    tags=each.tags,
                    input_tokens=each.input_tokens,
                )
                if i >= n * (times - 1):
                    for name, probability in zip(decision.arms, decision.probabilities.tolist(), strict=True):
                        shares[name] += probability / n
        return shares


def recorded_arms(connection: Connection, router: str) -> list[Arm]:
    """Return the arms that a router can choose, with the prices that are recorded."""
    from sqlalchemy import select

    from banditroute.store.sql.schema import arm

    return [
        Arm(
            name=row.name,
            input_usd_per_million_tokens=row.input_usd_per_million_tokens,
            output_usd_per_million_tokens=row.output_usd_per_million_tokens,
        )
        for row in connection.execute(select(arm).where(arm.c.router == router, arm.c.active).order_by(arm.c.name))
    ]


def past(connection: Connection, router: str, *, requests: int) -> Past | None:
    """Return the past of a router from its latest epoch; None without decisions that have a context."""
    from sqlalchemy import select

    from banditroute.store.sql import folding
    from banditroute.store.sql.rows import decision_of
    from banditroute.store.sql.schema import decision, epoch

    of_router = select(epoch).where(epoch.c.router == router).order_by(epoch.c.id.desc()).limit(1)
    latest = connection.execute(of_router).one()
    made = (
        select(decision, epoch.c.dimension)
        .join(epoch, decision.c.epoch_id == epoch.c.id)
        .where(decision.c.epoch_id == latest.id, decision.c.x.is_not(None))
        .order_by(decision.c.id.desc())
        .limit(requests)
    )
    rows = [decision_of(row) for row in connection.execute(made)][::-1]
    if not rows:
        return None
    state = folding.remember(connection, latest.id, count=False)
    states = {name: blob for name, blob in state.states.items() if name in _STATES}
    return Past(
        requests=rows,
        features_version=latest.features_version,
        dimension=latest.dimension,
        arms=recorded_arms(connection, router),
        budgets=recorded_budgets(states.get("budgets", b"{}")),
        state=replace(state, states=states),
    )


def _standard(preference: Preference) -> Preference | None:
    weights = {name: weight for name, weight in preference.items() if name in _STANDARD}
    return Preference(**weights) if any(weights.values()) else None


class _Recorded(GivenFeatures):
    """The contexts that are recorded, under the version of the features that made them."""

    def __init__(self, *, version: str, dimension: int) -> None:
        super().__init__(dimension=dimension)
        self._version = version

    @property
    def version(self) -> str:
        return self._version


class _Memory(MemoryStore):
    """A store that begins with what a database holds, and writes nothing."""

    def __init__(self, state: StoredState) -> None:
        super().__init__(capacity=1)
        self._state = state

    def open(self, **options: Any) -> StoredState:
        super().open(**options)
        for name, totals in self._state.totals.items():
            for total in totals:
                self.add_total(name, total)
        return self._state
