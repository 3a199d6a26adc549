"""Columns of foreign tables as texts, numbers and times."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError

if TYPE_CHECKING:
    import pyarrow

_NO_TEXT = "\ufffd"  # takes the place of bytes that are not UTF-8
_MISSING = ("", "nan", "null", "none", "na")
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}  # units of Arrow's times and durations
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$"


def texts(table: pyarrow.Table, name: str) -> pyarrow.ChunkedArray:
    """Return a column as texts; null where it is empty.

    Raises
    ------
    InvalidInputError
        If it is a column of lists or objects.
    """
    import pyarrow as arrow
    import pyarrow.compute as compute

    column = _cast(table, name, arrow.string())
    return compute.if_else(compute.equal(column, ""), None, column)


def named(column: pyarrow.ChunkedArray) -> NDArray[np.bool_]:
    """Return True for every text that is there and whole."""
    import pyarrow.compute as compute

    return np.asarray(compute.fill_null(compute.invert(compute.match_substring(column, _NO_TEXT)), False))


def numbers(table: pyarrow.Table, name: str, factor: float = 1.0) -> tuple[Vector, NDArray[np.bool_]]:
    """Return a column as float64 times a factor, NaN where it is empty, and True for rows that are not numbers.

    Durations are numbers of seconds; ``factor`` does not count for them.

    Raises
    ------
    InvalidInputError
        If it is a column of lists, objects or times.
    """
    import pyarrow as arrow
    import pyarrow.compute as compute

    column = table[name]
    wrong = np.zeros(len(table), dtype=bool)
    if arrow.types.is_duration(column.type):
        return _seconds(column), wrong
    if _is_text(column.type):
        text = compute.utf8_lower(
            compute.utf8_trim_whitespace(compute.fill_null(_cast(table, name, arrow.string()), ""))
        )
        text = compute.if_else(
            compute.equal(text, "true"), "1", compute.if_else(compute.equal(text, "false"), "0", text)
        )
        right = compute.match_substring_regex(text, _NUMBER)
        empty = compute.is_in(text, arrow.array(_MISSING))
        wrong = np.asarray(compute.invert(compute.or_(right, empty)))
        table = arrow.table({name: compute.if_else(right, text, None)})
    values = _cast(table, name, arrow.float64()).to_numpy()
    return (values if factor == 1.0 else values * factor), wrong


def moments(
    table: pyarrow.Table, name: str, factor: float, parse: Callable[[Any, str], float]
) -> tuple[Vector, NDArray[np.bool_]]:
    """Return a column of times as Unix time in seconds, NaN where it is empty, and True for rows that are not times.

    Parameters
    ----------
    factor
        The length of a unit of numbers in seconds; texts and times have their own.
    parse
        Return the Unix time of a text, or raise InvalidInputError.
    """
    import pyarrow as arrow

    column = table[name]
    if arrow.types.is_timestamp(column.type):
        return _seconds(column), np.zeros(len(table), dtype=bool)
    values, wrong = numbers(table, name, factor) if not arrow.types.is_date(column.type) else (None, None)
    if values is None or wrong is None:
        values, wrong = np.full(len(table), np.nan), np.ones(len(table), dtype=bool)
    given = texts(table, name).to_pylist() if wrong.any() else []
    for i in np.flatnonzero(wrong):
        try:
            values[i] = np.nan if given[i] is None else parse(given[i], name)
            wrong[i] = False
        except InvalidInputError:
            pass
    return values, wrong


def _seconds(column: pyarrow.ChunkedArray) -> Vector:
    """Return times since 1970, or durations, as seconds; NaN where it is empty."""
    import pyarrow as arrow

    counts: Vector = column.cast(arrow.int64()).cast(arrow.float64(), safe=False).to_numpy()
    return counts / _PER_SECOND[column.type.unit]


def _is_text(kind: pyarrow.DataType) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _cast(table: pyarrow.Table, name: str, kind: pyarrow.DataType) -> pyarrow.ChunkedArray:
    import pyarrow as arrow

    try:
        return table[name].cast(kind)
    except arrow.ArrowException as error:
        wanted = "texts" if arrow.types.is_string(kind) else "numbers"
        raise InvalidInputError(f"column {name:.80} holds {table[name].type!s:.80}; give {wanted}") from error
