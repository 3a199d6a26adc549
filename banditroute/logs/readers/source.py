"""Numbered rows of a file or a frame, whatever holds them: JSON lines, CSV, Parquet, or a data frame."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from banditroute.core.addresses import shown_address
from banditroute.errors import InvalidInputError
from banditroute.logs.readers.frames import readable_frame, stream_of
from banditroute.logs.readers.row_errors import Damage
from banditroute.logs.readers.text_file import text_of

if TYPE_CHECKING:
    import pyarrow

LINE_BYTES = 16 * 2**20
"""The longest line, text or record: the memory that one row may cost."""

ROWS_AT_ONCE = 4096
CHARACTERS_AT_ONCE = 2**23
"""Of prompts: fewer rows are held at once where they are long."""

_LINES_TO_KNOW = 20  # lines, not blank, by which a text file is recognised
_MOST_COLUMNS = 20_000
_BLOCK_BYTES = 2**22  # of CSV that is parsed at once
_MOST_BLANK_LINES = 1_000_000  # in a row; more are a mistake or an attack
_MOST_LINE_BLOCKS = 64  # of LINE_BYTES: how far the end of a line that is too long is looked for
_MOST_EXPANSION = 1000  # bytes of text in memory for a byte of a Parquet file
_ALWAYS_ALLOWED_BYTES = 2**30  # of text from one Parquet file, however small it is
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]')  # and whole strings, in which brackets do not count
_SEPARATORS = (",", ";", "\t")
_RARE_SEPARATOR = "|"  # wide tables have it within names: it counts only where none of the others parts the line
_STATED_SEPARATOR = re.compile(rb'"?sep=.?"?', re.IGNORECASE)  # a first line of Excel's, without its spaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The place of a log, and what is known of it at first sight.

    Attributes
    ----------
    address
        A path, the URL of a database, or the type of a frame.
    container
        ``"database"``, ``"parquet"``, ``"csv"``, ``"jsonl"`` or ``"frame"``.
    names
        The columns, or the keys of the first records; empty for a database.
    separator
        The character between two cells of a CSV file.
    record_per_line
        Whether each JSON record stands on a line of its own; pretty-printed ones take several lines.
    frame
        The data frame, if it is one.
    """

    address: str
    container: str
    names: tuple[str, ...] = ()
    separator: str = ","
    record_per_line: bool = True
    frame: Any = None

    def has(self, name: str) -> bool:
        """Say whether there is such a column; in JSON it may be a path of keys, joined by dots."""
        return name in self.names or (self.container == "jsonl" and name.partition(".")[0] in self.names)


def files(address: object) -> list[Any]:
    """Return the files of a folder, sorted by name, or the address itself if it is no folder.

    Hidden files, and those whose name begins with ``_`` or ends in ``.part``, are left out.

    Raises
    ------
    InvalidInputError
        If the folder is empty or cannot be read.
    """
    if not isinstance(address, str | Path):
        return [address]
    text = str(address)
    with _readable(text):
        if "://" in text or not Path(text).is_dir():
            return [text]
        found = sorted(path for path in Path(text).iterdir() if not path.name.startswith((".", "_")))
    if not (whole := [str(path) for path in found if path.suffix != ".part"]):
        raise InvalidInputError(f"{text} is a folder without files; a log has at least one")
    return whole


def look(address: Any) -> Source:
    """Find out what is at an address, from its content.

    Raises
    ------
    InvalidInputError
        If it cannot be read, is empty, is a pickle, has too many columns, or is no file but a pipe or a device.
    """
    found = _look(address)
    if len(found.names) > _MOST_COLUMNS:
        raise InvalidInputError(
            f"{shown_address(found.address)} has {len(found.names):,} columns; at most {_MOST_COLUMNS:,} are read"
        )
    return found


