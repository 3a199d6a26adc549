"""Decisions in columns: the steps that formats of one row a decision share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError
from banditroute.logs.readers.canonical import checked, moment, schema
from banditroute.logs.readers.columns import moments, named, numbers, texts
from banditroute.logs.readers.log_format import Fields, Reading
from banditroute.logs.readers.row_errors import Found, Repeated
from banditroute.logs.readers.source import tables

if TYPE_CHECKING:
    import pyarrow

_TEXTS = ("id", "arm", "session", "prompt", "task", "router", "features_version", "reason", "policy")
_WHOLE = ("ordinal", "input_tokens")
_ROUNDING = 1e-6  # by which a propensity may be above 1, as the probabilities of our own logs may be off
LISTS = ("arms", "probabilities", "x")
"""Our names of columns that hold a list in each row."""


def decisions(
    reading: Reading, fields: Fields, extra: Sequence[str], context: Callable[[pyarrow.Table, Found], Any]
) -> Iterator[pyarrow.Table]:
    """Yield tables of our own form from columns: those of ``fields``, and the contexts that ``context`` makes.

    Parameters
    ----------
    reading, fields
        The file and its columns; every column of ``fields`` must be there.
    extra
        The columns that ``context`` needs.
    context
        Return the column ``x`` of a table, or None; rows that it cannot use are added to ``Found``.
    """
    import pyarrow as arrow
    import pyarrow.compute as compute

    repeated = Repeated()
    wanted = dict.fromkeys([*fields.columns.values(), *extra])
    for positions, table in tables(reading.source, list(wanted), reading.damage):
        found = Found(table, arm=fields.columns.get("arm"))
        columns: dict[str, Any] = {"x": context(table, found)}
        outcomes: dict[str, Vector] = {}
        for ours, theirs in fields.columns.items():
            if ours in _TEXTS:
                columns[ours] = texts(table, theirs)
                if ours == "arm":  # "small" and "small " in a file of spaces after commas are one arm
                    columns[ours] = compute.utf8_trim_whitespace(columns[ours])
            elif ours in LISTS:
                columns[ours] = _cast(table, theirs, schema().field(ours).type)
            elif ours == "decided_at":
                values, wrong = moments(table, theirs, fields.factor(ours), moment)
                columns[ours] = arrow.array(values, from_pandas=True)
                found.add(wrong, theirs, "give Unix time in seconds, or ISO 8601")
            else:
                values, wrong = numbers(table, theirs, fields.factor(ours))
                found.add(wrong, theirs, "give a number")
                if ours in _WHOLE:
                    columns[ours] = arrow.array(values, from_pandas=True).cast(arrow.int64(), safe=False)
                elif ours == "propensity":
                    rounded = np.where(values <= 1.0 + _ROUNDING, np.minimum(values, 1.0), values)
                    columns[ours] = arrow.array(rounded, from_pandas=True)
                else:
                    outcomes[ours] = values
        left_out = _left_out(columns, outcomes, repeated)
        for why, rows in left_out.items():
            for _ in range(int((rows & ~found.rows).sum())):
                reading.damage.leave_out(why)
        out = np.logical_or.reduce([np.zeros(len(table), dtype=bool), *left_out.values()])
        found.add(~named(columns["arm"]) & ~out, fields.columns["arm"], "every row needs an arm, in UTF-8")
        found.report(positions, reading.damage)
        kept = ~(found.rows | out)
        columns["outcomes"] = _map(outcomes, len(table))
        filled = [
            columns[field.name] if columns.get(field.name) is not None else arrow.nulls(len(table), field.type)
            for field in schema()
        ]
        yield checked(positions[kept], arrow.table(filled, schema=schema()).filter(arrow.array(kept)), reading.damage)


def _left_out(columns: Mapping[str, Any], outcomes: Mapping[str, Vector], repeated: Repeated) -> dict[str, Any]:
    """Return the reason -> the rows ``(n,)`` that are whole but not decisions."""
    import pyarrow.compute as compute

    no_arm = np.asarray(compute.is_null(columns["arm"]))
    failed = outcomes.get("availability", np.zeros(len(no_arm)))
    nothing = np.logical_and.reduce([np.isnan(each) | (each == 0.0) for each in outcomes.values()])
    reasons = {"failure without an arm": no_arm & (failed == 0.0) & nothing}
    if "id" in columns:
        reasons["decision that is repeated"] = repeated.among(columns["id"].to_pylist())
    return reasons


def _cast(table: pyarrow.Table, name: str, kind: pyarrow.DataType) -> pyarrow.ChunkedArray:
    import pyarrow as arrow

    try:
        return table[name].cast(kind)
    except arrow.ArrowException as error:
        raise InvalidInputError(f"column {name:.80} is {table[name].type}, expected is {kind}") from error


def _map(objectives: Mapping[str, Vector], n: int) -> pyarrow.Array:
    """Return the outcomes of each row that are not NaN, as a map."""
    import pyarrow as arrow

    values = np.concatenate([np.empty((n, 0)), *(each[:, None] for each in objectives.values())], axis=1)
    given = ~np.isnan(values)
    ends = np.concatenate([[0], np.cumsum(given.sum(axis=1))]).astype(np.int32)
    names = np.broadcast_to(np.array(list(objectives), dtype=object), values.shape)[given]
    return arrow.MapArray.from_arrays(ends, arrow.array(names, arrow.string()), values[given])
