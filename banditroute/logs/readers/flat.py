"""Decisions as most programs log them: one row a decision, a column for each outcome."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from banditroute.errors import InvalidInputError
from banditroute.logs.readers.canonical import RANGES, typed
from banditroute.logs.readers.columns import numbers
from banditroute.logs.readers.fields import renamed
from banditroute.logs.readers.log_format import Fields, Format, Reading
from banditroute.logs.readers.names import USUAL_NAMES, suggestion, usual_columns
from banditroute.logs.readers.row_errors import Found, Repeated
from banditroute.logs.readers.source import objects
from banditroute.logs.readers.tabular import LISTS, decisions

if TYPE_CHECKING:
    import pyarrow

_FEATURE = re.compile(r"x_?(\d+)")  # x0, x1, ... or x_0, x_1, ...
_OWN_NAMES = ("router", "features_version", "ordinal", "reason", "policy")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


def _fields(reading: Reading) -> Fields:
    has = reading.source.names
    usual = usual_columns(has, [name for name in USUAL_NAMES if name != "query_id"])
    usual |= {name: name for name in (*_OWN_NAMES, *LISTS) if name in has}
    fields = reading.fields(usual)
    return Fields(columns={k: v for k, v in fields.columns.items() if k != "query_id"}, factors=fields.factors)


def knows(reading: Reading) -> bool:
    """Say whether there are an arm, an outcome, and a propensity; without a propensity, no query either."""
    ours = {name for name, theirs in _fields(reading).columns.items() if reading.source.has(theirs)}
    asked = reading.fields(usual_columns(reading.source.names, ["query_id"])).columns
    outcomes = (ours & RANGES.keys()) | {name for name in ours if name not in USUAL_NAMES and name in reading.columns}
    return "arm" in ours and bool(outcomes) and ("propensity" in ours or "query_id" not in asked)


def read(reading: Reading) -> Iterator[pyarrow.Table]:
    """Yield every row; its context is in ``x``, or in the columns x0, x1, ... to which the bias is added."""
    fields = _fields(reading)
    reading.require(fields.columns.get("arm", "arm"), *fields.columns.values())
    if "propensity" not in fields.columns and (near := suggestion("propensity", reading.source.names)):
        raise InvalidInputError(
            f"{reading.damage.name} has no column propensity{near} Name it, with columns= (--column "
            "propensity=...), or rename the column"
        )
    if reading.source.container == "jsonl":
        yield from typed(_rows(reading, fields), reading.damage)
        return
    features = _feature_columns(reading)
    yield from decisions(reading, fields, features, lambda table, found: _contexts(table, features, found))


def _rows(reading: Reading, fields: Fields) -> Iterator[tuple[int, dict[str, Any]]]:
    repeated = Repeated()
    features = _feature_columns(reading)
    for number, record in objects(reading.source, reading.damage):
        row = renamed(record, fields)
        for ours in (*fields.columns.keys() - USUAL_NAMES.keys(), *RANGES, "propensity", "decided_at"):
            part = row if ours in row else row["outcomes"]
            if ours in part and ours not in LISTS and ours not in _OWN_NAMES:
                part[ours] = _number(part[ours], fields.factor(ours))
        for ours in ("id", "arm", "session", "task"):
            if type(row.get(ours)) in (int, float, bool):
                row[ours] = str(row[ours])
        if features and all(record.get(name) is not None for name in features):
            row["x"] = [*(_number(record[name], 1.0) for name in features), 1.0]
        if row.get("arm") in (None, "") and not any(row["outcomes"].values()):
            reading.damage.leave_out("failure without an arm")
        elif repeated(row.get("id")):
            reading.damage.leave_out("decision that is repeated")
        else:
            yield number, row


def _number(value: Any, factor: float) -> Any:
    """Return a flag, or a text that is a number, as a number; anything else as it is."""
    if isinstance(value, bool):
        return float(value) * factor
    if isinstance(value, str):
        if not value.strip():
            return None
        return float(value) * factor if _NUMBER.fullmatch(value) else value
    return value


def _feature_columns(reading: Reading) -> list[str]:
    numbered = {int(found[1]): name for name in reading.source.names if (found := _FEATURE.fullmatch(name))}
    return [] if "x" in reading.source.names else [numbered[k] for k in sorted(numbered)]


def _contexts(table: pyarrow.Table, features: list[str], found: Found) -> Any:
    """Return the column ``x`` from numbered columns; None without such columns, or where it is there as lists."""
    if not features:
        return None
    import pyarrow as arrow

    x = np.ones((len(table), len(features) + 1))
    for k, name in enumerate(features):
        x[:, k], wrong = numbers(table, name)
        found.add(wrong | np.isnan(x[:, k]), name, "give a number")
    x[found.rows] = 0.0
    if x.size >= 2**31:
        raise InvalidInputError(f"the log has {len(features):,} columns of features; give fewer")
    ends = np.arange(0, x.size + 1, x.shape[1], dtype=np.int32)
    return arrow.ListArray.from_arrays(ends, x.ravel())


FLAT = Format(
    name="flat",
    containers=("parquet", "csv", "jsonl", "frame"),
    knows=knows,
    read=read,
    needs=("arm", "propensity", "quality"),
)
