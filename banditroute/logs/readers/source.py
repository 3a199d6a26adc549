"""A file as numbered rows, whatever holds them: JSON lines or CSV, compressed or not, or Parquet."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from banditroute.errors import InvalidInputError
from banditroute.logs.readers.row_errors import Damage

if TYPE_CHECKING:
    import pyarrow

LINE_BYTES = 16 * 2**20
"""The longest line, and the longest row of a CSV file: what one row may cost of memory."""

ROWS_AT_ONCE = 4096
CHARACTERS_AT_ONCE = 2**23
"""Of prompts: fewer rows are held at once where they are long."""

_LINES_TO_KNOW = 20  # the first of them that is whole tells what a text file holds
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a log is, and what can be told of it at first sight.

    Attributes
    ----------
    address
        A path, or the URL of a database.
    container
        ``"database"``, ``"parquet"``, ``"csv"`` or ``"jsonl"``.
    names
        The columns, or the keys of the first record; none of a database.
    """

    address: str
    container: str
    names: tuple[str, ...] = ()


def files(address: str | Path) -> list[str]:
    """The files of a folder in the order of their names, but for hidden ones and those in the making; or the address.

    Raises
    ------
    InvalidInputError
        For a folder without files, or that cannot be read.
    """
    text = str(address)
    if "://" in text or not Path(text).is_dir():
        return [text]
    with _readable(text):
        found = sorted(path for path in Path(text).iterdir() if not path.name.startswith((".", "_")))
    if not (whole := [str(path) for path in found if path.suffix != ".part"]):
        raise InvalidInputError(f"{text} is a folder without files; a log has at least one")
    return whole


def look(address: str) -> Source:
    """Tell what is at an address, from its content.

    Raises
    ------
    InvalidInputError
        For what cannot be read, is empty, a pickle, or one JSON array.
    """
    if "://" in address:
        return Source(address=address, container="database")
    with _readable(address), open(address, "rb") as file:
        head = file.read(16)
    if head == b"SQLite format 3\x00":
        return Source(address=address, container="database")
    if head.startswith(_PICKLES):
        raise InvalidInputError(
            f"{address} looks like a pickle, which can run code when it is read; have who wrote it write CSV or Parquet"
        )
    if head.startswith(b"PAR1"):
        import pyarrow.parquet

        with _readable(address):
            return Source(address=address, container="parquet", names=tuple(pyarrow.parquet.read_schema(address).names))
    return _look_at_text(address)


