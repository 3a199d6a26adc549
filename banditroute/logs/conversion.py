"""Writing a log in our own form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.logs.readers.outcomes import LONG_FIELDS
from banditroute.logs.readers.read import LogFile

if TYPE_CHECKING:
    import pyarrow

_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".lz4": "lz4", ".zst": "zstd"}


def convert(log: LogFile, out: str | Path) -> int:
    """Write a log in our own form, whatever its size, and return how many rows that are.

    Parameters
    ----------
    log
        As :func:`open_log` gives it.
    out
        A name that ends in ``.parquet`` or ``.jsonl``, the latter also followed by ``.gz``, ``.bz2``, ``.lz4`` or
        ``.zst``. It is there whole, or not at all.

    Raises
    ------
    InvalidConfigurationError
        For a name with another ending, and for that of the log itself.
    InvalidInputError
        As :meth:`LogFile.tables` raises it, for a log without any row that can be used, and if ``out`` cannot be
        written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from banditroute.logs.readers import open_log, read_log
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
    given = Path(log.address)
    if any(each.exists() and given.exists() and each.samefile(given) for each in (path, path.parent)):
        raise InvalidConfigurationError(f"{path} is, or is in, the log that is read; give another name")
    part = path.with_name(f"{path.name}.part")
    written = 0
    try:
        with _writer(path, part) as write:
            for table in log.tables():
                if log.format.of_outcomes:
                    table = table.rename_columns([LONG_FIELDS.get(name, name) for name in table.column_names])
                write(table)
                written += len(table)
        if not written:
            raise InvalidInputError(f"{log.address} has no rows that can be used")
        part.replace(path)
    except OSError as error:  # of reading, it would be another
        raise InvalidInputError(f"{path} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return written


@contextmanager
def _writer(path: Path, part: Path) -> Iterator[Callable[[pyarrow.Table], None]]:
    """Writes tables of one schema to ``part``, in the form that the ending of ``path`` says."""
    import pyarrow
    import pyarrow.parquet

    compression = _COMPRESSIONS.get(path.suffix)
    form = path.with_suffix("").suffix if compression else path.suffix
    if form == ".jsonl":
        with pyarrow.output_stream(str(part), compression=compression) as stream:
            yield lambda table: stream.write("".join(map(_line, table.to_pylist(maps_as_pydicts="strict"))).encode())
    elif path.suffix == ".parquet":
        with ExitStack() as stack:
            files: list[pyarrow.parquet.ParquetWriter] = []

            def write(table: pyarrow.Table) -> None:
                if not files:
                    files.append(stack.enter_context(pyarrow.parquet.ParquetWriter(str(part), table.schema)))
                files[0].write_table(table)

            yield write
    else:
        raise InvalidConfigurationError(f"{path} ends in {path.suffix!r}; name it .parquet, .jsonl or .jsonl.gz")


def _line(row: dict[str, Any]) -> str:
    told = {name: value for name, value in row.items() if value is not None}
    return json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n"
