"""Keep what was learned, in SQL: fold outcomes into statistics, remember them, and keep the router's other state.

Every function works inside the transaction of the connection that it is given. A transaction that changes statistics
locks the row of their epoch first; so each outcome is folded once, by whichever process comes first.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, func, literal, select, update

from banditroute.core.shared_total import SharedTotal
from banditroute.core.state import MergeStates
from banditroute.errors import IncompatibleStoreError
from banditroute.store.base import Fold, OutcomeEvent, StoredState
from banditroute.store.sql.database import INSERT, insert
from banditroute.store.sql.log import KEY_OF_EPOCH, events_of, outcomes_with_decisions
from banditroute.store.sql.rows import is_intact, total_of
from banditroute.store.sql.schema import (
    decision,
    epoch,
    feedback,
    last_group,
    orphan,
    snapshot,
    state,
    statistics,
    tally,
)

SNAPSHOT_SECONDS = 3600.0
"""Least time between two copies of the statistics that a rollback can go back to."""

_DAY_SECONDS = 86_400.0
_ALL_KEPT_SECONDS = 2 * _DAY_SECONDS  # of older ones, the last of each day is kept
_ONE_A_DAY_KEPT_SECONDS = 14 * _DAY_SECONDS

PRUNED = 0
"""The version under which the copies hold what was pruned: statistics are these and all that the log holds."""

_MARKED = 500  # rows of one IN (...)
_PERIODS = 50  # of a budget that are kept at least
_WRITER_SECONDS = 7 * 86_400.0  # how long the record of a writer is kept


def _numbering(add: Any) -> Any:
    """Return the statement that records the number of a writer's group, and returns the random key of the epoch."""
    new = add(last_group).values({column.name: bindparam(column.name) for column in last_group.c})
    changed = {name: new.excluded[name] for name in ("number", "written_at")}
    key = KEY_OF_EPOCH.scalar_subquery()  # in the same statement: each costs a round trip
    return new.on_conflict_do_update(index_elements=["writer"], set_=changed).returning(key)


_NUMBERING = {dialect: _numbering(add) for dialect, add in INSERT.items()}


class Put(NamedTuple):
    """A piece of state to be recorded: in place of what is, or joined to it."""

    blob: bytes
    merge: MergeStates | None

    def after(self, before: Put | None) -> Put:
        """Return the two as one."""
        return self if before is None or self.merge is None else Put(self.merge(before.blob, self.blob), before.merge)


class Standing(NamedTuple):
    """By what a process knows whether others have changed what is remembered.

    Attributes
    ----------
    version
        The epoch's.
    outcomes
        How many are pending. Between two changes of the version they only become more.
    orphans
        How many outcomes wait for their decision, in the whole database.
    random_key
        The epoch's.
    """

    version: int
    outcomes: int
    orphans: int
    random_key: str | None


def standing(connection: Connection, epoch_id: int) -> Standing | None:
    """Return how things stand, None without that epoch; cheap enough to ask several times a second."""
    pending = select(func.count()).where(is_pending(epoch_id)).scalar_subquery()
    orphans = select(func.count()).select_from(orphan).scalar_subquery()
    row = connection.execute(
        select(epoch.c.version, pending, orphans, epoch.c.random_key).where(epoch.c.id == epoch_id)
    ).first()
    return None if row is None else Standing(*row)


