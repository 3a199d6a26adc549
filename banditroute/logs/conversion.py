"""Write a log in our own form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banditroute.core.addresses import shown_address
from banditroute.core.files import written_whole
from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.logs.readers.outcomes import LONG_FIELDS
from banditroute.logs.readers.read import LogFile
from banditroute.store.sql.existing import sqlite_file

if TYPE_CHECKING:
    import pyarrow

_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".lz4": "lz4", ".zst": "zstd"}


def convert(log: LogFile, out: str | Path) -> int:
    """Write a log of any size in our own form, and return the number of its rows.

    Parameters
    ----------
    log
        As :func:`~banditroute.logs.open_log` returns it.
    out
        A name that ends in ``.parquet`` or ``.jsonl``, the latter also followed by ``.gz``, ``.bz2``, ``.lz4`` or
        ``.zst``. The file is written whole or not at all; a link of that name is replaced, not followed.

    Raises
    ------
    InvalidConfigurationError
        If the name has another ending, or is that of the log itself or of a file in its folder.
    InvalidInputError
        If the log cannot be read (see :meth:`LogFile.tables`), no row of it can be used, or ``out`` cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from banditroute.logs import open_log, read_log
    >>> directory = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(directory.name)
    >>> _ = (path / "calls.jsonl").write_text('{"request_id": "1", "model": "small", "spend": 0.01, "startTime": 0}')
    >>> convert(open_log(path / "calls.jsonl"), path / "calls.parquet")
    1
    >>> read_log(path / "calls.parquet").arms
    ('small',)
    >>> directory.cleanup()
    """
    path = Path(out)
    writer = _writer_for(path)
    try:
        _refuse_source(log, path)
        with written_whole(path) as part:
            written = 0
            with writer(part) as write:
                for table in log.tables():
                    if log.format.of_outcomes:
                        table = table.rename_columns([LONG_FIELDS.get(name, name) for name in table.column_names])
                    write(table)
                    written += len(table)
            if not written:
                raise InvalidInputError(f"{log.address} has no rows that can be used")
    except OSError as error:  # errors of reading are InvalidInputError
        raise InvalidInputError(f"{path} cannot be written: {error.strerror or error}") from error
    return written


def _refuse_source(log: LogFile, path: Path) -> None:
    """Raise if the output is the log, or a file in its folder."""
    for reading in log.readings:
        address = reading.source.address
        given = sqlite_file(address) if "://" in address else Path(address)
        if given is None or reading.source.frame is not None or not given.exists():
            continue
        of_a_folder = log.address != shown_address(address)
        in_folder = of_a_folder and path.parent.exists() and path.parent.samefile(given.parent)
        if in_folder or (path.exists() and path.samefile(given)):
            raise InvalidConfigurationError(f"{path} is, or is in, the log that is read; give another name")


def _writer_for(path: Path) -> Callable[[Path], Any]:
    """Return the writer of the form that a name asks for."""
    compression = _COMPRESSIONS.get(path.suffix)
    if (path.with_suffix("").suffix if compression else path.suffix) == ".jsonl":
        return lambda part: _json_lines(part, compression)
    if path.suffix == ".parquet":
        return _parquet
    raise InvalidConfigurationError(f"{path} ends in {path.suffix!r}; name it .parquet, .jsonl or .jsonl.gz")


@contextmanager
def _json_lines(part: Path, compression: str | None) -> Iterator[Callable[[pyarrow.Table], Any]]:
    import pyarrow

    with pyarrow.output_stream(str(part), compression=compression) as stream:
        yield lambda table: stream.write("".join(map(_line, table.to_pylist(maps_as_pydicts="strict"))).encode())


@contextmanager
def _parquet(part: Path) -> Iterator[Callable[[pyarrow.Table], Any]]:
    import pyarrow.parquet

    with ExitStack() as stack:
        files: list[pyarrow.parquet.ParquetWriter] = []

        def write(table: pyarrow.Table) -> None:
            if not files:  # the first table says which columns there are
                files.append(stack.enter_context(pyarrow.parquet.ParquetWriter(str(part), table.schema)))
            files[0].write_table(table)

        yield write


def _line(row: dict[str, Any]) -> str:
    known = {name: value for name, value in row.items() if value is not None}
    return json.dumps(known, ensure_ascii=False, allow_nan=False) + "\n"
