"""Find old decisions, and write decisions with their outcomes as Parquet."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, exists, select

from banditroute.core.files import written_whole
from banditroute.store.outcomes import PAGING
from banditroute.store.sql.schema import decision, epoch, feedback

if TYPE_CHECKING:
    import pyarrow

_AT_ONCE = 1000


def old_decisions(connection: Connection, epoch_id: int, *, before: float, answered: bool, limit: int) -> list[str]:
    """Return the ids of decisions made before a time, the oldest first.

    Parameters
    ----------
    epoch_id
        Epoch of the decisions.
    before
        Unix time in seconds.
    answered
        True: decisions with feedback, all of it folded. False: decisions without any feedback.
    limit
        Largest number of ids.
    """
    reported = exists().where(feedback.c.decision_id == decision.c.id, feedback.c.objective != PAGING)
    wanted = reported & ~reported.where(feedback.c.folded_version.is_(None)) if answered else ~reported
    ids = select(decision.c.id).where(
        decision.c.epoch_id == epoch_id,
        decision.c.id < f"{max(int(before * 1000.0), 0):012x}",  # ids begin with their time
        wanted,
    )
    return list(connection.scalars(ids.order_by(decision.c.id).limit(limit)))


def decisions_after(connection: Connection, router: str | None, last: str) -> list[str]:
    """Return the next ids of decisions after ``last``, of one router or of all; empty at the end."""
    ids = select(decision.c.id).where(decision.c.id > last)
    if router is not None:
        ids = ids.join(epoch, epoch.c.id == decision.c.epoch_id).where(epoch.c.router == router)
    return list(connection.scalars(ids.order_by(decision.c.id).limit(_AT_ONCE)))


def records(connection: Connection, ids: Sequence[str]) -> pyarrow.Table:
    """Return decisions with their outcomes, in the columns of :func:`log_schema`."""
    import pyarrow

    outcomes: dict[str, list[tuple[str, float]]] = {}
    for start in range(0, len(ids), _AT_ONCE):
        held = select(feedback).where(feedback.c.decision_id.in_(ids[start : start + _AT_ONCE]))
        for row in connection.execute(held.order_by(feedback.c.id)):
            outcomes.setdefault(row.decision_id, []).append((row.objective, row.value))
    rows = []
    for start in range(0, len(ids), _AT_ONCE):
        made = select(decision, epoch.c.router, epoch.c.features_version).join(epoch)
        for row in connection.execute(made.where(decision.c.id.in_(ids[start : start + _AT_ONCE]))):
            rows.append(_record(row, outcomes.get(row.id, [])))
    rows.sort(key=lambda record: str(record["id"]))
    return pyarrow.Table.from_pylist(rows, schema=log_schema())


def log_schema() -> pyarrow.Schema:
    """Return the columns of a log, which has one row for each decision."""
    import pyarrow

    text, number, numbers = pyarrow.string(), pyarrow.float64(), pyarrow.list_(pyarrow.float64())
    return pyarrow.schema(
        {
            "id": text,
            "router": text,
            "features_version": text,
            "decided_at": number,
            "ordinal": pyarrow.int64(),
            "arm": text,
            "propensity": number,
            "reason": text,
            "policy": text,
            "preference": pyarrow.map_(text, number),
            "arms": pyarrow.list_(text),
            "probabilities": numbers,
            "x": numbers,
            "session": text,
            "tags": pyarrow.list_(text),
            "input_tokens": pyarrow.int64(),
            "prompt": text,
            "outcomes": pyarrow.map_(text, number),
        }
    )


def write_durably(table: pyarrow.Table, path: Path) -> None:
    """Write a Parquet file to disk; after a failure there is no partial file."""
    import pyarrow.parquet

    with written_whole(path) as part:
        pyarrow.parquet.write_table(table, part)
    if os.name != "nt":  # the folder's entry must be on disk as well
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _record(row: Any, outcomes: Sequence[tuple[str, float]]) -> dict[str, Any]:
    return {
        **{name: getattr(row, name) for name in log_schema().names if name != "outcomes"},
        "preference": list(json.loads(row.preference).items()),
        "arms": json.loads(row.arms),
        "probabilities": np.frombuffer(row.probabilities, "<f8"),
        "x": None if row.x is None else np.frombuffer(row.x, "<f8"),
        "tags": json.loads(row.tags),
        "outcomes": list(outcomes),
    }