def _look(address: Any) -> Source:
    if not isinstance(address, str):
        frame = readable_frame(address)
        names = tuple(stream_of(frame).schema.names)
        return Source(address=f"the {type(address).__name__}", container="frame", names=names, frame=frame)
    if "://" in address:
        return Source(address=address, container="database")
    with _readable(address):
        if not stat.S_ISREG(Path(address).stat().st_mode):
            raise InvalidInputError(f"{address} is a pipe or a device; save its content as a file first")
        with open(address, "rb") as file:
            head = file.read(16)
    if head == b"SQLite format 3\x00":
        return Source(address=address, container="database")
    if head.startswith(_PICKLES):
        raise InvalidInputError(
            f"{address} looks like a pickle, which can run code when it is read; ask its author for CSV or Parquet"
        )
    if head.startswith(b"PAR1"):
        import pyarrow.parquet as parquet

        with _readable(address):
            return Source(address=address, container="parquet", names=tuple(parquet.read_schema(address).names))
    return _look_at_text(address)


def objects(source: Source, damage: Damage) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the object of every JSON record: of its line, or where it takes several, a running one."""
    texts = _lines(source.address, damage) if source.record_per_line else _blocks(source.address, damage)
    count = 0
    for number, text in texts:
        try:
            value = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            damage.row(number, "JSON", f"cannot be read: {error}")
            continue
        for record in value if isinstance(value, list) and not source.record_per_line else (value,):
            count += 1
            at = number if source.record_per_line else count
            if isinstance(record, dict):
                yield at, record
            else:
                damage.row(at, "JSON", f"is a {type(record).__name__}; give one object a line")


def tables(source: Source, names: Sequence[str], damage: Damage) -> Iterator[tuple[NDArray[np.int64], pyarrow.Table]]:
    """Yield some columns of a table, some rows at a time, with the numbers of the rows.

    From Parquet and frames they come in their types. From text they come as strings, where "" stands for nothing.

    Raises
    ------
    InvalidInputError
        If one of the columns is there twice.
    """
    counts = Counter(source.names)
    twice = sorted(name for name in names if counts[name] > 1)
    if twice:
        raise InvalidInputError(f"{source.address} has the column {twice[0]!r} twice; rename one of them")
    by_container = {"parquet": _parquet, "csv": _csv, "jsonl": _json_columns, "frame": _frame}
    return by_container[source.container](source, names, damage)


@contextmanager
def _readable(address: str) -> Iterator[None]:
    import pyarrow as arrow

    try:
        yield
    except (OSError, arrow.ArrowException, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)  # without the address, which may hold a password
        raise InvalidInputError(f"{shown_address(address)} cannot be read: {' '.join(why.split())[:300]}") from None


def _lines(address: str, damage: Damage) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of every line that is not blank."""
    number = blank = 0
    try:
        with text_of(address) as file:
            while line := file.readline(LINE_BYTES):
                number += 1
                line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                if len(line) == LINE_BYTES and not line.endswith(b"\n"):
                    damage.row(number, "line", f"is longer than {LINE_BYTES:,} bytes; give one record a line")
                    if not _end_of_line(file):
                        damage.row(number, "line", "has no end within a gigabyte; the rest of the file is not read")
                        return
                elif line.strip():
                    blank = 0
                    yield number, line
                elif (blank := blank + 1) > _MOST_BLANK_LINES:
                    damage.row(number, "line", f"follows {blank - 1:,} blank lines; the rest of the file is not read")
                    return
    except OSError as error:  # the file is cut off: its first part was read
        damage.row(number + 1, "file", f"cannot be read on: {error}")


def _end_of_line(file: io.BufferedReader) -> bool:
    """Read to the end of the present line, and say whether it was found."""
    for _ in range(_MOST_LINE_BLOCKS):
        rest = file.readline(LINE_BYTES)
        if not rest or rest.endswith(b"\n"):
            return True
    return False


