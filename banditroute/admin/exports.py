"""Hand the log on: all decisions with their outcomes, as Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from banditroute.admin._database import open_database
from banditroute.core.files import written_whole
from banditroute.core.optional_imports import optional
from banditroute.errors import InvalidConfigurationError

if TYPE_CHECKING:
    import pyarrow


def read_tables(url: str, *, router: str | None = None) -> Iterator[pyarrow.Table]:
    """Yield all decisions with their outcomes, some at a time, in the order of their ids.

    Each part is as of the moment when it is read: a transaction that stayed open until the last part is used would let
    the write-ahead log of SQLite grow without bound.

    Columns as the table of decisions has them, lists and maps unpacked, and ``outcomes``; docs/reference/formats.md
    lists them.
    """
    from banditroute.store.sql import retention

    database = open_database(url, writes=False)
    last = ""
    while ids := database.read(partial(retention.decisions_after, router=router, last=last)):
        yield database.read(partial(retention.records, ids=ids))
        last = ids[-1]


def export(url: str, path: str | Path, *, router: str | None = None) -> int:
    """Write all decisions with their outcomes to one Parquet file.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    path
        The file; it is written whole or not at all, and a link of that name is replaced.
    router
        Only of this router. Default: of all in the database.

    Returns
    -------
    int
        How many decisions were written.

    Raises
    ------
    InvalidConfigurationError
        If the file is the database itself.
    """
    parquet = optional("pyarrow.parquet", extra="logs")
    from banditroute.store.sql.existing import sqlite_file
    from banditroute.store.sql.retention import log_schema

    out, source = Path(path), sqlite_file(url)
    owned = [] if source is None else [Path(f"{source}{suffix}").resolve() for suffix in ("", "-wal", "-shm")]
    if out.resolve() in owned or (source is not None and source.exists() and out.exists() and out.samefile(source)):
        raise InvalidConfigurationError(f"{out} is the database itself; give another name")
    with written_whole(out) as part, parquet.ParquetWriter(part, log_schema()) as file:
        return sum(file.write_table(table) or len(table) for table in read_tables(url, router=router))
