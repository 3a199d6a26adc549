"""The log in SQL: add decisions and feedback, fold them, read what is remembered.

Every function works inside the transaction of the connection that it is given, which holds the database for
writing from its beginning; so what it reads cannot change before it writes.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Row, bindparam, func, select, update
from sqlalchemy.dialects.sqlite import insert

from banditroute.errors import ConflictingFeedbackError, IncompatibleStoreError, UnknownDecisionError
from banditroute.store.base import Event, Fold, Memory
from banditroute.store.outcomes import new_outcomes
from banditroute.store.schema import arm, decision, epoch, feedback, state, statistics
from banditroute.types import Arm, Decision, Feedback, Vector

_MOST_PARAMETERS = 500  # of one IN (...): well below what any database allows


class Made(NamedTuple):
    """What feedback must know of its decision."""

    epoch_id: int
    arm: str
    x: Vector | None
    decided_at: float
    ordinal: int


def epoch_of(connection: Connection, *, router: str, features_version: str, dimension: int) -> int:
    """The id of an epoch, which is begun if it is new; fails where the database cannot be written."""
    key = {"router": router, "features_version": features_version, "dimension": dimension}
    begin = insert(epoch).values(version=0, **key)
    # The update changes nothing: it returns the row, and it is a write, which a read-only file refuses.
    found = begin.on_conflict_do_update(index_elements=list(key), set_={"router": router}).returning(epoch.c.id)
    return int(connection.execute(found).scalar_one())


def set_arms(connection: Connection, router: str, arms: Sequence[Arm]) -> None:
    """Record what a router can choose now; arms that it could choose before stay, and are not active."""
    connection.execute(update(arm).where(arm.c.router == router).values(active=False))
    for each in arms:
        now = {
            "active": True,
            "input_usd_per_million_tokens": each.input_usd_per_million_tokens,
            "output_usd_per_million_tokens": each.output_usd_per_million_tokens,
        }
        connection.execute(
            insert(arm)
            .values(router=router, name=each.name, **now)
            .on_conflict_do_update(index_elements=["router", "name"], set_=now)
        )


def try_writing(connection: Connection, epoch_id: int) -> None:
    """Write without changing anything; fails where the database cannot be written."""
    connection.execute(update(epoch).where(epoch.c.id == epoch_id).values(version=epoch.c.version))


def remember(connection: Connection, epoch_id: int) -> Memory:
    """All that is remembered of an epoch, and of its router.

    Raises
    ------
    IncompatibleStoreError
        If the statistics of an arm or a piece of state are damaged.
    """
    rows = connection.execute(select(statistics).where(statistics.c.epoch_id == epoch_id))
    states = select(state).join(epoch, epoch.c.router == state.c.router).where(epoch.c.id == epoch_id)
    return Memory(
        statistics={row.arm: _intact(row) for row in rows},
        pending=list(_events(connection.execute(_pending(epoch_id)))),
        decisions=connection.scalar(select(func.count()).where(decision.c.epoch_id == epoch_id)) or 0,
        feedback=connection.scalar(
            select(func.count(feedback.c.decision_id.distinct())).where(feedback.c.epoch_id == epoch_id)
        )
        or 0,
        states={row.name: _intact_state(row) for row in connection.execute(states)},
    )


def add_decisions(connection: Connection, epoch_id: int, made: Iterable[tuple[Decision, str | None]]) -> None:
    """Add decisions, each with its prompt or None; one that is there already is passed over."""
    rows = [
        {
            "id": each.id,
            "epoch_id": epoch_id,
            "decided_at": each.decided_at,
            "arm": each.arm,
            "propensity": each.propensity,
            "reason": _clean(each.reason),
            "policy": _clean(each.policy),
            "preference": json.dumps(dict(each.preference)),
            "arms": json.dumps(each.arms),
            "probabilities": _bytes(each.probabilities),
            "x": None if each.x is None else _bytes(each.x),
            "session": _clean(each.session),
            "tags": json.dumps(each.tags),
            "input_tokens": each.input_tokens,
            "prompt": _clean(prompt),
            "ordinal": each.ordinal,
        }
        for each, prompt in made
    ]
    if rows:
        connection.execute(insert(decision).on_conflict_do_nothing(index_elements=["id"]), rows)


def add_feedback(
    connection: Connection, epoch_id: int, parts: Sequence[Feedback], recent: Mapping[str, Made]
) -> list[Event | Exception | None]:
    """Add the parts that can be added, each entirely or not at all.

    Parameters
    ----------
    epoch_id
        The epoch that learns.
    parts
        Feedback in the order of its arrival.
    recent
        Decisions by id that need not be read back.

    Returns
    -------
    list
        For each part what there is to learn, or None for nothing, or what keeps the part from being recorded.
    """
    if not parts:
        return []
    ids = {part.decision_id for part in parts if _is_id(part.decision_id)}
    made = _made(connection, ids, recent)
    recorded: dict[str, dict[str, float]] = {id: {} for id in made}
    for few in _chunks(made):
        for row in connection.execute(select(feedback).where(feedback.c.decision_id.in_(few))):
            recorded[row.decision_id][row.objective] = row.value
    rows: list[dict[str, Any]] = []
    results: list[Event | Exception | None] = []
    for part in parts:
        try:
            results.append(_add_part(part, epoch_id, made, recorded, rows))
        except (UnknownDecisionError, ConflictingFeedbackError) as error:
            results.append(error)
    if rows:
        connection.execute(insert(feedback), rows)
    return results


def _add_part(
    part: Feedback,
    epoch_id: int,
    made: Mapping[str, Made],
    recorded: Mapping[str, dict[str, float]],
    rows: list[dict[str, Any]],
) -> Event | None:
    about = made.get(part.decision_id)
    if about is None:
        raise UnknownDecisionError(
            f"no decision {part.decision_id!r} is held; check the id, and that this is the database of the "
            f"router that decided"
        )
    known = recorded[part.decision_id]
    first = not known
    new = new_outcomes(part, known)
    known.update(new)
    rows += [
        {
            "decision_id": part.decision_id,
            "objective": objective,
            "value": value,
            "received_at": part.received_at,
            "epoch_id": about.epoch_id,
            "folded_version": 0 if about.x is None else None,
        }
        for objective, value in new.items()
    ]
    if not new or about.x is None or about.epoch_id != epoch_id:
        return None
    return Event(arm=about.arm, x=about.x, values=new, decided_at=about.decided_at, ordinal=about.ordinal, first=first)


def put_states(connection: Connection, router: str, states: Mapping[str, bytes]) -> None:
    """Record pieces of a router's state by name, each in place of the last."""
    for name, blob in states.items():
        new = {"blob": blob, "crc32": zlib.crc32(blob), "updated_at": time.time()}
        connection.execute(
            insert(state)
            .values(router=router, name=name, **new)
            .on_conflict_do_update(index_elements=["router", "name"], set_=new)
        )


