"""The Open Bandit Dataset as CSV (Saito et al. 2021): one recommended item a row, with its propensity and its click."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError
from banditroute.logs.readers.canonical import checked, encoded, moment, schema
from banditroute.logs.readers.columns import named, numbers, texts
from banditroute.logs.readers.hashed import SLOTS, hashed
from banditroute.logs.readers.log_format import Format, Reading
from banditroute.logs.readers.row_errors import Found
from banditroute.logs.readers.source import tables

if TYPE_CHECKING:
    import pyarrow

_POSITION = "position"
_FIELDS = {
    "arm": "item_id",
    "propensity": "propensity_score",
    "decided_at": "timestamp",
    "task": _POSITION,
    "quality": "click",
}
_TEXTS = ("id", "arm", "session", "prompt", "task")


def knows(reading: Reading) -> bool:
    """Whether the columns are those of the data set."""
    fields = reading.fields(_FIELDS)
    return {fields["arm"], fields["propensity"], _POSITION} <= {*reading.source.names}


def read(reading: Reading) -> Iterator[pyarrow.Table]:
    """Every row; its context is its categories hashed, its affinities and the bias, its task is its position."""
    import pyarrow

    has = reading.source.names
    fields = reading.fields(_FIELDS)
    reading.require(fields["arm"], fields["propensity"], *reading.columns.values())
    fields = {ours: theirs for ours, theirs in fields.items() if theirs in has}
    categories = [name for name in has if name.startswith("user_feature_") or name == _POSITION]
    affinities = [name for name in has if name.startswith("user-item_affinity_")]
    wanted = dict.fromkeys([*fields.values(), *categories, *affinities])
    for positions, table in tables(reading.source, list(wanted), reading.damage):
        found = Found(table)
        columns: dict[str, Any] = {"x": _contexts(table, categories, affinities, found)}
        outcomes = {}
        for ours, theirs in fields.items():
            if ours in _TEXTS:
                columns[ours] = texts(table, theirs)
            elif ours == "decided_at":
                columns[ours] = _moments(table, theirs, found)
            elif ours == "propensity":
                columns[ours] = _numbers(table, theirs, found)
            else:
                outcomes[ours] = _numbers(table, theirs, found)
        found.add(~named(columns["arm"]), fields["arm"], "every row names it")
        found.tell(positions, reading.damage)
        columns["outcomes"] = _map(outcomes, len(table))
        filled = [columns.get(field.name, pyarrow.nulls(len(table), field.type)) for field in schema()]
        whole = pyarrow.table(filled, schema=schema()).filter(~found.rows)
        yield checked(positions[~found.rows], whole, reading.damage)


def _numbers(table: pyarrow.Table, name: str, found: Found) -> Vector:
    values, wrong = numbers(table, name)
    found.add(wrong, name, "give a number")
    return values


def _moments(table: pyarrow.Table, name: str, found: Found) -> Vector:
    values = np.full(len(table), np.nan)
    wrong = np.zeros(len(table), dtype=bool)
    for i, given in enumerate(texts(table, name).to_pylist()):
        try:
            values[i] = np.nan if given is None else moment(given, name)
        except InvalidInputError:
            wrong[i] = True
    found.add(wrong, name, "give a time as ISO 8601 has it")
    return values


def _contexts(table: pyarrow.Table, categories: list[str], affinities: list[str], found: Found) -> pyarrow.Array:
    import pyarrow

    x = np.zeros((len(table), SLOTS + len(affinities) + 1))
    x[:, -1] = 1.0
    for name in categories:
        values, codes = encoded(texts(table, name))
        slots = [hashed([(f"{name}={value}", 1.0)]) for value in values]
        x[:, :SLOTS] += np.array([*slots, np.zeros(SLOTS)])[codes]
    for k, name in enumerate(affinities):
        x[:, SLOTS + k] = np.nan_to_num(_numbers(table, name, found))
    ends = np.arange(0, x.size + 1, x.shape[1], dtype=np.int32)
    return pyarrow.ListArray.from_arrays(ends, x.ravel())


def _map(objectives: Mapping[str, Vector], n: int) -> pyarrow.Array:
    """The outcomes of each row that are not NaN."""
    import pyarrow

    values = np.concatenate([np.empty((n, 0)), *(each[:, None] for each in objectives.values())], axis=1)
    told = ~np.isnan(values)
    ends = np.concatenate([[0], np.cumsum(told.sum(axis=1))]).astype(np.int32)
    names = np.broadcast_to(np.array(list(objectives), dtype=object), values.shape)[told]
    return pyarrow.MapArray.from_arrays(ends, pyarrow.array(names, pyarrow.string()), values[told])


OPEN_BANDIT = Format(name="open-bandit", containers=("csv", "parquet"), knows=knows, read=read)
