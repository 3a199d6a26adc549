"""Change the log or the sums afterwards, in SQL: corrections, erasure, rollback, rebuilding.

Every function works inside the transaction of the connection that it is given, and locks the row of the epoch that
it changes; its new version tells the routers that use it to begin again.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, delete, func, or_, select, update

from banditroute.core.times import utc
from banditroute.errors import StoreError
from banditroute.store.base import Fold, OutcomeEvent
from banditroute.store.outcomes import PAGING, check_recorded
from banditroute.store.sql import folding
from banditroute.store.sql.log import events_of, outcomes_with_decisions
from banditroute.store.sql.schema import decision, epoch, feedback, orphan, snapshot, statistics

Folds: TypeAlias = Callable[[Connection, int], Fold]
"""``folds(connection, epoch_id)`` -> how the outcomes of that epoch are folded."""

_Keep: TypeAlias = Callable[[Row[Any]], float | None]
"""The value that an outcome has from now on; None: it is erased."""

_AT_ONCE = 1000  # rows that are folded, or decisions that are changed, in one go


def correct(connection: Connection, folds: Folds, decision_id: str, values: Mapping[str, float]) -> None:
    """Give outcomes of a decision that are recorded another value, as if they had been reported with it.

    Raises
    ------
    UnknownDecisionError
        If there is no such decision, or one of the outcomes is not recorded.
    """
    held = set(connection.scalars(select(feedback.c.objective).where(feedback.c.decision_id == decision_id)))
    check_recorded(decision_id, values, held)
    for epoch_id, ids in _epochs(connection, [decision_id]):
        _amend(connection, epoch_id, folds(connection, epoch_id), ids, lambda row: values.get(row.objective, row.value))


def erase_decisions(connection: Connection, folds: Folds, ids: Sequence[str]) -> None:
    """Delete decisions with their feedback, and take back what was learned from it."""
    for epoch_id, mine in _epochs(connection, ids):
        _amend(connection, epoch_id, folds(connection, epoch_id), mine, lambda row: None)
        connection.execute(delete(decision).where(decision.c.id.in_(mine)))
    connection.execute(delete(orphan).where(orphan.c.decision_id.in_(ids)))


def erase_feedback(connection: Connection, folds: Folds, ids: Sequence[str], source: str) -> None:
    """Delete what one source reported of some decisions, and take back what was learned from it."""
    for epoch_id, mine in _epochs(connection, ids):
        _amend(
            connection,
            epoch_id,
            folds(connection, epoch_id),
            mine,
            lambda row: None if row.source == source else row.value,
        )
    connection.execute(delete(orphan).where(orphan.c.decision_id.in_(ids), orphan.c.source == source))


def find(
    connection: Connection,
    *,
    router: str | None,
    decision_id: str | None,
    session: str | None,
    source: str | None,
    limit: int | None = _AT_ONCE,
) -> list[str]:
    """Return ids of decisions: this one, some of a session, or some that a source gave feedback for."""
    ids = select(decision.c.id).join(epoch, epoch.c.id == decision.c.epoch_id)
    if router is not None:
        ids = ids.where(epoch.c.router == router)
    if decision_id is not None:
        ids = ids.where(decision.c.id == decision_id)
    if session is not None:
        ids = ids.where(decision.c.session == session)
    if source is not None:
        reported = [select(table.c.decision_id).where(table.c.source == source) for table in (feedback, orphan)]
        ids = ids.where(or_(*(decision.c.id.in_(some) for some in reported)))
    return list(connection.scalars(ids.limit(limit)))


def roll_back(connection: Connection, epoch_id: int, version: int) -> int:
    """Go back to the statistics of a snapshot; returns how many outcomes count for nothing since.

    What was folded later, or is pending, stays in the log and is not folded again.

    Raises
    ------
    StoreError
        If there is no snapshot of that version.
    """
    now = (folding.lock(connection, epoch_id) or 0) + 1
    copies = connection.execute(
        select(snapshot).where(snapshot.c.epoch_id == epoch_id, snapshot.c.version == version)
    ).all()
    if not copies or version == folding.PRUNED:
        there = folding.snapshots(connection, epoch_id)
        raise StoreError(
            f"there is no snapshot of version {version} of epoch {epoch_id}; there are: "
            f"{', '.join(map(str, there)) or 'none'}"
        )
    connection.execute(delete(statistics).where(statistics.c.epoch_id == epoch_id))
    for copy in copies:
        folding.set_statistics(connection, epoch_id, now, copy.arm, folding.intact(copy))
    later = or_(feedback.c.folded_version > version, feedback.c.folded_version.is_(None))
    dropped = connection.execute(
        update(feedback).where(feedback.c.epoch_id == epoch_id, later).values(folded_version=0)
    ).rowcount
    connection.execute(delete(snapshot).where(snapshot.c.epoch_id == epoch_id, snapshot.c.version > version))
    connection.execute(update(epoch).where(epoch.c.id == epoch_id).values(version=now))
    return dropped


def roll_back_to(connection: Connection, epoch_id: int, moment: float) -> int:
    """Go back to the last snapshot that was taken by a moment, if feedback came later; else change nothing.

    Raises
    ------
    StoreError
        If no snapshot is that old.
    """
    later = select(func.count()).where(feedback.c.epoch_id == epoch_id, feedback.c.received_at > moment)
    if not connection.scalar(later):
        return 0
    taken = folding.snapshots(connection, epoch_id)
    old = [version for version, at in taken.items() if at <= moment]
    if not old:
        earliest = min(taken.values(), default=None)
        there = "it has none" if earliest is None else f"its first is of {utc(earliest)}"
        raise StoreError(f"epoch {epoch_id} has no snapshot of {utc(moment)} or earlier; {there}")
    return roll_back(connection, epoch_id, old[-1])


def take_snapshot(connection: Connection, folds: Folds, epoch_id: int) -> int | None:
    """Fold what is pending, and copy the statistics for good; return their version, None where nothing is learned."""
    done: tuple[int, int] | None = 0, 1
    while done is not None and done[1]:
        done = folding.fold_pending(
            connection, epoch_id, folds(connection, epoch_id), limit=_AT_ONCE, expected=None, wait=True
        )
    learned = connection.scalar(select(func.count()).where(statistics.c.epoch_id == epoch_id))
    if done is None or not learned:
        return None
    folding.take_snapshot(connection, epoch_id, done[0], by_hand=True)
    return done[0]


def rebuild(connection: Connection, epoch_id: int, fold: Fold) -> None:
    """Make the statistics again from the log, and from what was pruned of it."""
    version = (folding.lock(connection, epoch_id) or 0) + 1
    blobs = refolded(connection, epoch_id, fold)
    connection.execute(delete(statistics).where(statistics.c.epoch_id == epoch_id))
    for name, blob in blobs.items():
        folding.set_statistics(connection, epoch_id, version, name, blob)
    connection.execute(update(epoch).where(epoch.c.id == epoch_id).values(version=version))


def set_fold_settings(connection: Connection, epoch_id: int, settings: str) -> None:
    """Record what folding depends on from now on; the epoch is to be rebuilt in the same transaction."""
    connection.execute(update(epoch).where(epoch.c.id == epoch_id).values(fold_settings=settings or None))


def refolded(connection: Connection, epoch_id: int, fold: Fold) -> dict[str, bytes]:
    """Return the statistics of each arm, folded again from all that was folded."""
    base = select(snapshot).where(snapshot.c.epoch_id == epoch_id, snapshot.c.version == folding.PRUNED)
    blobs = {row.arm: folding.intact(row) for row in connection.execute(base)}
    for events in _folded(connection, epoch_id):
        for name, of_arm in folding.by_arm(events).items():
            blobs[name] = fold(blobs.get(name), of_arm)
    return blobs


def move_to_base(connection: Connection, epoch_id: int, fold: Fold, ids: Sequence[str]) -> None:
    """Delete decisions that are too old to keep, with their feedback; what was learned from it stays."""
    folding.lock(connection, epoch_id)
    rows = connection.execute(
        outcomes_with_decisions().where(feedback.c.decision_id.in_(ids), feedback.c.folded_version > 0)
    ).all()
    _change_copy(connection, epoch_id, folding.PRUNED, fold, list(events_of(rows).values()))
    # A rebuild after a rollback to a copy without them would bring them back.
    newest = max((row.folded_version for row in rows), default=0)
    older = (snapshot.c.version > folding.PRUNED) & (snapshot.c.version < newest)
    connection.execute(delete(snapshot).where(snapshot.c.epoch_id == epoch_id, older))
    connection.execute(delete(feedback).where(feedback.c.decision_id.in_(ids)))
    gone = connection.execute(delete(decision).where(decision.c.id.in_(ids))).rowcount
    connection.execute(update(epoch).where(epoch.c.id == epoch_id).values(pruned=epoch.c.pruned + gone))


def _folded(connection: Connection, epoch_id: int) -> Iterator[list[OutcomeEvent]]:
    last = 0
    while True:
        some = outcomes_with_decisions().where(
            feedback.c.epoch_id == epoch_id, feedback.c.folded_version > 0, feedback.c.id > last
        )
        rows = connection.execute(some.limit(_AT_ONCE)).all()
        if not rows:
            return
        last = rows[-1].id
        yield list(events_of(rows).values())


def _epochs(connection: Connection, ids: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Return the decisions by epoch, in the order in which every transaction locks epochs."""
    found: dict[int, list[str]] = {}
    for row in connection.execute(select(decision.c.id, decision.c.epoch_id).where(decision.c.id.in_(ids))):
        found.setdefault(row.epoch_id, []).append(row.id)
    return sorted(found.items())


