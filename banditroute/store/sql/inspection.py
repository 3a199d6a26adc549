"""Count what is in a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, func, select

from banditroute.core.shared_total import SharedTotal
from banditroute.errors import IncompatibleStoreError
from banditroute.store.sql import folding
from banditroute.store.sql.database import Database
from banditroute.store.sql.log import DIMENSION
from banditroute.store.sql.rows import decision_of, is_intact, number_of, text_of, total_of
from banditroute.store.sql.schema import arm, decision, epoch, feedback, snapshot, state, statistics, tally


class Epoch(NamedTuple):
    """The records of an epoch, and of its router.

    Attributes
    ----------
    figures
        By name, as in ``EpochRecord``.
    oldest
        When the oldest of what is pending was received, None where nothing is.
    arms
        The router's, by name, with whether it can choose them now.
    statistics
        Of the arms.
    states
        The router's, by name.
    totals
        What all processes have counted, by budget.
    """

    figures: dict[str, Any]
    oldest: float | None
    arms: dict[str, bool]
    statistics: dict[str, bytes]
    states: dict[str, bytes]
    totals: dict[str, tuple[SharedTotal, ...]]


def epoch_ids(connection: Connection, router: str | None) -> list[int]:
    """Return the ids of the epochs of one router, or of all."""
    ids = select(epoch.c.id).order_by(epoch.c.id)
    return list(connection.scalars(ids if router is None else ids.where(epoch.c.router == router)))


def statistics_of(connection: Connection, epoch_id: int) -> dict[str, bytes]:
    """Return the blobs of an epoch by arm."""
    rows = connection.execute(select(statistics).where(statistics.c.epoch_id == epoch_id).order_by(statistics.c.arm))
    return {row.arm: folding.intact(row) for row in rows}


def fold_settings_of(connection: Connection, epoch_id: int) -> str | None:
    """Return what the fold of an epoch depends on, as its router has recorded it; None if it has not."""
    return connection.scalar(select(epoch.c.fold_settings).where(epoch.c.id == epoch_id))


def active_arms(connection: Connection, router: str) -> list[str]:
    """Return the arms that a router can choose now, sorted."""
    names = select(arm.c.name).where(arm.c.router == router, arm.c.active).order_by(arm.c.name)
    return list(connection.scalars(names))


def epochs(connection: Connection, router: str | None) -> Iterator[Epoch]:
    """Yield what is recorded of each epoch, of one router or of all."""
    for id in epoch_ids(connection, router):
        row = connection.execute(select(epoch).where(epoch.c.id == id)).one()
        mine = feedback.c.epoch_id == id
        pending, oldest = connection.execute(
            select(func.count(), func.min(feedback.c.received_at)).where(mine, feedback.c.folded_version.is_(None))
        ).one()
        spend = select(func.sum(feedback.c.value)).where(mine, feedback.c.objective == "cost_usd")
        states = select(state).where(state.c.router == row.router).order_by(state.c.name)
        yield Epoch(
            figures={
                **{name: getattr(row, name) for name in ("id", "router", "features_version", "dimension", "version")},
                "decisions": connection.scalar(select(func.count()).where(decision.c.epoch_id == id)),
                "pruned": row.pruned,
                "answered": row.heard,
                "pending": pending,
                "spend_usd": connection.scalar(spend) or 0.0,
                "snapshots": folding.snapshots(connection, id),
            },
            oldest=oldest,
            arms={each.name: each.active for each in connection.execute(select(arm).where(arm.c.router == row.router))},
            statistics=statistics_of(connection, id),
            states={each.name: each.blob for each in connection.execute(states)},
            totals=folding.totals_of(connection, row.router),
        )


def damage(connection: Connection, database: Database) -> list[str]:
    """Return what is damaged, in words."""
    found = database.damage(connection)
    for table in (statistics, snapshot, state):
        for row in connection.execute(select(table)):
            if not is_intact(row):
                key = ", ".join(f"{column.name} {getattr(row, column.name)!r}" for column in table.primary_key)
                found.append(f"{table.name}: the blob of {key} is damaged (checksum)")
    for each in connection.execute(select(decision, DIMENSION).order_by(decision.c.id)):
        with _noting(found, decision):
            decision_of(each)
    for each in connection.execute(select(feedback).order_by(feedback.c.id)):
        with _noting(found, feedback):
            text_of(each, "objective", each.decision_id)
            number_of(each, "value", each.decision_id)
    for each in connection.execute(select(tally)):
        with _noting(found, tally):
            total_of(each)
    return found


@contextmanager
def _noting(found: list[str], table: Table) -> Iterator[None]:
    """Add a damaged row of a table to what is found."""
    try:
        yield
    except IncompatibleStoreError as error:
        found.append(f"{table.name}: {error}")