def fold_pending(connection: Connection, epoch_id: int, fold: Fold, *, limit: int) -> int:
    """Fold the oldest pending outcomes, at most ``limit``, into the statistics; returns how many there were.

    The statistics and the mark of what they hold change in one transaction, and both are read in it: each
    outcome is folded once, by whichever process comes first.

    Raises
    ------
    IncompatibleStoreError
        If the statistics of an arm are damaged.
    """
    now = select(epoch.c.version).where(epoch.c.id == epoch_id).with_for_update()
    version = connection.scalars(now).one() + 1
    rows = connection.execute(_pending(epoch_id).limit(limit)).all()
    if not rows:
        return 0
    by_arm: dict[str, list[Event]] = {}
    for event in _events(rows):
        by_arm.setdefault(event.arm, []).append(event)
    for name, events in by_arm.items():
        key = (statistics.c.epoch_id == epoch_id) & (statistics.c.arm == name)
        old = connection.execute(select(statistics).where(key)).first()
        blob = fold(None if old is None else _intact(old), events)
        new = {"version": version, "blob": blob, "crc32": zlib.crc32(blob)}
        connection.execute(
            insert(statistics)
            .values(epoch_id=epoch_id, arm=name, **new)
            .on_conflict_do_update(index_elements=["epoch_id", "arm"], set_=new)
        )
    # Row by row and not up to the last: elsewhere a row with a lower id may be committed in between.
    mark = update(feedback).where(feedback.c.id == bindparam("row")).values(folded_version=version)
    connection.execute(mark, [{"row": row.id} for row in rows])
    connection.execute(update(epoch).where(epoch.c.id == epoch_id).values(version=version))
    return len(rows)


