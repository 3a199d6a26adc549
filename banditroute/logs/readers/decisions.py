"""Our own logs: a router's database, and its export as Parquet or JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from banditroute.admin.exports import read_tables
from banditroute.errors import BanditRouteError, InvalidConfigurationError, InvalidInputError
from banditroute.logs.readers.canonical import checked, schema, typed
from banditroute.logs.readers.log_format import Format, Reading
from banditroute.logs.readers.row_errors import MALFORMED
from banditroute.logs.readers.source import objects, tables

if TYPE_CHECKING:
    import pyarrow


def knows(reading: Reading) -> bool:
    """Whether the columns are ours."""
    return {"arm", "outcomes"} <= {*reading.source.names}


def read(reading: Reading) -> Iterator[pyarrow.Table]:
    """The decisions of one router, or of all."""
    if reading.columns:
        raise InvalidConfigurationError(
            f"{reading.source.address} is a log of ours, whose columns have their names; leave out columns="
        )
    read_as = {"database": _database, "parquet": _parquet, "jsonl": _jsonl}
    for table in read_as[reading.source.container](reading):
        if reading.router is not None:
            import pyarrow.compute as pc

            table = table.filter(pc.fill_null(pc.equal(table["router"], reading.router), False))
        yield table


def _database(reading: Reading) -> Iterator[pyarrow.Table]:
    import pyarrow

    address = reading.source.address
    begin = 1
    try:
        for table in read_tables(address if "://" in address else f"sqlite:///{address}", router=reading.router):
            yield checked(np.arange(begin, begin + len(table)), _ours(table, address), reading.damage)
            begin += len(table)
    except (pyarrow.ArrowException, *MALFORMED) as error:
        if isinstance(error, BanditRouteError):
            raise
        raise InvalidInputError(f"{address}: what it holds is damaged ({error}); see banditroute db verify") from error


def _parquet(reading: Reading) -> Iterator[pyarrow.Table]:
    names = [name for name in schema().names if name in reading.source.names]
    for numbers, table in tables(reading.source, names, reading.damage):
        yield checked(numbers, _ours(table, reading.source.address), reading.damage)


def _jsonl(reading: Reading) -> Iterator[pyarrow.Table]:
    return typed(objects(reading.source, reading.damage), reading.damage)


def _ours(table: pyarrow.Table, address: str) -> pyarrow.Table:
    """A table in the very types of our columns; those that it lacks are empty."""
    import pyarrow

    columns = {}
    for field in schema():
        try:
            given = table[field.name] if field.name in table.column_names else pyarrow.nulls(len(table), field.type)
            columns[field.name] = given.cast(field.type)
        except pyarrow.ArrowException as error:
            raise InvalidInputError(
                f"{address}: column {field.name} is {given.type}, expected is {field.type}: {error}"
            ) from error
    return pyarrow.table(columns, schema=schema())


DECISIONS = Format(name="decisions", containers=("database", "parquet", "jsonl"), knows=knows, read=read)
