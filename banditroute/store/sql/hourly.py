"""Sum the log by hour, range by range, so that a reader who remembers the sums never reads a row twice.

Every sum is of one router's arm, of decisions with the same tags, made in the same hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Text, case, cast, func, select

from banditroute.store.outcomes import PAGING
from banditroute.store.sql.schema import decision, epoch, feedback

SECONDS_PER_HOUR = 3_600.0
LATE_SECONDS = 3_600.0
"""Feedback that comes this long after its decision is late."""


class DecisionHour(NamedTuple):
    """The decisions of one hour.

    Attributes
    ----------
    tags
        The JSON list of the decisions, as text.
    hour
        Number of the hour since 1970.
    decisions, fallbacks
        How many decisions there are, and how many of them fell back.
    """

    router: str
    arm: str
    tags: str
    hour: int
    decisions: int
    fallbacks: int


class OutcomeHour(NamedTuple):
    """The outcomes of one objective, of the decisions of one hour.

    With values v and weights w = 1 / propensity, so that the sums say what an arm would have got from all requests.

    Attributes
    ----------
    number, late
        How many outcomes there are, and how many came more than an hour after their decision.
    positive
        How many values are above 0.
    delay_seconds
        Sum of the time between decision and outcome.
    total, squares
        Sums of v and of v^2.
    w, w2, wv, w2v, w2v2
        Sums of w, w^2, w v, w^2 v, w^2 v^2.
    """

    router: str
    arm: str
    tags: str
    hour: int
    objective: str
    number: int
    late: int
    positive: int
    delay_seconds: float
    total: float
    squares: float
    w: float
    w2: float
    wv: float
    w2v: float
    w2v2: float


def decisions_by_hour(connection: Connection, first_id: str, end_id: str | None) -> list[DecisionHour]:
    """Return the sums of the decisions with ids from ``first_id`` to before ``end_id``."""
    fell_back = func.sum(case((decision.c.reason.like("fallback%"), 1), else_=0))
    keys = _keys(connection)
    summed = (
        select(*keys, func.count(), fell_back)
        .join(epoch, decision.c.epoch_id == epoch.c.id)
        .where(*_between(first_id, end_id))
        .group_by(*reversed(keys))  # by hour first: rows come in the order of time, which sorts faster
    )
    return [DecisionHour._make(row) for row in connection.execute(summed)]


def outcomes_of_decisions(
    connection: Connection, first_id: str, end_id: str | None, last_outcome: int
) -> list[OutcomeHour]:
    """Return the sums of the outcomes up to number ``last_outcome``, of decisions in a range as above."""
    # SQLite would look up the decision of every outcome. A cast lets it look up the outcomes of every decision.
    id = cast(decision.c.id, Text) if connection.dialect.name == "sqlite" else decision.c.id
    return _outcomes(connection, id, *_between(first_id, end_id), feedback.c.id <= last_outcome)


def outcomes_after(connection: Connection, after: int, last_outcome: int) -> list[OutcomeHour]:
    """Return the sums of the outcomes with numbers above ``after``, up to ``last_outcome``, of all decisions."""
    return _outcomes(connection, decision.c.id, feedback.c.id > after, feedback.c.id <= last_outcome)


def id_before(connection: Connection, end_id: str, decisions: int) -> str:
    """Return the id that is ``decisions`` before ``end_id``; an empty text if there are fewer."""
    ids = select(decision.c.id).where(decision.c.id < end_id).order_by(decision.c.id.desc())
    return connection.scalar(ids.offset(decisions - 1).limit(1)) or ""


def ids_between(connection: Connection) -> tuple[str, str]:
    """Return the least and the largest id of all decisions; empty texts without decisions."""
    least, largest = (connection.scalar(select(each(decision.c.id))) or "" for each in (func.min, func.max))
    return least, largest


def signature(connection: Connection) -> tuple[tuple[Any, ...], ...]:
    """Return what tells the database from another one: of each epoch its id and the key that was drawn for it."""
    rows = connection.execute(select(epoch.c.id, epoch.c.random_key).order_by(epoch.c.id))
    return tuple(tuple(row) for row in rows)


def latest_decisions(connection: Connection, most: int) -> list[Row[Any]]:
    """Return the latest decisions of all routers, at most ``most``, the newest first."""
    names = ("id", "decided_at", "arm", "propensity", "reason", "tags")
    found = (
        select(epoch.c.router, *(decision.c[name] for name in names))
        .join(epoch, decision.c.epoch_id == epoch.c.id)
        .order_by(decision.c.id.desc())
        .limit(most)
    )
    return list(connection.execute(found))


def outcomes_of(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return id -> objective -> value of some decisions."""
    found: dict[str, dict[str, float]] = {}
    values = select(feedback.c.decision_id, feedback.c.objective, feedback.c.value)
    for row in connection.execute(values.where(feedback.c.decision_id.in_(ids))):
        found.setdefault(row.decision_id, {})[row.objective] = row.value
    return found


