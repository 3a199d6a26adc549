"""Our own logs: a router's database, and its export as Parquet or JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from banditroute.admin.exports import read_tables
from banditroute.core.addresses import shown_address
from banditroute.errors import BanditRouteError, InvalidConfigurationError, InvalidInputError
from banditroute.logs.readers.canonical import checked, schema, typed
from banditroute.logs.readers.log_format import Format, Reading
from banditroute.logs.readers.row_errors import MALFORMED
from banditroute.logs.readers.source import objects, tables
from banditroute.store.sql.existing import require_existing

if TYPE_CHECKING:
    import pyarrow


def knows(reading: Reading) -> bool:
    """Say whether the columns are ours."""
    return {"arm", "outcomes"} <= {*reading.source.names}


def read(reading: Reading) -> Iterator[pyarrow.Table]:
    """Yield the decisions of one router, or of all."""
    if any(ours != theirs for ours, theirs in reading.columns.items()):
        raise InvalidConfigurationError(
            f"{reading.damage.name} is in the format decisions, whose columns have fixed names; leave out columns="
        )
    read_as = {"database": _database, "parquet": _columns, "frame": _columns, "jsonl": _jsonl}
    for table in read_as[reading.source.container](reading):
        if reading.router is not None:
            import pyarrow.compute as pc

            table = table.filter(pc.fill_null(pc.equal(table["router"], reading.router), False))
        yield table


def _database(reading: Reading) -> Iterator[pyarrow.Table]:
    import pyarrow

    address = reading.source.address
    url = address if "://" in address else f"sqlite:///{address}"
    require_existing(url)
    begin = 1
    try:
        for table in read_tables(url, router=reading.router):
            yield checked(np.arange(begin, begin + len(table)), _ours(table, address), reading.damage)
            begin += len(table)
    except (pyarrow.ArrowException, *MALFORMED) as error:
        if isinstance(error, BanditRouteError):
            raise
        raise InvalidInputError(
            f"{shown_address(address)} holds damaged values ({error}); run banditroute db verify"
        ) from error


def _columns(reading: Reading) -> Iterator[pyarrow.Table]:
    names = [name for name in schema().names if name in reading.source.names]
    for numbers, table in tables(reading.source, names, reading.damage):
        yield checked(numbers, _ours(table, reading.source.address), reading.damage)


def _jsonl(reading: Reading) -> Iterator[pyarrow.Table]:
    return typed(objects(reading.source, reading.damage), reading.damage)


def _ours(table: pyarrow.Table, address: str) -> pyarrow.Table:
    """Return a table with exactly our columns and their types; columns that it lacks are null."""
    import pyarrow

    columns = {}
    for field in schema():
        try:
            given = table[field.name] if field.name in table.column_names else pyarrow.nulls(len(table), field.type)
            columns[field.name] = _cast(given, field.type)
        except pyarrow.ArrowException as error:
            raise InvalidInputError(
                f"{shown_address(address)}: column {field.name} is {given.type}, expected is {field.type}: {error}"
            ) from error
    return pyarrow.table(columns, schema=schema())


def _cast(given: pyarrow.ChunkedArray, kind: pyarrow.DataType) -> pyarrow.ChunkedArray:
    """Return a column as another type; structs, as polars and DuckDB write them, become maps of what is known."""
    import pyarrow

    if not (pyarrow.types.is_struct(given.type) and pyarrow.types.is_map(kind)):
        return given.cast(kind)
    rows = [row and [(name, value) for name, value in row.items() if value is not None] for row in given.to_pylist()]
    return pyarrow.chunked_array([pyarrow.array(rows, kind)])


def read_together(readings: Sequence[Reading]) -> Iterator[pyarrow.Table]:
    """Yield the decisions of files without those of earlier ones: an interrupted prune exports some twice.

    Our ids rise within a file and from the first id of one file to that of the next. So only the ids beyond the first
    one of the file before have to be remembered.
    """
    import pyarrow

    if len(readings) == 1:
        yield from read(readings[0])
        return
    earlier: set[str] = set()
    for reading in readings:
        own: set[str] = set()
        for table in read(reading):
            ids = table["id"].to_pylist()
            fresh = [id not in earlier for id in ids]
            for _ in range(len(ids) - sum(fresh)):
                reading.damage.leave_out("decision that an earlier file has")
            own.update(id for id in ids if id is not None)
            yield table.filter(pyarrow.array(fresh, pyarrow.bool_()))
        first = min(own, default="")
        earlier = {id for id in earlier if id >= first} | own


DECISIONS = Format(
    name="decisions",
    containers=("database", "parquet", "jsonl", "frame"),
    knows=knows,
    read=read,
    read_together=read_together,
)