def remember(connection: Connection, epoch_id: int, *, count: bool) -> StoredState:
    """Return all that is remembered of an epoch and of its router.

    Parameters
    ----------
    epoch_id
        The epoch.
    count
        Whether to count the decisions, which takes a while where there are millions; else the number of the latest
        stands for it.

    Raises
    ------
    IncompatibleStoreError
        If the statistics of an arm or a piece of state are damaged.
    """
    made = select(func.count() if count else decision.c.ordinal + 1).where(decision.c.epoch_id == epoch_id)
    if not count:
        made = made.order_by(decision.c.id.desc()).limit(1)
    router, heard, pruned, decisions = connection.execute(
        select(epoch.c.router, epoch.c.heard, epoch.c.pruned, made.scalar_subquery()).where(epoch.c.id == epoch_id)
    ).one()
    rows = connection.execute(outcomes_with_decisions().where(is_pending(epoch_id))).all()
    return StoredState(
        statistics={
            row.arm: intact(row)
            for row in connection.execute(select(statistics).where(statistics.c.epoch_id == epoch_id))
        },
        pending=list(events_of(rows).values()),
        decisions=decisions + pruned if count else decisions or 0,
        feedback=heard + len({row.decision_id for row in rows if not row.again}),
        states={
            row.name: _intact_state(row) for row in connection.execute(select(state).where(state.c.router == router))
        },
        totals=totals_of(connection, router),
    )


def fold_pending(
    connection: Connection, epoch_id: int, fold: Fold, *, limit: int, expected: int | None, wait: bool
) -> tuple[int, int] | None:
    """Fold the oldest pending outcomes, at most ``limit``, into the statistics.

    The statistics and the mark of what they hold change in one transaction, and both are read in it.

    Parameters
    ----------
    epoch_id, fold, limit
        What to fold, and how.
    expected
        The version that the epoch is thought to have; None: whichever.
    wait
        For another process that is folding.

    Returns
    -------
    tuple or None
        The version now, and how many outcomes were folded; None where another process is folding and this does not
        wait, or where the version is another.

    Raises
    ------
    IncompatibleStoreError
        If the statistics of an arm are damaged.
    """
    version = lock(connection, epoch_id, wait=wait)
    if version is None or expected not in (None, version):
        return None
    rows = connection.execute(outcomes_with_decisions().where(is_pending(epoch_id)).limit(limit)).all()
    if not rows:
        return version, 0
    version += 1
    change(connection, epoch_id, version, fold, events_of(rows).values())
    mark(connection, [row.id for row in rows if row.x is not None], version)
    mark(connection, [row.id for row in rows if row.x is None], 0)
    heard = len({row.decision_id for row in rows if not row.again})
    connection.execute(update(epoch).where(epoch.c.id == epoch_id).values(version=version, heard=epoch.c.heard + heard))
    if time.time() - last_snapshot(connection, epoch_id) >= SNAPSHOT_SECONDS:
        take_snapshot(connection, epoch_id, version)
    return version, len(rows)


def lock(connection: Connection, epoch_id: int, *, wait: bool = True) -> int | None:
    """Make this transaction the one that changes an epoch's statistics; its version, or None not to ``wait``."""
    # key_share: a transaction that adds a decision refers to the epoch's row, and need not wait.
    row = select(epoch.c.version).where(epoch.c.id == epoch_id).with_for_update(key_share=True, skip_locked=not wait)
    return connection.scalar(row)


def change(connection: Connection, epoch_id: int, version: int, fold: Fold, events: Iterable[OutcomeEvent]) -> None:
    """Fold events into the statistics of their arms."""
    for name, of_arm in by_arm(events).items():
        key = (statistics.c.epoch_id == epoch_id) & (statistics.c.arm == name)
        old = connection.execute(select(statistics).where(key)).first()
        set_statistics(connection, epoch_id, version, name, fold(None if old is None else intact(old), of_arm))


def by_arm(events: Iterable[OutcomeEvent]) -> dict[str, list[OutcomeEvent]]:
    """Return the events of each arm."""
    found: dict[str, list[OutcomeEvent]] = {}
    for event in events:
        found.setdefault(event.arm, []).append(event)
    return found


def set_statistics(connection: Connection, epoch_id: int, version: int, name: str, blob: bytes) -> None:
    """Record the statistics of the arm of that name."""
    new = {"version": version, "blob": blob, "crc32": zlib.crc32(blob)}
    connection.execute(
        insert(connection, statistics)
        .values(epoch_id=epoch_id, arm=name, **new)
        .on_conflict_do_update(index_elements=["epoch_id", "arm"], set_=new)
    )


