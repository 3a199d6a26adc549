"""Sum what was added to the log, range by range, so that a reader who remembers the sums never reads a row twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, func, select
from sqlalchemy.sql.elements import ColumnElement

from banditroute.store.outcomes import PAGING
from banditroute.store.sql.schema import decision, epoch, feedback, state


class OutcomeSums(NamedTuple):
    """The outcomes of one objective of one arm.

    Attributes
    ----------
    number, total
        How many values there are, and their sum.
    up_to
        For each of the bounds that were asked for, the number of values up to it.
    """

    router: str
    arm: str
    objective: str
    number: int
    total: float
    up_to: tuple[int, ...]


def decisions_between(
    connection: Connection, first_id: str, end_id: str | None
) -> dict[tuple[str, str], tuple[int, int]]:
    """Return (router, arm) -> decisions and fallbacks, of the ids from ``first_id`` to before ``end_id``."""
    fell_back = func.sum(case((decision.c.reason.like("fallback%"), 1), else_=0))
    counted = (
        select(epoch.c.router, decision.c.arm, func.count(), fell_back)
        .join(epoch, decision.c.epoch_id == epoch.c.id)
        .where(decision.c.id >= first_id)
        .group_by(epoch.c.router, decision.c.arm)
    )
    rows = connection.execute(counted if end_id is None else counted.where(decision.c.id < end_id))
    return {(router, arm): (int(n), int(fallbacks)) for router, arm, n, fallbacks in rows}


def latest_feedback_id(connection: Connection) -> int:
    """Return the largest number of a recorded outcome, 0 if nothing is recorded."""
    return connection.scalar(select(func.max(feedback.c.id))) or 0


def outcomes_between(connection: Connection, after_id: int, last_id: int, bounds: Sequence[float]) -> list[OutcomeSums]:
    """Return the sums of outcomes by router, arm and objective, of the numbers above ``after_id`` to ``last_id``.

    Only outcomes of a decision alone are summed, and what it waited for its adapter: no comparisons, and no shares of
    a session's outcome.
    """
    up_to = [func.sum(case((feedback.c.value <= bound, 1), else_=0)) for bound in bounds]
    of_the_decision = feedback.c.objective.not_like("% %")
    keys = (epoch.c.router, decision.c.arm, feedback.c.objective)
    rows = connection.execute(
        select(*keys, func.count(), func.sum(feedback.c.value), *up_to)
        .join(decision, feedback.c.decision_id == decision.c.id)
        .join(epoch, feedback.c.epoch_id == epoch.c.id)
        .where(feedback.c.id > after_id, feedback.c.id <= last_id, of_the_decision | (feedback.c.objective == PAGING))
        .group_by(*keys)
    )
    return [
        OutcomeSums(router, arm, objective, int(number), float(total), tuple(map(int, up_to)))
        for router, arm, objective, number, total, *up_to in rows
    ]


class RouterRecord(NamedTuple):
    """The present records of a router, all its epochs together.

    Attributes
    ----------
    folds, learned
        Changes of its statistics, and decisions of which feedback was folded.
    pending, oldest
        Outcomes that are not folded, and when the oldest of them was received in Unix seconds.
    states
        The router's state, by name.
    """

    router: str
    folds: int
    learned: int
    pending: int
    oldest: float | None
    states: dict[str, bytes]


def routers(connection: Connection, state_names: Sequence[str]) -> list[RouterRecord]:
    """Return the present records of every router, with those pieces of its state."""
    sums: list[ColumnElement[Any]] = [func.sum(epoch.c.version), func.sum(epoch.c.heard)]
    known = connection.execute(select(epoch.c.router, *sums).group_by(epoch.c.router).order_by(epoch.c.router)).all()
    waits = (
        select(epoch.c.router, func.count(), func.min(feedback.c.received_at))
        .join(epoch, feedback.c.epoch_id == epoch.c.id)
        .where(feedback.c.folded_version.is_(None))
        .group_by(epoch.c.router)
    )
    pending = {router: (n, oldest) for router, n, oldest in connection.execute(waits)}
    states: dict[str, dict[str, bytes]] = {}
    for row in connection.execute(select(state).where(state.c.name.in_(state_names))):
        states.setdefault(row.router, {})[row.name] = row.blob
    return [
        RouterRecord(router, int(folds), int(learned), *pending.get(router, (0, None)), states.get(router, {}))
        for router, folds, learned in known
    ]
