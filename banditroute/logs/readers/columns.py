"""Columns of tables of others, as texts and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError

if TYPE_CHECKING:
    import pyarrow

_NO_TEXT = "\ufffd"  # what bytes become that are no text
_MISSING = ("", "nan", "null", "none", "na")
_NUMBER = r"^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$"


def texts(table: pyarrow.Table, name: str) -> pyarrow.ChunkedArray:
    """A column as texts; nothing where it is empty.

    Raises
    ------
    InvalidInputError
        For a column of lists or objects.
    """
    import pyarrow
    import pyarrow.compute as pc

    column = _cast(table, name, pyarrow.string())
    return pc.if_else(pc.equal(column, ""), None, column)


def named(column: pyarrow.ChunkedArray) -> NDArray[np.bool_]:
    """Which texts are names: there, and whole."""
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(pc.invert(pc.match_substring(column, _NO_TEXT)), False))


def numbers(table: pyarrow.Table, name: str) -> tuple[Vector, NDArray[np.bool_]]:
    """A column as float64, NaN where it is empty; and in which rows it is neither empty nor a number.

    Raises
    ------
    InvalidInputError
        For a column of lists, objects or times.
    """
    import pyarrow
    import pyarrow.compute as pc

    column = table[name]
    wrong = np.zeros(len(table), dtype=bool)
    if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type):
        text = pc.utf8_lower(pc.utf8_trim_whitespace(pc.fill_null(column, "")))
        text = pc.if_else(pc.equal(text, "true"), "1", pc.if_else(pc.equal(text, "false"), "0", text))
        right = pc.match_substring_regex(text, _NUMBER)
        empty = pc.is_in(text, pyarrow.array(_MISSING))
        wrong = np.asarray(pc.invert(pc.or_(right, empty)))
        table = pyarrow.table({name: pc.if_else(right, text, None)})
    return _cast(table, name, pyarrow.float64()).to_numpy(), wrong


def _cast(table: pyarrow.Table, name: str, kind: pyarrow.DataType) -> pyarrow.ChunkedArray:
    import pyarrow

    try:
        return table[name].cast(kind)
    except pyarrow.ArrowException as error:
        raise InvalidInputError(f"column {name} is {table[name].type}, expected is {kind}: {error}") from error
