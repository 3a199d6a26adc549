"""Tables of outcomes: one row for each query and arm (long), or one for each query (wide, as RouterBench has it)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from banditroute.core.validation import LARGEST
from banditroute.errors import InvalidInputError
from banditroute.logs.readers.canonical import RANGES
from banditroute.logs.readers.columns import named, numbers, texts
from banditroute.logs.readers.log_format import Format, Reading
from banditroute.logs.readers.row_errors import Damage, Found
from banditroute.logs.readers.source import tables

if TYPE_CHECKING:
    import pyarrow

LONG_FIELDS: Mapping[str, str] = {
    "query_id": "query_id",
    "arm": "model",
    "prompt": "prompt",
    "task": "dataset",
    "quality": "score",
    "cost_usd": "cost_usd",
    "energy_joules": "energy_j",
    "latency_seconds": "latency_s",
    "output_tokens": "output_tokens",
}
"""Our name -> the column of a long table, which is the form that we write."""

_WIDE_FIELDS = {"query_id": "sample_id", "prompt": "prompt", "task": "eval_name", "cost_usd": "total_cost"}
NAMES = ("query_id", "arm", "prompt", "task")
"""What the columns are called that are no objectives."""


def _knows_long(reading: Reading) -> bool:
    fields = {**LONG_FIELDS, **reading.columns}
    return {fields["query_id"], fields["arm"], fields["quality"]} <= {*reading.source.names}


def _knows_wide(reading: Reading) -> bool:
    fields = {**_WIDE_FIELDS, **reading.columns}
    return fields["query_id"] in reading.source.names and bool(_arms(reading.source.names, fields))


def _long(reading: Reading) -> Iterator[pyarrow.Table]:
    fields = {**LONG_FIELDS, **reading.columns}
    reading.require(fields["query_id"], fields["arm"], fields["quality"], *reading.columns.values())
    if reading.source.container != "jsonl":  # where a record leaves out what it does not have, the first one too
        fields = {ours: theirs for ours, theirs in fields.items() if theirs in reading.source.names}
    for positions, table in tables(reading.source, list(dict.fromkeys(fields.values())), reading.damage):
        yield _checked(positions, table, fields, reading.damage)


def _wide(reading: Reading) -> Iterator[pyarrow.Table]:
    import pyarrow

    has = reading.source.names
    fields = {**_WIDE_FIELDS, **reading.columns}
    arms = _arms(has, fields)
    ends = {name.rpartition("|")[2] for name in has}
    reading.require(fields["query_id"], *(theirs for theirs in reading.columns.values() if theirs not in ends))
    if not arms:
        raise InvalidInputError(
            f"{reading.source.address} has no pair of columns ARM and ARM|{fields['cost_usd']}; it has "
            f"{', '.join(has[:20])}"
        )
    about = {ours: fields[ours] for ours in NAMES if fields.get(ours) in has}
    of_arm = {
        arm: {"quality": arm}
        | {ours: f"{arm}|{theirs}" for ours, theirs in fields.items() if ours not in NAMES and f"{arm}|{theirs}" in has}
        for arm in arms
    }
    wanted = [*about.values(), *(name for columns in of_arm.values() for name in columns.values())]
    for positions, table in tables(reading.source, wanted, reading.damage):
        parts = []
        for arm, columns in of_arm.items():
            scores, wrong = numbers(table, columns["quality"])
            answered = wrong | ~np.isnan(scores)  # an arm without a score was not asked
            rows = table.filter(answered).append_column(
                "", pyarrow.array([arm] * int(answered.sum()), pyarrow.string())
            )
            part = _checked(positions[answered], rows, {**about, "arm": "", **columns}, reading.damage)
            parts.append(part)
        yield pyarrow.concat_tables(parts, promote_options="default")


def _arms(has: tuple[str, ...], fields: Mapping[str, str]) -> list[str]:
    ends = [f"|{theirs}" for ours, theirs in fields.items() if ours not in NAMES]
    return [name for name in has if any(f"{name}{end}" in has for end in ends)]


def _checked(
    positions: NDArray[np.int64], table: pyarrow.Table, fields: Mapping[str, str], damage: Damage
) -> pyarrow.Table:
    """The rows that can be used, under our names."""
    import pyarrow

    found = Found(table)
    columns: dict[str, pyarrow.ChunkedArray] = {}
    for ours, theirs in fields.items():
        if ours in NAMES:
            columns[ours] = texts(table, theirs)
            if ours in ("query_id", "arm"):
                found.add(~named(columns[ours]), theirs, "every row names it")
            continue
        values, wrong = numbers(table, theirs)
        low, high = RANGES.get(ours, (-LARGEST, LARGEST))
        with np.errstate(invalid="ignore"):
            wrong |= (values < low) | (values > high)
        if ours == "quality":
            wrong |= np.isnan(values)
        found.add(wrong, theirs, f"give a number in [{low:g}, {high:g}]; scale or drop it")
        columns[ours] = pyarrow.chunked_array([pyarrow.array(values, from_pandas=True)])
    found.tell(positions, damage)
    return pyarrow.table(columns).filter(~found.rows)


LONG = Format(name="long", containers=("parquet", "csv", "jsonl"), knows=_knows_long, read=_long, of_outcomes=True)
WIDE = Format(name="wide", containers=("parquet", "csv", "jsonl"), knows=_knows_wide, read=_wide, of_outcomes=True)