def latest_answers(connection: Connection, router: str, objective: str, most: int) -> list[Row[Any]]:
    """Return the latest outcomes of an objective with context and arm of their decisions, the oldest first."""
    found = (
        select(decision.c.id, decision.c.arm, decision.c.x, feedback.c.value, epoch.c.dimension)
        .join(decision, feedback.c.decision_id == decision.c.id)
        .join(epoch, decision.c.epoch_id == epoch.c.id)
        .where(epoch.c.router == router, feedback.c.objective == objective, decision.c.x.is_not(None))
        .order_by(feedback.c.id.desc())
        .limit(most)
    )
    rows: list[Row[Any]] = [*connection.execute(found)]
    return rows[::-1]


def decision_with_epoch(connection: Connection, id: str) -> Row[Any] | None:
    """Return all that is recorded of a decision, with its epoch's router and features; None if it is not held."""
    found = (
        select(decision, epoch.c.router, epoch.c.features_version, epoch.c.dimension)
        .join(epoch, decision.c.epoch_id == epoch.c.id)
        .where(decision.c.id == id)
    )
    return connection.execute(found).one_or_none()


def outcomes_with_times(connection: Connection, id: str) -> list[Row[Any]]:
    """Return the outcomes of a decision, in the order of their arrival."""
    return list(connection.execute(select(feedback).where(feedback.c.decision_id == id).order_by(feedback.c.id)))


def _keys(connection: Connection) -> tuple[ColumnElement[Any], ...]:
    """Return the columns that decisions are grouped by: router, arm, tags and hour."""
    hours = decision.c.decided_at / SECONDS_PER_HOUR
    # A cast rounds down in SQLite, where floor() would be a function of Python, and to the nearest in PostgreSQL.
    whole = hours if connection.dialect.name == "sqlite" else func.floor(hours)
    return epoch.c.router, decision.c.arm, decision.c.tags, cast(whole, BigInteger)


def _between(first_id: str, end_id: str | None) -> list[ColumnElement[bool]]:
    end = [] if end_id is None else [decision.c.id < end_id]
    return [decision.c.id >= first_id, *end]


def _outcomes(connection: Connection, id: ColumnElement[str], *where: ColumnElement[bool]) -> list[OutcomeHour]:
    keys = _keys(connection)
    v, delay = feedback.c.value, feedback.c.received_at - decision.c.decided_at
    w = 1.0 / decision.c.propensity
    of_the_decision = feedback.c.objective.not_like("% %") | (feedback.c.objective == PAGING)
    sums = [
        func.count(),
        func.sum(case((delay > LATE_SECONDS, 1), else_=0)),
        func.sum(case((v > 0.0, 1), else_=0)),
        *(func.sum(each) for each in (delay, v, v * v, w, w * w, w * v, w * w * v, w * w * v * v)),
    ]
    summed = (
        select(*keys, feedback.c.objective, *sums)
        .join(decision, feedback.c.decision_id == id)
        .join(epoch, decision.c.epoch_id == epoch.c.id)
        .where(*where, of_the_decision, decision.c.propensity > 0.0)
        .group_by(*reversed(keys), feedback.c.objective)
    )
    return [OutcomeHour._make(row) for row in connection.execute(summed)]