def _amend(connection: Connection, epoch_id: int, fold: Fold, ids: Sequence[str], keep: _Keep) -> None:
    """Change or erase outcomes of some decisions, in the log, the statistics and their copies."""
    version = (folding.lock(connection, epoch_id) or 0) + 1
    known = feedback.c.decision_id.in_(ids) & feedback.c.folded_version.is_not(None) & (feedback.c.objective != PAGING)
    heard = select(func.count(feedback.c.decision_id.distinct())).where(known)
    before = connection.scalar(heard) or 0
    rows = connection.execute(outcomes_with_decisions().where(feedback.c.decision_id.in_(ids))).all()
    folded = [row for row in rows if row.folded_version]
    folding.change(connection, epoch_id, version, fold, _swapped(folded, keep))
    copies = select(snapshot.c.version).where(snapshot.c.epoch_id == epoch_id, snapshot.c.version > folding.PRUNED)
    for copy in connection.scalars(copies.distinct()).all():
        held = [row for row in folded if row.folded_version <= copy]
        _change_copy(connection, epoch_id, copy, fold, _swapped(held, keep))
    for row in rows:
        value = keep(row)
        if value is None:
            connection.execute(delete(feedback).where(feedback.c.id == row.id))
        elif value != row.value:
            connection.execute(update(feedback).where(feedback.c.id == row.id).values(value=value))
    fewer = before - (connection.scalar(heard) or 0)
    changed = update(epoch).where(epoch.c.id == epoch_id)
    connection.execute(changed.values(version=version, heard=epoch.c.heard - fewer))