def _pending(epoch_id: int) -> Any:
    return (
        select(feedback, decision.c.arm, decision.c.x, decision.c.decided_at, decision.c.ordinal)
        .join(decision, decision.c.id == feedback.c.decision_id)
        .where(feedback.c.epoch_id == epoch_id, feedback.c.folded_version.is_(None))
        .order_by(feedback.c.id)
    )


def _events(rows: Iterable[Row[Any]]) -> Iterator[Event]:
    for _, part in groupby(rows, key=lambda row: row.decision_id):
        outcomes = list(part)
        yield Event(
            arm=outcomes[0].arm,
            x=_vector(outcomes[0].x),
            values={row.objective: row.value for row in outcomes},
            decided_at=outcomes[0].decided_at,
            ordinal=outcomes[0].ordinal,
        )


def _made(connection: Connection, ids: Iterable[str], recent: Mapping[str, Made]) -> dict[str, Made]:
    made = {id: recent[id] for id in ids if id in recent}
    columns = select(*(decision.c[name] for name in ("id", *Made._fields)))
    for few in _chunks(id for id in ids if id not in made):
        for row in connection.execute(columns.where(decision.c.id.in_(few))):
            x = None if row.x is None else _vector(row.x)
            made[row.id] = Made(row.epoch_id, row.arm, x, row.decided_at, row.ordinal)
    return made


def _intact(row: Row[Any]) -> bytes:
    blob: bytes = row.blob
    if zlib.crc32(blob) != row.crc32:
        raise IncompatibleStoreError(
            f"the statistics of arm {row.arm!r} are damaged (checksum); restore a backup of the database, or "
            f"have all arms learned again from the log in it with these statements: "
            f"DELETE FROM {statistics.name} WHERE epoch_id = {row.epoch_id}; "
            f"UPDATE {feedback.name} SET folded_version = NULL "
            f"WHERE folded_version > 0 AND epoch_id = {row.epoch_id};"
        )
    return blob


def _intact_state(row: Row[Any]) -> bytes:
    blob: bytes = row.blob
    if zlib.crc32(blob) != row.crc32:
        raise IncompatibleStoreError(
            f"the state {row.name!r} of router {row.router!r} is damaged (checksum); restore a backup of the database, "
            f"or delete that row of {state.name} to begin it anew"
        )
    return blob


def _is_id(id: object) -> bool:
    # What a driver cannot encode would fail the statement, and with it the others' feedback.
    return isinstance(id, str) and id.isascii() and id.isalnum()


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    listed = list(ids)
    for start in range(0, len(listed), _MOST_PARAMETERS):
        yield listed[start : start + _MOST_PARAMETERS]


def _clean(text: str | None) -> str | None:
    """``text`` as every database can hold it: NUL and lone surrogates replaced."""
    if text is None:
        return None
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def _bytes(vector: Vector) -> bytes:
    return np.ascontiguousarray(vector, dtype="<f8").tobytes()


def _vector(stored: bytes) -> Vector:
    return np.frombuffer(stored, dtype="<f8").astype(np.float64, copy=False)