def _blocks(address: str, damage: Damage) -> Iterator[tuple[int, bytes]]:
    """Yield the line number and the bytes of every JSON value that takes several lines."""
    begin = depth = size = 0
    parts: list[bytes] = []
    indented = False
    for number, line in _lines(address, damage):
        if parts and indented and line.startswith(b"{"):  # the value before has no end
            damage.row(begin, "JSON", "is cut off")
            parts, depth, size = [], 0, 0
        if not parts:
            begin = number
        elif len(parts) == 1:
            indented = parts[0].startswith(b"{") and line[:1].isspace()
        parts.append(line)
        size += len(line)
        for token in _BRACKETS.findall(line):
            depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
        if depth <= 0:
            if text := b"".join(parts).strip().strip(b","):
                yield begin, text
            parts, depth, size = [], 0, 0
        elif size > LINE_BYTES:
            damage.row(
                begin,
                "JSON",
                f"is longer than {LINE_BYTES:,} bytes; give one object a line, as `jq -c '.[]'` writes an array",
            )
            return
    if parts:
        damage.row(begin, "JSON", "is cut off")


def _look_at_text(address: str) -> Source:
    with _readable(address), text_of(address) as file:
        lines = _first_lines(file, address)
    if not lines:
        raise InvalidInputError(f"{address} is empty; a log has at least one row")
    if b"\0" in lines[0]:
        raise InvalidInputError(f"{shown_address(address)} is no text in UTF-8; save it as UTF-8, CSV or JSON lines")
    if keys := _keys(lines):
        return Source(address=address, container="jsonl", names=keys)
    if lines[0].startswith((b"{", b"[")):
        return _look_at_blocks(address)
    stated = _STATED_SEPARATOR.fullmatch(lines[0])
    names, separator = _header(lines[1] if stated and len(lines) > 1 else lines[0], address)
    return Source(address=address, container="csv", names=names, separator=separator)


def _first_lines(file: io.BufferedReader, address: str) -> list[bytes]:
    """Return the first lines that are not blank."""
    lines: list[bytes] = []
    size = 0
    for blank in range(_MOST_BLANK_LINES):
        if not (line := file.readline(LINE_BYTES)):
            return lines
        size += len(line)
        if stripped := line.removeprefix(codecs.BOM_UTF8).strip():
            lines.append(stripped)
        if len(lines) == _LINES_TO_KNOW or (lines and (size > LINE_BYTES or blank > 1000)):
            return lines
    if lines:
        return lines
    raise InvalidInputError(f"{address} begins with {_MOST_BLANK_LINES:,} blank lines; remove them")


def _keys(lines: Sequence[bytes]) -> tuple[str, ...]:
    """Return the keys of the objects among the lines, in the order of their appearance."""
    keys: dict[str, None] = {}
    for line in lines:
        try:
            record = json.loads(line) if line.startswith(b"{") else None
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            keys.update(dict.fromkeys(record))
    return tuple(keys)


def _look_at_blocks(address: str) -> Source:
    """Return the source of a file whose first line is not one whole JSON object: pretty-printed, or damaged."""
    whole = Source(address=address, container="jsonl", record_per_line=False)
    try:
        records = [record for _, record in islice(objects(whole, Damage(address)), _LINES_TO_KNOW)]
    except InvalidInputError:  # of the first values one is damaged: what could be read tells
        records = [record for _, record in islice(objects(whole, Damage(address, skip=True)), 1)]
    if not records:
        return Source(address=address, container="jsonl")
    keys = tuple(dict.fromkeys(key for record in records for key in record))
    return Source(address=address, container="jsonl", names=keys, record_per_line=False)


def _header(line: bytes, address: str) -> tuple[tuple[str, ...], str]:
    """Return the names in the first line of a CSV file, and the character between them: the one that parts most."""
    cells: dict[str, tuple[str, ...]] = {}
    why = ""
    for separator in _SEPARATORS:
        try:
            cells[separator] = tuple(next(csv.reader([line.decode()], delimiter=separator)))
        except (csv.Error, UnicodeDecodeError) as error:
            why = str(error)[:200]
    if not cells:
        raise InvalidInputError(f"{shown_address(address)}: the first line is neither a header of CSV nor JSON: {why}")
    separator = max(cells, key=lambda each: len(cells[each]))
    if len(cells[separator]) == 1 and _RARE_SEPARATOR in cells[separator][0]:
        separator = _RARE_SEPARATOR
        cells[separator] = tuple(next(csv.reader([line.decode()], delimiter=separator)))
    return tuple(name.strip() for name in cells[separator]), separator