def _swapped(rows: Sequence[Row[Any]], keep: _Keep) -> list[OutcomeEvent]:
    """Return what takes back the events of some rows, and adds what they are from now on."""
    kept = {(row.decision_id, row.objective): value for row in rows if (value := keep(row)) is not None}
    events: list[OutcomeEvent] = []
    for id, old in events_of(rows).items():
        new = {name: kept[id, name] for name in old.values if (id, name) in kept}
        if new != old.values:
            events += [replace(old, values=new)] if new else []
            events.append(replace(old, sign=-1))
    return events


def _change_copy(
    connection: Connection, epoch_id: int, version: int, fold: Fold, events: Sequence[OutcomeEvent]
) -> None:
    for name, of_arm in folding.by_arm(events).items():
        key = (snapshot.c.epoch_id == epoch_id) & (snapshot.c.version == version) & (snapshot.c.arm == name)
        old = connection.execute(select(snapshot).where(key)).first()
        blob = fold(None if old is None else folding.intact(old), of_arm)
        new = {"blob": blob, "crc32": zlib.crc32(blob)}
        if old is None:
            row = {"epoch_id": epoch_id, "version": version, "arm": name, "taken_at": 0.0, **new}
            connection.execute(snapshot.insert(), row)
        else:
            connection.execute(update(snapshot).where(key).values(**new))
