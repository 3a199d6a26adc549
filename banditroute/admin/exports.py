"""Hand the log on: all decisions with their outcomes, as Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from banditroute.admin._database import open_database

if TYPE_CHECKING:
    import pyarrow


def read_tables(url: str, *, router: str | None = None) -> Iterator[pyarrow.Table]:
    """Yield all decisions with their outcomes at this moment, some at a time, in the order of their ids.

    Columns as the table of decisions has them, lists and maps unpacked, and ``outcomes``; see docs/formats.md.
    """
    from banditroute.store.sql import retention

    database = open_database(url)
    with database.engine.connect() as connection, database.reading(connection):
        for ids in retention.all_decisions(connection, router):
            yield retention.records(connection, ids)


def export(url: str, path: str | Path, *, router: str | None = None) -> int:
    """Write all decisions with their outcomes to one Parquet file.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    path
        The file.
    router
        Only of this router. Default: of all in the database.

    Returns
    -------
    int
        How many decisions were written.
    """
    from pyarrow.parquet import ParquetWriter

    from banditroute.store.sql.retention import log_schema

    with ParquetWriter(Path(path), log_schema()) as file:
        return sum(file.write_table(table) or len(table) for table in read_tables(url, router=router))