def _parquet(source: Source, names: Sequence[str], damage: Damage) -> Iterator[tuple[NDArray[np.int64], pyarrow.Table]]:
    import pyarrow.parquet as parquet

    most_bytes = max(_ALWAYS_ALLOWED_BYTES, _MOST_EXPANSION * Path(source.address).stat().st_size)
    begin = 1
    with _readable(source.address):
        # Dictionaries stay packed until _plain() knows how long the texts are.
        packed = _text_columns(parquet.read_schema(source.address), names)
        with parquet.ParquetFile(source.address, pre_buffer=False, read_dictionary=packed) as file:
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(names), use_threads=False):
                batch.validate(full=True)  # texts that are not UTF-8 would stop later steps
                for numbers, table in _plain(batch, begin, damage):
                    most_bytes -= table.nbytes
                    if most_bytes < 0:
                        raise InvalidInputError(
                            f"{source.address} unpacks to more than {_MOST_EXPANSION:,} times its size; write it "
                            "without dictionaries if it is meant"
                        )
                    yield numbers, table
                begin += batch.num_rows


def _frame(source: Source, names: Sequence[str], damage: Damage) -> Iterator[tuple[NDArray[np.int64], pyarrow.Table]]:
    import pyarrow as arrow

    begin = 1
    with _readable(source.address):
        for whole in stream_of(source.frame):
            for at in range(0, whole.num_rows, ROWS_AT_ONCE):
                batch = arrow.RecordBatch.from_arrays([whole.column(name) for name in names], list(names))
                yield from _plain(batch.slice(at, ROWS_AT_ONCE), begin + at, damage)
            begin += whole.num_rows


def _text_columns(schema: pyarrow.Schema, names: Sequence[str]) -> list[str]:
    import pyarrow.types as types

    return [name for name in names if name in schema.names and types.is_string(schema.field(name).type)]


