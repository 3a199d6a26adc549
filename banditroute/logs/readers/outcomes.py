"""Tables of outcomes: a row for each query and arm (long), or a row for each query (wide)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from banditroute.core.validation import LARGEST
from banditroute.errors import InvalidInputError
from banditroute.logs.readers.canonical import RANGES
from banditroute.logs.readers.columns import named, numbers, texts
from banditroute.logs.readers.log_format import Fields, Format, Reading, shown
from banditroute.logs.readers.names import USUAL_NAMES, usual_columns
from banditroute.logs.readers.row_errors import Damage, Found
from banditroute.logs.readers.source import tables

if TYPE_CHECKING:
    import pyarrow

NAMES = ("query_id", "arm", "prompt", "task")
"""Our names of the columns that are not objectives."""

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
"""Our name -> the column that we write to a long table."""

_CONTAINERS = ("parquet", "csv", "jsonl", "frame")
_BETWEEN = re.compile(r"[\W_]+")  # the characters between an arm and the name of its outcome
_NO_COLUMN = ""  # in place of the column that names the arm of a wide table


def _long_fields(reading: Reading) -> Fields:
    """Return the columns of a long table; of JSON, where the first records may lack some, all that are usual."""
    has = reading.source.names
    usual = usual_columns(has, tuple(LONG_FIELDS))
    if reading.source.container == "jsonl":
        usual = {ours: usual.get(ours, theirs) for ours, theirs in LONG_FIELDS.items()}
    return reading.fields({ours: theirs for ours, theirs in usual.items() if ours in LONG_FIELDS})


def _knows_long(reading: Reading) -> bool:
    columns = _long_fields(reading).columns
    return all(ours in columns and reading.source.has(columns[ours]) for ours in LONG.needs)


def _long(reading: Reading) -> Iterator[pyarrow.Table]:
    fields = _long_fields(reading)
    asked = reading.fields({}).columns.values()
    reading.require(*(fields.columns.get(ours, LONG_FIELDS[ours]) for ours in LONG.needs), *asked)
    for positions, table in tables(reading.source, list(dict.fromkeys(fields.columns.values())), reading.damage):
        yield _checked(positions, table, fields, reading.damage)


def _wide_fields(reading: Reading) -> tuple[dict[str, str], dict[str, dict[str, str]], Mapping[str, float]]:
    """Return the columns about the query, the columns of each arm, and the factors of objectives."""
    has = reading.source.names
    asked = reading.fields(usual_columns(has, NAMES))
    about = {ours: theirs for ours, theirs in asked.columns.items() if ours in NAMES and ours != "arm"}
    endings = {theirs: ours for ours in RANGES for theirs in reversed(USUAL_NAMES[ours])}
    endings |= {theirs: ours for ours, theirs in asked.columns.items() if ours not in NAMES}
    arms: dict[str, dict[str, str]] = {}
    taken = {*about.values()}
    for name in has:
        if name not in taken and (found := _arm_and_ending(name, endings)):
            arm, ending = found
            arms.setdefault(arm, {})[endings[ending]] = name
    order = {name: k for k, name in enumerate(has)}
    for arm, columns in arms.items():  # RouterBench: the column of the arm's own name is its score
        if "quality" not in columns and arm in order:
            columns["quality"] = arm
    whole = {arm: columns for arm, columns in arms.items() if "quality" in columns}
    return about, dict(sorted(whole.items(), key=lambda each: order[each[1]["quality"]])), asked.factors


def _arm_and_ending(name: str, endings: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the arm and the outcome in ``ARM|score``, ``ARM_score`` or ``score:ARM``; the longest outcome wins."""
    found = []
    for ending in endings:
        for arm, rest in ((name.removesuffix(ending), "after"), (name.removeprefix(ending), "before")):
            between = _BETWEEN.search(arm[::-1] if rest == "after" else arm)
            if arm != name and between and between.start() == 0 and between.end() < len(arm):
                found.append((len(ending), rest == "after", arm, ending, between.end()))
    if not found:
        return None
    _, after, arm, ending, width = max(found)
    return (arm[:-width] if after else arm[width:]), ending


def _knows_wide(reading: Reading) -> bool:
    about, arms, _ = _wide_fields(reading)
    return len(arms) > 1 or (len(arms) == 1 and "query_id" in about)


def _wide(reading: Reading) -> Iterator[pyarrow.Table]:
    import pyarrow as arrow

    has = reading.source.names
    about, arms, factors = _wide_fields(reading)
    ends = {
        theirs
        for name in has
        for theirs in reading.fields({}).columns.values()
        if name.endswith(theirs) or name.startswith(theirs)
    }
    reading.require(*about.values(), *(theirs for theirs in reading.fields({}).columns.values() if theirs not in ends))
    if not arms:
        raise InvalidInputError(
            f"{reading.damage.name} has no pair of columns such as ARM and ARM|total_cost, or ARM_score and "
            f"ARM_cost_usd; it has {shown(has)}"
        )
    wanted = dict.fromkeys([*about.values(), *(name for columns in arms.values() for name in columns.values())])
    stem = Path(reading.source.address).name
    for positions, table in tables(reading.source, list(wanted), reading.damage):
        if "query_id" not in about:  # a row is a query
            ids = arrow.array([f"{stem} {number}" for number in positions.tolist()], arrow.string())
            table = table.append_column("query_id", ids)
        parts = []
        for arm, columns in arms.items():
            scores, wrong = numbers(table, columns["quality"])
            answered = wrong | ~np.isnan(scores)  # an arm without a score was not asked
            names = arrow.array([arm] * int(answered.sum()), arrow.string())
            rows = table.filter(arrow.array(answered)).append_column(_NO_COLUMN, names)
            of_arm = Fields(columns={"query_id": "query_id", **about, "arm": _NO_COLUMN, **columns}, factors=factors)
            parts.append(_checked(positions[answered], rows, of_arm, reading.damage))
        yield arrow.concat_tables(parts, promote_options="default")


def _checked(positions: NDArray[np.int64], table: pyarrow.Table, fields: Fields, damage: Damage) -> pyarrow.Table:
    """Return the rows that can be used, under our names."""
    import pyarrow as arrow

    found = Found(table, arm=fields.columns.get("arm"))
    columns: dict[str, pyarrow.ChunkedArray] = {}
    for ours, theirs in fields.columns.items():
        if ours in NAMES:
            columns[ours] = texts(table, theirs)
            if ours in ("query_id", "arm"):
                found.add(~named(columns[ours]), theirs, "every row needs one")
            continue
        values, wrong = numbers(table, theirs, fields.factor(ours))
        low, high = RANGES.get(ours, (-LARGEST, LARGEST))
        with np.errstate(invalid="ignore"):
            wrong |= (values < low) | (values > high)
        if ours == "quality":
            wrong |= np.isnan(values)
        found.add(wrong, theirs, f"give a number in [{low:g}, {high:g}]; scale or drop it")
        columns[ours] = arrow.chunked_array([arrow.array(values, from_pandas=True)])
    found.report(positions, damage)
    return arrow.table(columns).filter(arrow.array(~found.rows))


LONG = Format(
    name="long",
    containers=_CONTAINERS,
    knows=_knows_long,
    read=_long,
    of_outcomes=True,
    needs=("query_id", "arm", "quality"),
)
WIDE = Format(name="wide", containers=_CONTAINERS, knows=_knows_wide, read=_wide, of_outcomes=True)