def mark(connection: Connection, ids: Sequence[int], version: int) -> None:
    """Mark outcomes as folded, row by row: elsewhere one with a lower id may be committed in between."""
    for start in range(0, len(ids), _MARKED):
        some = feedback.c.id.in_(ids[start : start + _MARKED])
        connection.execute(update(feedback).where(some).values(folded_version=version))


def snapshots(connection: Connection, epoch_id: int) -> dict[int, float]:
    """Return the versions of an epoch that can be gone back to, each with when it was copied, the oldest first."""
    taken = select(snapshot.c.version, snapshot.c.taken_at).distinct().order_by(snapshot.c.version)
    mine = taken.where(snapshot.c.epoch_id == epoch_id, snapshot.c.version > PRUNED)
    return {row.version: row.taken_at for row in connection.execute(mine)}


def last_snapshot(connection: Connection, epoch_id: int) -> float:
    """Return when the statistics of an epoch were last copied, in Unix seconds; 0 if they were not."""
    return connection.scalar(select(func.max(snapshot.c.taken_at)).where(snapshot.c.epoch_id == epoch_id)) or 0.0


def take_snapshot(connection: Connection, epoch_id: int, version: int, *, by_hand: bool = False) -> None:
    """Copy the statistics of an epoch, and let go of copies that are too old to keep."""
    now = time.time()
    taken = select(
        statistics.c.epoch_id,
        literal(version).label("version"),
        *(statistics.c[name] for name in ("arm", "blob", "crc32")),
        literal(now).label("taken_at"),
        literal(by_hand).label("by_hand"),
    ).where(statistics.c.epoch_id == epoch_id)
    connection.execute(
        insert(connection, snapshot)
        .from_select([column.name for column in taken.selected_columns], taken)
        .on_conflict_do_update(index_elements=["epoch_id", "version", "arm"], set_={"by_hand": by_hand})
    )
    kept = select(snapshot.c.version).where(snapshot.c.epoch_id == epoch_id, snapshot.c.by_hand)
    gone = _too_old(snapshots(connection, epoch_id), now) - set(connection.scalars(kept))
    if gone:
        connection.execute(delete(snapshot).where(snapshot.c.epoch_id == epoch_id, snapshot.c.version.in_(gone)))