def _plain(batch: pyarrow.RecordBatch, begin: int, damage: Damage) -> Iterator[tuple[NDArray[np.int64], pyarrow.Table]]:
    """Yield the rows with texts in place of codes, fewer at a time where texts are long."""
    import pyarrow as arrow
    import pyarrow.compute as compute

    numbers = np.arange(begin, begin + batch.num_rows)
    bytes_in_row = np.zeros(batch.num_rows, dtype=np.int64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if not arrow.types.is_dictionary(column.type):
            continue
        lengths = compute.binary_length(column.dictionary.cast(arrow.large_string())).take(column.indices)
        of_column = compute.fill_null(lengths, 0).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(of_column > LINE_BYTES):
            damage.row(int(numbers[row]), name, f"is longer than {LINE_BYTES:,} bytes; shorten it")
        bytes_in_row += of_column
    fits = bytes_in_row <= LINE_BYTES
    if not fits.all():
        batch, numbers, bytes_in_row = batch.filter(arrow.array(fits)), numbers[fits], bytes_in_row[fits]
    part_of_row = np.cumsum(bytes_in_row) // CHARACTERS_AT_ONCE
    edges = [0, *(np.flatnonzero(np.diff(part_of_row)) + 1).tolist(), batch.num_rows]
    for start, end in pairwise(edges):
        part = batch.slice(start, end - start)
        columns = [
            column.dictionary_decode() if arrow.types.is_dictionary(column.type) else column for column in part.columns
        ]
        yield numbers[start:end], arrow.Table.from_arrays(columns, names=batch.schema.names)


def _json_columns(
    source: Source, names: Sequence[str], damage: Damage
) -> Iterator[tuple[NDArray[np.int64], pyarrow.Table]]:
    import pyarrow as arrow

    numbers: list[int] = []
    columns: dict[str, list[str]] = {name: [] for name in names}
    characters = 0

    def taken() -> tuple[NDArray[np.int64], pyarrow.Table]:
        table = arrow.table({name: arrow.array(values, arrow.string()) for name, values in columns.items()})
        return np.array(numbers), table

    for number, record in objects(source, damage):
        given = {name: value_at(record, name) for name in names}
        wrong = [name for name, value in given.items() if isinstance(value, dict | list)]
        if wrong:
            damage.row(number, wrong[0], "is a list or an object; give a text or a number")
            continue
        numbers.append(number)
        for name, values in columns.items():
            value = given[name]
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
    """Yield rows of CSV; row 1 is the header. Bytes that are not UTF-8 become U+FFFD, so that such a row is noticed."""
    import pyarrow as arrow
    import pyarrow.csv as arrow_csv

    passed: list[int] = []
    refused: list[InvalidInputError] = []
    begin = 2

    def wrong(row: pyarrow.csv.InvalidRow) -> str:
        number = begin - 1 + row.number
        try:
            damage.row(number, "columns", f"are {row.actual_columns}, by the header {row.expected_columns}")
        except InvalidInputError as error:  # raised below: what is raised here, pyarrow only prints
            refused.append(error)
            return "error"
        passed.append(number)
        return "skip"

    # A name that is there twice is not asked for; pyarrow wants every name once.
    first = {name: k for k, name in reversed(list(enumerate(source.names)))}
    unique = [name if first[name] == k else f"{name}\0{k}" for k, name in enumerate(source.names)]
    parse = arrow_csv.ParseOptions(delimiter=source.separator, newlines_in_values=True, invalid_row_handler=wrong)
    convert = arrow_csv.ConvertOptions(
        include_columns=list(names),
        column_types=dict.fromkeys(names, arrow.string()),
        strings_can_be_null=False,
    )
    try:
        with _readable(source.address), text_of(source.address) as file:
            while not (line := file.readline(LINE_BYTES).removeprefix(codecs.BOM_UTF8).strip()):
                pass  # blank lines before the header, which look() has counted
            if _STATED_SEPARATOR.fullmatch(line):
                file.readline(LINE_BYTES)
            for block in _blocks_of_rows(file, source.address):
                read = arrow_csv.ReadOptions(use_threads=False, column_names=unique, block_size=len(block) + 1)
                buffer = arrow.py_buffer(block.decode("utf-8", "replace").encode())
                table = arrow_csv.read_csv(
                    arrow.BufferReader(buffer), read_options=read, parse_options=parse, convert_options=convert
                )
                candidates = np.arange(begin, begin + len(table) + len(passed))
                yield np.setdiff1d(candidates, passed), table
                begin += len(candidates)
                passed.clear()
    except InvalidInputError:
        if refused:
            raise refused.pop() from None  # kept, it would keep this frame alive in a cycle that is never collected
        raise


def _blocks_of_rows(file: io.BufferedReader, address: str) -> Iterator[bytes]:
    """Yield whole rows of CSV, some megabytes at a time: blocks end at a newline that is in no quoted cell.

    pyarrow's own streaming reader reads ahead in a thread, which can outlive an error and abort the process.
    """
    rest = b""
    while True:
        data = rest + file.read(min(LINE_BYTES, _BLOCK_BYTES))
        if len(data) == len(rest):
            break
        cut = data.rfind(b"\n") + 1
        in_quotes = data.count(b'"', 0, cut) % 2
        while cut and in_quotes:
            before = data.rfind(b"\n", 0, cut - 1) + 1
            in_quotes ^= data.count(b'"', before, cut) % 2
            cut = before
        if not cut and len(data) > LINE_BYTES:
            raise InvalidInputError(
                f"{shown_address(address)} cannot be read: a row is longer than {LINE_BYTES:,} bytes; is a quote "
                "not closed?"
            )
        rest = data[cut:]
        if data[:cut].strip():
            yield data[:cut]
    if rest.strip():
        yield rest


def value_at(record: Any, path: str) -> Any:
    """Return the value under a key, or under keys joined by dots; None if it is missing."""
    if not isinstance(record, dict) or path in record:
        return record[path] if isinstance(record, dict) else None
    first, dot, rest = path.partition(".")
    return value_at(record.get(first), rest) if dot else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON; leave out what is not known")
