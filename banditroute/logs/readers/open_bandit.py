"""The Open Bandit Dataset (Saito et al. 2021): one recommended item a row, with its propensity and its click."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from banditroute.logs.readers.canonical import encoded
from banditroute.logs.readers.columns import numbers, texts
from banditroute.logs.readers.hashed import SLOTS, hashed
from banditroute.logs.readers.log_format import Fields, Format, Reading
from banditroute.logs.readers.names import our_name
from banditroute.logs.readers.row_errors import Found
from banditroute.logs.readers.tabular import decisions

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


def knows(reading: Reading) -> bool:
    """Say whether the columns are those of the data set."""
    fields = reading.fields(_FIELDS).columns
    return {fields["arm"], fields["propensity"], _POSITION} <= {*reading.source.names}


def read(reading: Reading) -> Iterator[pyarrow.Table]:
    """Yield every row; its context is its hashed categories, its affinities and the bias, its task is its position."""
    has = reading.source.names
    fields = reading.fields(_FIELDS)
    reading.require(fields.columns["arm"], fields.columns["propensity"])
    for name in reading.columns:
        reading.require(fields.columns[our_name(name, _FIELDS)])
    present = {ours: theirs for ours, theirs in fields.columns.items() if theirs in has}
    categories = [name for name in has if name.startswith("user_feature_") or name == _POSITION]
    affinities = [name for name in has if name.startswith("user-item_affinity_")]
    yield from decisions(
        reading,
        Fields(columns=present, factors=fields.factors),
        [*categories, *affinities],
        lambda table, found: _contexts(table, categories, affinities, found),
    )


def _contexts(table: pyarrow.Table, categories: list[str], affinities: list[str], found: Found) -> pyarrow.Array:
    import pyarrow as arrow

    x = np.zeros((len(table), SLOTS + len(affinities) + 1))
    x[:, -1] = 1.0
    for name in categories:
        values, codes = encoded(texts(table, name))
        slots = [hashed([(f"{name}={value}", 1.0)]) for value in values]
        x[:, :SLOTS] += np.array([*slots, np.zeros(SLOTS)])[codes]
    for k, name in enumerate(affinities):
        affinity, wrong = numbers(table, name)
        found.add(wrong, name, "give a number")
        x[:, SLOTS + k] = np.nan_to_num(affinity)
    ends = np.arange(0, x.size + 1, x.shape[1], dtype=np.int32)
    return arrow.ListArray.from_arrays(ends, x.ravel())


OPEN_BANDIT = Format(name="open-bandit", containers=("csv", "parquet", "frame"), knows=knows, read=read)