def _too_old(taken: Mapping[int, float], now: float) -> set[int]:
    """Return the versions to let go of: all are kept for two days, then the last of each day for two weeks."""
    last_of_day = {int(at // _DAY_SECONDS): version for version, at in sorted(taken.items())}
    return {
        version
        for version, at in taken.items()
        if now - at > _ONE_A_DAY_KEPT_SECONDS
        or (now - at > _ALL_KEPT_SECONDS and last_of_day[int(at // _DAY_SECONDS)] != version)
    }


def states_of(connection: Connection, router: str, names: Collection[str]) -> dict[str, bytes]:
    """Return these pieces of a router's state by name, as far as they are recorded."""
    rows = connection.execute(select(state).where(state.c.router == router, state.c.name.in_(names)))
    return {row.name: _intact_state(row) for row in rows}


def put_states(connection: Connection, router: str, states: Mapping[str, Put]) -> None:
    """Record pieces of a router's state by name."""
    for name, (blob, merge) in sorted(states.items()):
        if merge is not None:
            # Of two that are the first at once, the other waits here for the one, and sees its row.
            first = insert(connection, state).values(router=router, name=name, **_row(blob)).on_conflict_do_nothing()
            if connection.scalar(first.returning(state.c.name)) is not None:
                continue
            mine = select(state).where(state.c.router == router, state.c.name == name)
            blob = merge(_intact_state(connection.execute(mine.with_for_update()).one()), blob)
        new = _row(blob)
        connection.execute(
            insert(connection, state)
            .values(router=router, name=name, **new)
            .on_conflict_do_update(index_elements=["router", "name"], set_=new)
        )


def add_totals(
    connection: Connection, router: str, totals: Mapping[tuple[str, int], SharedTotal]
) -> dict[tuple[str, int], SharedTotal]:
    """Add to what is counted for budgets in their periods; return what each comes to, all processes together."""
    sums = {}
    for (budget, period), added in sorted(totals.items()):  # sorted: all processes lock the rows in one order
        new = insert(connection, tally).values(router=router, budget=budget, **added._asdict())
        columns = [tally.c[name] for name in ("requests", "spent", "balance")]
        row = connection.execute(
            new.on_conflict_do_update(
                index_elements=["router", "budget", "period"],
                set_={column.name: column + new.excluded[column.name] for column in columns},
            ).returning(*columns)
        ).one()
        sums[budget, period] = SharedTotal(period, *row)
        newest = select(tally.c.period).where(tally.c.router == router, tally.c.budget == budget)
        kept = list(connection.scalars(newest.order_by(tally.c.period.desc()).limit(_PERIODS)))
        if len(kept) == _PERIODS:
            old = (tally.c.router == router) & (tally.c.budget == budget) & (tally.c.period < min(kept[-1], period))
            connection.execute(delete(tally).where(old))
    return sums


def totals_of(connection: Connection, router: str) -> dict[str, tuple[SharedTotal, ...]]:
    """Return what is counted for each budget of a router, one total for each period, the latest first."""
    rows = connection.execute(select(tally).where(tally.c.router == router).order_by(tally.c.period.desc()))
    found: dict[str, tuple[SharedTotal, ...]] = {}
    for row in rows:
        found[row.budget] = (*found.get(row.budget, ()), total_of(row))
    return found


def last_group_of(connection: Connection, writer: str) -> int | None:
    """Return the number of the last group that a writer has committed."""
    return connection.scalar(select(last_group.c.number).where(last_group.c.writer == writer))


def set_last_group(connection: Connection, writer: str, number: int, epoch_id: int) -> str | None:
    """Record the number of the group that this transaction writes; return the random key of the epoch, None: gone."""
    row = {"writer": writer, "number": number, "written_at": time.time(), "epoch_id": epoch_id}
    key: str | None = connection.scalar(_NUMBERING[connection.dialect.name], row)
    return key


def forget_writers(connection: Connection, writer: str) -> None:
    """Delete what is recorded of a writer that ends, and of those that ended in another way long ago."""
    old = last_group.c.written_at < time.time() - _WRITER_SECONDS
    connection.execute(delete(last_group).where((last_group.c.writer == writer) | old))


def _row(blob: bytes) -> dict[str, Any]:
    return {"blob": blob, "crc32": zlib.crc32(blob), "updated_at": time.time()}


def intact(row: Row[Any]) -> bytes:
    """Return the blob of a row of statistics or of a snapshot.

    Raises
    ------
    IncompatibleStoreError
        If its checksum differs.
    """
    blob: bytes = row.blob
    if not is_intact(row) or not isinstance(row.arm, str):
        raise IncompatibleStoreError(
            f"the statistics of arm {row.arm!r} are damaged (checksum); have them learned again from the log with "
            f"banditroute db rebuild, or restore a backup of the database"
        )
    return blob


def _intact_state(row: Row[Any]) -> bytes:
    blob: bytes = row.blob
    if not is_intact(row):
        raise IncompatibleStoreError(
            f"the state {row.name!r} of router {row.router!r} is damaged (checksum); restore a backup of the database, "
            f"or delete that row of {state.name} to begin it again"
        )
    return blob


def is_pending(epoch_id: int) -> Any:
    """Return the condition of the outcomes of an epoch that are not folded yet."""
    return (feedback.c.epoch_id == epoch_id) & feedback.c.folded_version.is_(None)