def objects(source: Source, damage: Damage) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number and the object of every line of a JSON lines file."""
    for number, line in _lines(source.address, damage):
        try:
            record = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            damage.row(number, "JSON", f"cannot be read: {error}")
            continue
        if isinstance(record, dict):
            yield number, record
        else:
            damage.row(number, "JSON", f"is a {type(record).__name__}; give one object a line")


def tables(source: Source, names: Sequence[str], damage: Damage) -> Iterator[tuple[NDArray[np.int64], pyarrow.Table]]:
    """Some columns of a table, some rows at a time, with the numbers of the rows.

    From Parquet they come in their types, from text as strings, in which nothing is "".
    """
    by_container = {"parquet": _parquet, "csv": _csv, "jsonl": _json_columns}
    return by_container[source.container](source, names, damage)


@contextmanager
def _readable(address: str) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (OSError, pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{address} cannot be read: {' '.join(str(error).split())}") from error


@contextmanager
def _unpacked(address: str) -> Iterator[io.BufferedReader]:
    import pyarrow

    with open(address, "rb") as file:
        head = file.read(4)
    found = (name for magic, name in _COMPRESSIONS.items() if head.startswith(magic))
    with pyarrow.input_stream(address, compression=next(found, None)) as stream, io.BufferedReader(stream) as file:
        yield file


def _lines(address: str, damage: Damage) -> Iterator[tuple[int, bytes]]:
    """The number and the bytes of every line that is not blank."""
    number = 0
    try:
        with _unpacked(address) as file:
            while line := file.readline(LINE_BYTES):
                number += 1
                line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                if len(line) == LINE_BYTES and not line.endswith(b"\n"):
                    while (rest := file.readline(LINE_BYTES)) and not rest.endswith(b"\n"):
                        pass
                    damage.row(number, "line", f"is longer than {LINE_BYTES:,} bytes; give one record a line")
                elif line.strip():
                    yield number, line
    except OSError as error:  # of a file that is cut off, what was there is read
        damage.row(number + 1, "file", f"cannot be read on: {error}")


def _look_at_text(address: str) -> Source:
    first = b""
    with _readable(address), _unpacked(address) as file:
        for _ in range(_LINES_TO_KNOW):
            line = file.readline(LINE_BYTES).removeprefix(codecs.BOM_UTF8).strip()
            first = first or line
            try:
                record = json.loads(line) if line.startswith(b"{") else None
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                return Source(address=address, container="jsonl", names=tuple(record))
    if not first:
        raise InvalidInputError(f"{address} is empty; a log has at least one row")
    if first.startswith(b"["):
        raise InvalidInputError(
            f"{address} looks like one JSON array; give one object a line, as `jq -c '.[]'` writes them"
        )
    if first.startswith(b"{"):
        return Source(address=address, container="jsonl")
    return Source(address=address, container="csv", names=_header(first, address))


def _header(line: bytes, address: str) -> tuple[str, ...]:
    try:
        names = tuple(next(csv.reader([line.decode()])))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{address}: the first line is no header of CSV, and no JSON: {error}") from error
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()
    if twice:
        raise InvalidInputError(f"{address} has the column {min(twice)!r} twice; rename one")
    return names


def _parquet(source: Source, names: Sequence[str], damage: Damage) -> Iterator[tuple[NDArray[np.int64], pyarrow.Table]]:
    import pyarrow
    import pyarrow.parquet

    begin = 1
    with _readable(source.address), pyarrow.parquet.ParquetFile(source.address, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(names), use_threads=False):
            batch.validate(full=True)  # texts that are none would stop later steps
            yield np.arange(begin, begin + batch.num_rows), pyarrow.Table.from_batches([batch])
            begin += batch.num_rows


def _json_columns(
    source: Source, names: Sequence[str], damage: Damage
) -> Iterator[tuple[NDArray[np.int64], pyarrow.Table]]:
    import pyarrow

    numbers: list[int] = []
    columns: dict[str, list[str]] = {name: [] for name in names}
    characters = 0

    def taken() -> tuple[NDArray[np.int64], pyarrow.Table]:
        table = pyarrow.table({name: pyarrow.array(values, pyarrow.string()) for name, values in columns.items()})
        return np.array(numbers), table

    for number, record in objects(source, damage):
        wrong = [name for name in names if isinstance(record.get(name), dict | list)]
        if wrong:
            damage.row(number, wrong[0], "is a list or an object; give a text or a number")
            continue
        numbers.append(number)
        for name, values in columns.items():
            value = record.get(name)
            values.append("" if value is None else str(value).encode("utf-8", "replace").decode())
            characters += len(values[-1])
        if len(numbers) == ROWS_AT_ONCE or characters > CHARACTERS_AT_ONCE:
            yield taken()
            characters = 0
            numbers.clear()
            for values in columns.values():
                values.clear()
    if numbers:
        yield taken()


def _csv(source: Source, names: Sequence[str], damage: Damage) -> Iterator[tuple[NDArray[np.int64], pyarrow.Table]]:
    """Row 1 is the header. Bytes that are no UTF-8 become U+FFFD, as pyarrow cannot tell of such a row otherwise."""
    import pyarrow
    import pyarrow.csv

    passed: list[int] = []
    refused: list[InvalidInputError] = []

    def wrong(row: pyarrow.csv.InvalidRow) -> str:
        try:
            damage.row(row.number, "columns", f"are {row.actual_columns}, by the header {row.expected_columns}")
        except InvalidInputError as error:  # raised below: what is raised here, pyarrow only prints
            refused.append(error)
            return "error"
        passed.append(row.number)
        return "skip"

    read = pyarrow.csv.ReadOptions(use_threads=False, column_names=source.names, skip_rows=1, block_size=LINE_BYTES)
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=wrong)
    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(names),
        column_types=dict.fromkeys(names, pyarrow.string()),
        strings_can_be_null=False,
    )
    begin = 2
    try:
        with (
            _readable(source.address),
            _unpacked(source.address) as packed,
            codecs.EncodedFile(packed, "utf-8", errors="replace") as file,
            pyarrow.csv.open_csv(file, read_options=read, parse_options=parse, convert_options=convert) as reader,
        ):
            for batch in reader:
                candidates = np.arange(begin, begin + batch.num_rows + len(passed))
                numbers = np.setdiff1d(candidates, passed)[: batch.num_rows]
                begin = int(numbers[-1]) + 1 if len(numbers) else begin
                passed[:] = [row for row in passed if row >= begin]
                yield numbers, pyarrow.Table.from_batches([batch])
    except InvalidInputError:
        if refused:
            raise refused.pop() from None  # kept, it would keep this frame, by ways that no collector sees
        raise


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON; leave out what is not known")
