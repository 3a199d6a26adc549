"""The log in SQL: epochs, decisions and feedback.

Every function works inside the transaction of the connection that it is given.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import (
    BindParameter,
    Connection,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    union_all,
    update,
)

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.decision_ids import maker_of, seconds_of
from banditroute.core.feedback import Feedback
from banditroute.core.turn import SessionTurn
from banditroute.core.validation import shown
from banditroute.errors import ConflictingFeedbackError, IncompatibleStoreError, UnknownDecisionError
from banditroute.store.base import Acknowledgement, OutcomeEvent, Recorded, StoredDecision
from banditroute.store.outcomes import PAGING, new_outcomes, reported
from banditroute.store.sql.database import INSERT, insert
from banditroute.store.sql.rows import decision_of, number_of, text_of, vector_of
from banditroute.store.sql.schema import arm, decision, epoch, feedback, orphan, statistics

_MAX_TURNS = 10_000  # of sessions, that are read at once
ORPHAN_SECONDS = 60.0
"""Feedback this much younger or older than its decision's id may have come before the decision could be seen. So long
after the time of that id it is dropped, if the decision is still not there."""

_MOST_PARAMETERS = 500  # of one IN (...): well below what any database allows
_logger = logging.getLogger("banditroute.store")


class Added(NamedTuple):
    """The results of adding some feedback.

    Attributes
    ----------
    results
        For each part what there is to learn, or how it is acknowledged where there is nothing to learn, or what keeps
        it from being recorded.
    outcomes
        How many outcomes are pending now that were not before, in the epoch that learns.
    waiting
        How many were kept for a decision that is not there.
    """

    results: list[Recorded | Acknowledgement | Exception]
    outcomes: int
    waiting: int


# Statements that are executed for every decision or feedback are built once: that takes longer than executing them.
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
DIMENSION = select(epoch.c.dimension).where(epoch.c.id == decision.c.epoch_id).scalar_subquery().label("dimension")
_STORED: Select[Any] = select(*(decision.c[name] for name in StoredDecision._fields), DIMENSION).where(
    decision.c.id.in_(_IDS)
)
_RECORDED = union_all(
    *(
        select(table.c.decision_id, table.c.objective, table.c.value).where(table.c.decision_id.in_(_IDS))
        for table in (feedback, orphan)
    )
)
KEY_OF_EPOCH: Select[Any] = select(epoch.c.random_key).where(epoch.c.id == bindparam("epoch_id"))
_ADD_DECISIONS = {
    dialect: add(decision).on_conflict_do_nothing(index_elements=["id"]) for dialect, add in INSERT.items()
}
_ADD_FEEDBACK = {table.name: table.insert() for table in (feedback, orphan)}


def begin_epoch(
    connection: Connection, *, router: str, features_version: str, dimension: int, fold_settings: str
) -> tuple[int, str]:
    """Return the id and the random key of an epoch, which is begun if it is new.

    It writes, and so fails where the database cannot be written.

    Raises
    ------
    IncompatibleStoreError
        If what was learned in the epoch was folded with other settings.
    """
    key = {"router": router, "features_version": features_version, "dimension": dimension}
    begin = insert(connection, epoch).values(version=0, random_key=secrets.token_hex(16), **key)
    # Epochs of earlier schemas have no key yet.
    drawn = {"random_key": func.coalesce(epoch.c.random_key, begin.excluded.random_key)}
    found = begin.on_conflict_do_update(index_elements=list(key), set_=drawn).returning(epoch)
    row = connection.execute(found).one()
    if fold_settings and row.fold_settings != fold_settings:
        if row.fold_settings is not None and _has_learned(connection, row.id):
            raise IncompatibleStoreError(
                f"what router {router!r} has learned was folded with {shown(row.fold_settings)}, and this router folds "
                f"with {fold_settings}; give its learner those settings, have it learned again with "
                f"admin.rebuild(url, router={router!r}, learner=...), or use another router name"
            )
        connection.execute(update(epoch).where(epoch.c.id == row.id).values(fold_settings=fold_settings))
    return row.id, row.random_key


def _has_learned(connection: Connection, epoch_id: int) -> bool:
    learned = exists().where(statistics.c.epoch_id == epoch_id)
    return bool(connection.scalar(select(learned)))


def other_features(connection: Connection, router: str, epoch_id: int) -> tuple[str, int] | None:
    """Return version and dimension of the features that a router had before; None where its epoch is not new."""
    decided = exists().where(decision.c.epoch_id == epoch.c.id)
    with_decisions = select(epoch.c.id, epoch.c.features_version, epoch.c.dimension).where(
        epoch.c.router == router, decided
    )
    rows = connection.execute(with_decisions.order_by(epoch.c.id.desc())).all()
    if not rows or any(row.id == epoch_id for row in rows):
        return None
    return rows[0].features_version, rows[0].dimension


def is_epoch(connection: Connection, epoch_id: int, random_key: str) -> bool:
    """Return whether the epoch of that id is the one that was begun."""
    return bool(connection.scalar(KEY_OF_EPOCH, {"epoch_id": epoch_id}) == random_key)


def set_arms(connection: Connection, router: str, arms: Sequence[Arm]) -> None:
    """Record what a router can choose now; arms that it could choose before stay, and are not active."""
    for each in sorted(arms, key=lambda one: one.name):  # sorted: processes that begin at once lock in one order
        now = {
            "active": True,
            "input_usd_per_million_tokens": each.input_usd_per_million_tokens,
            "output_usd_per_million_tokens": each.output_usd_per_million_tokens,
        }
        connection.execute(
            insert(connection, arm)
            .values(router=router, name=each.name, **now)
            .on_conflict_do_update(index_elements=["router", "name"], set_=now)
        )
    gone = arm.c.name.not_in([each.name for each in arms]) & arm.c.active
    connection.execute(update(arm).where(arm.c.router == router, gone).values(active=False))


def try_writing(connection: Connection, epoch_id: int) -> None:
    """Write without changing anything; fails where the database cannot be written."""
    connection.execute(update(epoch).where(epoch.c.id == epoch_id).values(version=epoch.c.version))


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
            "preference": json.dumps(each.preference.as_dict()),
            "arms": json.dumps(each.arms),
            "probabilities": _bytes(each.probabilities),
            "x": None if each.x is None else _bytes(each.x),
            "session": _clean(each.session),
            "tags": json.dumps(each.tags),
            "input_tokens": each.input_tokens,
            "prompt": _clean(prompt),
            "ordinal": each.ordinal,
            "reserved": json.dumps(dict(each.reserved)) if each.reserved else None,
        }
        for each, prompt in made
    ]
    if rows:
        connection.execute(_ADD_DECISIONS[connection.dialect.name], rows)


def add_feedback(
    connection: Connection,
    epoch_id: int,
    parts: Sequence[Feedback],
    recent: Mapping[str, StoredDecision],
    makers: Collection[str] = (),
) -> Added:
    """Add the parts that can be added, each entirely or not at all.

    A part whose decision is not there, and so young that it may yet come from another process, is kept as an orphan.

    Parameters
    ----------
    epoch_id
        The epoch that learns.
    parts
        Feedback in the order of its arrival.
    recent
        Decisions by id that need not be read back.
    makers
        What ids of this process begin with after their time: such an id that is not held is refused at once.
    """
    if not parts:
        return Added([], 0, 0)
    ids = {part.decision_id for part in parts if _is_id(part.decision_id)}
    decisions = {id: recent[id] for id in ids if id in recent}
    decisions.update(_stored(connection, [id for id in ids if id not in decisions]))
    recorded = _recorded(connection, ids)
    rows: dict[str, list[dict[str, Any]]] = {feedback.name: [], orphan.name: []}
    results: list[Recorded | Acknowledgement | Exception] = []
    more: dict[str, Any]
    for part in parts:
        about = decisions.get(part.decision_id)
        try:
            if about is None:
                kept_at = _check_orphan(part, makers)
            known = recorded[part.decision_id]
            new = new_outcomes(part, known)
        except (UnknownDecisionError, ConflictingFeedbackError) as error:
            results.append(error)
            continue
        if about is None:
            results.append("pending")
        else:
            results.append(_to_learn(about, part, new, known=known) if about.epoch_id == epoch_id else "accepted")
        known.update(new)
        if about is None:
            where, more = orphan, {"kept_at": kept_at}
        else:
            where, more = feedback, {"epoch_id": about.epoch_id, "folded_version": 0 if PAGING in new else None}
        rows[where.name] += [
            {
                "decision_id": part.decision_id,
                "objective": objective,
                "value": value,
                "received_at": part.received_at,
                "source": part.source,
                **more,
            }
            for objective, value in new.items()
        ]
    for table in (feedback, orphan):
        if rows[table.name]:
            connection.execute(_ADD_FEEDBACK[table.name], rows[table.name])
    pending = [row for row in rows[feedback.name] if row["epoch_id"] == epoch_id and row["folded_version"] is None]
    return Added(results, len(pending), len(rows[orphan.name]))


def find(connection: Connection, decision_id: str) -> StoredDecision:
    """Return what is stored of a decision; raise UnknownDecisionError if that id is not held."""
    found = _stored(connection, [decision_id] if _is_id(decision_id) else []).get(decision_id)
    if found is None:
        raise UnknownDecisionError(
            f"no decision {shown(decision_id)} is held; check the id, that this is the database of the router that "
            f"decided, and that the decision is not older than what the database keeps"
        )
    return found


def find_session(connection: Connection, epoch_id: int, session: str) -> list[str]:
    """Return the ids of the decisions of a session in an epoch, in the order of their ids."""
    mine = (decision.c.epoch_id == epoch_id) & (decision.c.session == _clean(session))
    return list(connection.scalars(select(decision.c.id).where(mine).order_by(decision.c.id)))


def turns_since(connection: Connection, epoch_id: int, since: float) -> list[SessionTurn]:
    """Return the turns of sessions that were decided from ``since`` on, the latest 10,000 of them, oldest first."""
    columns = (decision.c.id, decision.c.session, decision.c.arm, decision.c.input_tokens, decision.c.decided_at)
    first_id = f"{max(int(since * 1000.0), 0):012x}"
    mine = (decision.c.epoch_id == epoch_id) & decision.c.session.is_not(None) & (decision.c.id >= first_id)
    rows = connection.execute(select(*columns).where(mine).order_by(decision.c.id.desc()).limit(_MAX_TURNS)).all()
    return [SessionTurn(*row) for row in reversed(rows)]


def match_orphans(connection: Connection) -> None:
    """Make feedback pending whose decision has appeared; drop and log what waited too long for one."""
    found = exists().where(decision.c.id == orphan.c.decision_id)
    claimed = connection.execute(delete(orphan).where(found).returning(orphan)).all()
    epochs: dict[str, int] = {}
    for few in _chunks({row.decision_id for row in claimed}):
        named = select(decision.c.id, decision.c.epoch_id).where(decision.c.id.in_(few))
        epochs.update((row.id, row.epoch_id) for row in connection.execute(named))
    rows = [
        {
            "decision_id": row.decision_id,
            "objective": row.objective,
            "value": row.value,
            "received_at": row.received_at,
            "source": row.source,
            "epoch_id": epochs[row.decision_id],
        }
        for row in claimed
    ]
    if rows:
        # It may be there already: reported again to a process that saw the decision.
        connection.execute(insert(connection, feedback).on_conflict_do_nothing(), rows)
    dropped = set(connection.execute(delete(orphan).where(_is_late()).returning(orphan.c.decision_id)).scalars())
    if dropped:
        _logger.error(
            "feedback for %d decisions that never appeared is dropped, among them %s", len(dropped), min(dropped)
        )


def has_settled_orphans(connection: Connection) -> bool:
    """Return whether feedback waits whose decision has appeared, or will not any more."""
    found = exists().where(decision.c.id == orphan.c.decision_id)
    return bool(connection.scalar(select(exists().where(or_(found, _is_late())))))


def events_of(rows: Iterable[Row[Any]]) -> dict[str, OutcomeEvent]:
    """Return by decision what is to be learned from rows of :func:`outcomes_with_decisions`, if it has a context."""
    by_decision: dict[str, list[Row[Any]]] = {}
    for row in rows:
        by_decision.setdefault(row.decision_id, []).append(row)
    return {
        id: OutcomeEvent(
            arm=text_of(part[0], "arm", id),
            x=x,
            values={text_of(row, "objective", id): number_of(row, "value", id) for row in part},
            decided_at=number_of(part[0], "decided_at", id),
            ordinal=int(number_of(part[0], "ordinal", id)),
            first=not part[0].again,
        )
        for id, part in by_decision.items()
        if (x := vector_of(part[0], id)) is not None
    }


def outcomes_with_decisions() -> Any:
    """Return a SELECT of feedback in the order of its arrival, with the columns of each decision."""
    other = feedback.alias()
    again = exists().where(
        other.c.decision_id == feedback.c.decision_id, other.c.folded_version.is_not(None), other.c.objective != PAGING
    )
    return (
        select(
            feedback,
            *(decision.c[name] for name in ("arm", "x", "decided_at", "ordinal")),
            DIMENSION,
            again.label("again"),  # whether an outcome of the decision was folded before
        )
        .join(decision, decision.c.id == feedback.c.decision_id)
        .order_by(feedback.c.id)
    )


def _to_learn(
    about: StoredDecision, part: Feedback, values: Mapping[str, float], *, known: Mapping[str, float]
) -> Recorded | Acknowledgement:
    values, known = reported(values), reported(known)
    if about.x is None or not values:
        return "accepted"
    return Recorded(
        decision_id=about.id,
        event=OutcomeEvent(
            arm=about.arm,
            x=about.x,
            values=values,
            decided_at=about.decided_at,
            ordinal=about.ordinal,
            first=not known,
        ),
        received_at=part.received_at,
        reserved=about.reserved,
        known=tuple(known),
    )


def _stored(connection: Connection, ids: Iterable[str]) -> dict[str, StoredDecision]:
    return {row.id: decision_of(row) for few in _chunks(ids) for row in connection.execute(_STORED, {"ids": few})}


def _recorded(connection: Connection, ids: Iterable[str]) -> dict[str, dict[str, float]]:
    recorded: dict[str, dict[str, float]] = {id: {} for id in ids}
    for few in _chunks(recorded):
        for row in connection.execute(_RECORDED, {"ids": few}):
            recorded[row.decision_id][row.objective] = row.value
    return recorded


def _is_late() -> Any:
    return orphan.c.kept_at < time.time() - ORPHAN_SECONDS


def _check_orphan(part: Feedback, makers: Collection[str]) -> float:
    """Return when an unknown decision was made, by the machine's clock; refuse it unless another router may know it.

    What paging took is noted where the decision was made, so that it never comes before it.
    """
    ago = ""
    made_at = seconds_of(part.decision_id) if _is_id(part.decision_id) and PAGING not in part.values else None
    if made_at is not None:
        age = part.received_at - made_at
        if abs(age) <= ORPHAN_SECONDS and maker_of(part.decision_id) not in makers:
            return time.time() - age
        if abs(age) > ORPHAN_SECONDS:
            ago = f", by its id of {age / 86_400.0:.3g} days ago,"
    raise UnknownDecisionError(
        f"no decision {shown(part.decision_id)}{ago} is held; check the id, that this is the database of the router "
        f"that decided, and that the decision is not older than what the database keeps"
    )


def _is_id(id: object) -> bool:
    # What a driver cannot encode would fail the statement, and with it the others' feedback.
    return isinstance(id, str) and id.isascii() and id.isalnum()


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    listed = list(ids)
    for start in range(0, len(listed), _MOST_PARAMETERS):
        yield listed[start : start + _MOST_PARAMETERS]


def _clean(text: str | None) -> str | None:
    """Return ``text`` as every database can hold it: NUL and lone surrogates replaced."""
    if text is None:
        return None
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def _bytes(vector: Vector) -> bytes:
    return np.ascontiguousarray(vector, dtype="<f8").tobytes()
