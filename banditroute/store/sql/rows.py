"""Read rows: a value that no router wrote is refused, and the error names its row."""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

import numpy as np
from sqlalchemy import Row

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.core.shared_total import SharedTotal
from banditroute.core.validation import LARGEST, shown
from banditroute.errors import IncompatibleStoreError
from banditroute.store.base import StoredDecision

_NUMBER_BYTES = 8


class DamagedRowError(IncompatibleStoreError):
    """A row of the log holds what no router writes."""

    def __init__(self, decision_id: object, column: str, value: object) -> None:
        super().__init__(
            f"{column} of decision {shown(decision_id)} is damaged ({shown(value)}); restore a backup of the "
            f"database, or erase that decision: banditroute db erase --decision ID"
        )


def text_of(row: Row[Any], column: str, decision_id: object) -> str:
    """Return a text of a row."""
    value = getattr(row, column)
    if not isinstance(value, str):
        raise DamagedRowError(decision_id, column, value)
    return value


def number_of(row: Row[Any], column: str, decision_id: object) -> float:
    """Return a number of a row, of a size that a router may have written."""
    value = getattr(row, column)
    if not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise DamagedRowError(decision_id, column, value)
    return value


def vector_of(row: Row[Any], decision_id: object) -> Vector | None:
    """Return the context of a row, which has the ``dimension`` of its epoch; None if it has none."""
    return None if row.x is None else _numbers_of(row, "x", decision_id, row.dimension)


def _numbers_of(row: Row[Any], column: str, decision_id: object, length: int | None) -> Vector:
    """Return the numbers of a row, ``length`` of them where that is known."""
    value = getattr(row, column)
    if not isinstance(value, bytes) or not value or len(value) % _NUMBER_BYTES:
        raise DamagedRowError(decision_id, column, value)
    numbers = np.frombuffer(value, dtype="<f8").astype(np.float64, copy=False)
    if not np.isfinite(numbers).all() or length not in (None, len(numbers)):
        raise DamagedRowError(decision_id, column, value)
    return numbers


def decision_of(row: Row[Any]) -> StoredDecision:
    """Return the decision of a row."""
    contents = {name: _content(row, name) for name in ("arms", "preference", "tags", "reserved")}
    try:
        return StoredDecision(
            id=row.id,
            arm=text_of(row, "arm", row.id),
            arms=tuple(contents["arms"]),
            probabilities=_numbers_of(row, "probabilities", row.id, len(contents["arms"])),
            x=vector_of(row, row.id),
            preference=Preference(**contents["preference"]),
            session=row.session,
            tags=tuple(contents["tags"]),
            input_tokens=row.input_tokens,
            decided_at=number_of(row, "decided_at", row.id),
            ordinal=int(number_of(row, "ordinal", row.id)),
            reserved={budget: tuple(parts) for budget, parts in (contents["reserved"] or {}).items()},
            epoch_id=row.epoch_id,
        )
    except (AttributeError, TypeError, ValueError) as error:
        if isinstance(error, IncompatibleStoreError):
            raise
        raise DamagedRowError(row.id, "arms, preference, tags or reserved", str(error)) from error


def total_of(row: Row[Any]) -> SharedTotal:
    """Return what a row has counted for a budget."""
    total = SharedTotal(*(getattr(row, name) for name in SharedTotal._fields))
    counts = isinstance(total.period, int) and isinstance(total.requests, int)
    if not counts or not all(isinstance(part, int | float) and math.isfinite(part) for part in total):
        raise IncompatibleStoreError(
            f"the count of budget {shown(row.budget)} of router {shown(row.router)} is damaged: {shown(tuple(total))}; "
            "restore a backup of the database, or delete that row of banditroute_tally to begin it again"
        )
    return total


def is_intact(row: Row[Any]) -> bool:
    """Return whether the blob of a row has its checksum."""
    return isinstance(row.blob, bytes) and zlib.crc32(row.blob) == row.crc32


def _content(row: Row[Any], column: str) -> Any:
    value = getattr(row, column)
    if value is None:
        return None
    try:
        return json.loads(value)
    except (TypeError, ValueError) as error:
        raise DamagedRowError(row.id, column, value) from error
