"""Look at what a database holds, in figures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from banditroute.admin._database import open_database
from banditroute.admin._sums import sums
from banditroute.beliefs import Linear
from banditroute.beliefs.base import Prior
from banditroute.budgets.book import recorded
from banditroute.budgets.budget import BudgetStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRecord:
    """Figures of one arm.

    Attributes
    ----------
    name, active
        Its name, and whether the router that was opened last can choose it.
    counts
        How many outcomes of each objective its statistics hold.
    information_nats
        How much was learned from them: ``log det(A) - log det(Lambda)``.
    """

    name: str
    active: bool
    counts: Mapping[str, float]
    information_nats: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """Figures of one epoch: what one router learned in one version of its features.

    Attributes
    ----------
    id, router, features_version, dimension, version
        As in the table of epochs.
    decisions, pruned, answered
        Decisions that are held; that were too old to keep; of which feedback was folded.
    pending, lag_seconds
        Outcomes that are not folded yet, and how long ago the oldest of them was received.
    spend_usd
        Sum of the costs that were reported and are held.
    snapshots, states
        Versions to go back to, each with when it was copied, in Unix seconds; and name of a piece of the router's other
        state -> its size in bytes.
    budgets, arms
        How each of the router's budgets stands, all its processes together; what is known of each arm.
    """

    id: int
    router: str
    features_version: str
    dimension: int
    version: int
    decisions: int
    pruned: int
    answered: int
    pending: int
    lag_seconds: float
    spend_usd: float
    snapshots: Mapping[int, float]
    states: Mapping[str, int]
    budgets: tuple[BudgetStatus, ...]
    arms: tuple[ArmRecord, ...]


def inspect(url: str, *, router: str | None = None) -> list[EpochRecord]:
    """Return the figures of every epoch in a database, of one router or of all.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    router
        Only of this router. Default: of all.

    Raises
    ------
    InvalidConfigurationError
        If the URL names no database.
    IncompatibleStoreError, StoreError
        If the database cannot be used.
    """
    from banditroute.store.sql import inspection

    return [
        EpochRecord(
            arms=_arms(epoch.figures["dimension"], epoch.arms, epoch.statistics),
            lag_seconds=0.0 if epoch.oldest is None else max(0.0, time.time() - epoch.oldest),
            states={name: len(blob) for name, blob in epoch.states.items()},
            budgets=recorded(epoch.states.get("budgets", b"{}"), epoch.totals, time.time()),
            **epoch.figures,
        )
        for epoch in open_database(url, writes=False).read(
            lambda connection: list(inspection.epochs(connection, router))
        )
    ]


def _arms(dimension: int, active: Mapping[str, bool], statistics: Mapping[str, bytes]) -> tuple[ArmRecord, ...]:
    names = sorted({*active, *statistics})
    of_arms = {arm: sums(statistics.get(arm)) for arm in names}
    priors = {objective: Prior(mean=0.0, noise=1.0) for of_arm in of_arms.values() for objective in of_arm}
    belief = Linear().start(arms=names, dimension=dimension, priors=priors, statistics=statistics)
    return tuple(
        ArmRecord(
            name=name,
            active=active.get(name, False),
            counts={objective: float(of_arms[name][objective][0]) for objective in sorted(of_arms[name])},
            information_nats=float(nats),
        )
        for name, nats in zip(names, belief.information(), strict=True)
    )
