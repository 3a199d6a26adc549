"""Our own form of a log of decisions, one row for each: its columns, and the checks of a row."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.validation import LARGEST, number
from banditroute.errors import InvalidInputError
from banditroute.logs.readers.row_errors import Damage, Found
from banditroute.logs.readers.source import CHARACTERS_AT_ONCE, ROWS_AT_ONCE
from banditroute.objectives.objective import STANDARD_OBJECTIVES

if TYPE_CHECKING:
    import pyarrow

RANGES = {each.name: (each.low, min(each.high, LARGEST)) for each in STANDARD_OBJECTIVES}
"""Objective that every router knows -> its range; another one may be any number."""

_ROUNDING = 1e-4  # of probabilities: logs in single precision
_CERTAIN = 1.0 + 1e-9  # a probability of 1, with what rounding adds to a sum
_MOST_INTEGER = 2**63 - 1
_MOST_PAIRS = 2**20  # of rows and names that are looked at without sorting


def schema() -> pyarrow.Schema:
    """Return the columns that the store exports, and the task."""
    import pyarrow

    from banditroute.store.sql.retention import log_schema

    return log_schema().append(pyarrow.field("task", pyarrow.string()))


def typed(records: Iterable[tuple[int, Mapping[str, Any]]], damage: Damage) -> Iterator[pyarrow.Table]:
    """Yield numbered records of JSON as tables of our own form."""
    numbers: list[int] = []
    rows: list[dict[str, Any]] = []
    characters = 0
    columns = {field.name: _converter(field.type, field.name) for field in schema()}
    columns["decided_at"] = lambda value: moment(value, "decided_at")
    for position, record in records:
        row = {}
        try:
            for name, convert in columns.items():
                value = record.get(name)
                row[name] = None if value is None else convert(value)
        except InvalidInputError as error:
            damage.row(
                position, name, str(error).removeprefix(f"{name} "), arm=record.get("arm") if name != "arm" else None
            )
            continue
        numbers.append(position)
        rows.append(row)
        characters += len(row["prompt"] or "")
        if len(rows) == ROWS_AT_ONCE or characters > CHARACTERS_AT_ONCE:
            yield _table(numbers, rows, damage)
            numbers, rows, characters = [], [], 0
    if rows:
        yield _table(numbers, rows, damage)


def checked(numbers: NDArray[np.int64], table: pyarrow.Table, damage: Damage) -> pyarrow.Table:
    """Return the rows of a table of our own form that can be used.

    Raises
    ------
    InvalidInputError
        If a row cannot be used, unless such rows are left out.
    """
    import pyarrow.compute as pc

    if not len(table):
        return table
    table = table.combine_chunks()
    found = Found(table)
    names = table["arm"]
    length = pc.fill_null(pc.utf8_length(names), 0).to_numpy()
    found.add((length == 0) | (length > 255), "arm", "give a name of 1 to 255 characters")
    for name, low, high, expected in (
        ("propensity", math.ulp(0.0), _CERTAIN, "give a number in (0, 1]"),
        ("decided_at", -LARGEST, LARGEST, "give Unix time in seconds"),
        ("ordinal", 0, _MOST_INTEGER, "give a number that is not negative"),
        ("input_tokens", 0, _MOST_INTEGER, "give a number that is not negative"),
    ):
        values = table[name].to_numpy()
        given = np.asarray(table[name].is_valid())
        with np.errstate(invalid="ignore"):
            found.add(given & ~((values >= low) & (values <= high)), name, expected)
    parents, x = flat(table["x"])
    found.add(_any(parents, ~(np.abs(x.to_numpy()) <= LARGEST), len(table)), "x", "give finite numbers")
    parents, _, _, weights = entries(table["preference"])
    found.add(_any(parents, ~np.isfinite(weights), len(table)), "preference", "give finite numbers")
    _check_outcomes(table, found)
    _check_arms(table, found)
    found.report(numbers, damage)
    return table.filter(~found.rows) if found.rows.any() else table


def flat(lists: pyarrow.ChunkedArray) -> tuple[NDArray[np.intp], pyarrow.ChunkedArray]:
    """Return the row of every element of a column of lists, and the elements."""
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    return np.repeat(np.arange(len(lists)), lengths), pc.list_flatten(lists)


def encoded(strings: pyarrow.ChunkedArray) -> tuple[list[str], NDArray[np.intp]]:
    """Return the different strings of a column, and the position of each row's among them; -1 where it is missing."""
    import pyarrow.compute as pc

    codes = strings.combine_chunks().dictionary_encode()
    return codes.dictionary.to_pylist(), pc.fill_null(codes.indices, -1).to_numpy().astype(np.intp)


def entries(maps: pyarrow.ChunkedArray) -> tuple[NDArray[np.intp], list[str], NDArray[np.intp], Vector]:
    """Return the row of every entry of a column of maps, the different keys, and each entry's key and value.

    Keys are sorted, and the key of an entry is its position among them.
    """
    import pyarrow

    array = pyarrow.concat_arrays(maps.chunks)
    offsets = array.offsets.to_numpy()
    inside = slice(offsets[0], offsets[-1])
    keys, codes = encoded(pyarrow.chunked_array([array.keys[inside]]))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    codes = np.argsort(order)[codes] if order else codes
    values = array.items.to_numpy(zero_copy_only=False)[inside]
    return np.repeat(np.arange(len(array)), np.diff(offsets)), [keys[k] for k in order], codes, values


def _check_outcomes(table: pyarrow.Table, found: Found) -> None:
    n = len(table)
    parents, names, codes, values = entries(table["outcomes"])
    low, high = np.array([RANGES.get(name, (-LARGEST, LARGEST)) for name in names]).reshape(-1, 2).T
    wrong = ~((values >= low[codes]) & (values <= high[codes]))
    found.add(_any(parents, wrong, n), "outcomes", "quality lies in [0, 1], dollars and the like are at least 0")
    if "" in names:
        found.add(_any(parents, codes == names.index(""), n), "outcomes", "give every objective a name")
    found.add(_twice(parents, codes, n), "outcomes", "give every objective once")


def _check_arms(table: pyarrow.Table, found: Found) -> None:
    n = len(table)
    parents, arms = flat(table["arms"])
    names, codes = encoded(arms)
    empty = [code for code, name in enumerate(names) if not name]
    found.add(_any(parents, np.isin(codes, [-1, *empty]), n), "arms", "give every arm a name")
    found.add(_twice(parents, codes, n), "arms", "name every arm once")
    chosen, chosen_codes = encoded(table["arm"])
    position = {name: code for code, name in enumerate(names)}
    own = np.array([*(position.get(name, -2) for name in chosen), -2])[chosen_codes][parents] == codes
    given = np.asarray(table["arms"].is_valid())
    found.add(given & ~_any(parents, own, n), "arms", "the chosen arm is not among them")

    lengths = np.bincount(parents, minlength=n)
    at, elements = flat(table["probabilities"])
    values = elements.to_numpy()
    given_rows = np.asarray(table["probabilities"].is_valid())
    found.add(given_rows & (np.bincount(at, minlength=n) != lengths), "probabilities", "give one for each of arms")
    found.add(_any(at, ~((values >= 0.0) & (values <= _CERTAIN)), n), "probabilities", "give numbers in [0, 1]")
    sums = np.bincount(at, weights=values, minlength=n)
    found.add(given_rows & ~(np.abs(sums - 1.0) <= _ROUNDING), "probabilities", "they do not sum to 1")
    right = ~found.rows & given_rows
    of_chosen = np.zeros(n)
    of_chosen[parents[right[parents] & own]] = values[right[at]][own[right[parents]]]
    propensity = table["propensity"].to_numpy()
    with np.errstate(invalid="ignore"):
        differs = ~(np.abs(of_chosen - propensity) <= _ROUNDING)
    found.add(right & differs, "propensity", "that is not the chosen arm's of probabilities")


def _any(parents: NDArray[np.intp], wrong: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    """Return True for each of n rows that has a wrong element."""
    rows = np.zeros(n, dtype=bool)
    rows[parents[wrong]] = True
    return rows


def _twice(parents: NDArray[np.intp], codes: NDArray[np.intp], n: int) -> NDArray[np.bool_]:
    """Return True for each of n rows that has the same code twice."""
    kinds = codes.max(initial=0) + 2  # -1 is one
    if n * kinds <= _MOST_PAIRS:
        there = np.zeros((n, kinds), dtype=bool)
        there[parents, codes + 1] = True
        if np.count_nonzero(there) == len(codes):  # nearly always, and known without sorting
            return np.zeros(n, dtype=bool)
    pairs = np.sort(parents * kinds + codes + 1)
    rows = np.zeros(n, dtype=bool)
    rows[pairs[1:][np.diff(pairs) == 0] // kinds] = True
    return rows


def _table(numbers: list[int], rows: list[dict[str, Any]], damage: Damage) -> pyarrow.Table:
    import pyarrow

    return checked(np.array(numbers), pyarrow.Table.from_pylist(rows, schema=schema()), damage)


def _converter(kind: pyarrow.DataType, name: str) -> Callable[[Any], Any]:
    """Return the function that converts a value of JSON to a column's type, or raises InvalidInputError."""
    import pyarrow.types as types

    if types.is_string(kind):
        return lambda value: text(value, name)
    if types.is_float64(kind):
        return lambda value: _number(value, name)
    if types.is_integer(kind):
        return lambda value: _integer(value, name)
    if types.is_map(kind):
        return lambda value: _entries(value, name)
    element = _converter(kind.value_type, name)

    def elements(value: Any) -> Any:
        if isinstance(value, np.ndarray):  # a reader's own
            return value
        if not isinstance(value, list):
            raise InvalidInputError(f"{name} is {reprlib.repr(value)}; give a list")
        return [element(each) for each in value]

    return elements


def _entries(value: Any, name: str) -> list[tuple[str, float]]:
    if not isinstance(value, Mapping):
        raise InvalidInputError(f"{name} is {reprlib.repr(value)}; give an object")
    return [(text(key, name), _number(each, f"{name} {key!r}")) for key, each in value.items() if each is not None]


def text(value: Any, name: str) -> str:
    """Return a string of JSON as one that can be stored: lone surrogates are replaced."""
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} is {reprlib.repr(value)} ({type(value).__name__}); give a string")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _number(value: Any, name: str) -> float:
    if isinstance(value, (list, dict, str)):  # of any size and depth: their repr is cut short
        raise InvalidInputError(f"{name} is {reprlib.repr(value)}; give a number")
    return number(value, name=name)


def _integer(value: Any, name: str) -> int:
    whole = _number(value, name)
    if whole % 1.0 or abs(whole) >= _MOST_INTEGER:
        raise InvalidInputError(f"{name} is {reprlib.repr(value)}; give a whole number")
    return int(value)


def moment(value: Any, name: str) -> float:
    """Return the Unix time in seconds of a number, or of a text in ISO 8601, which is UTC if it names no zone."""
    if not isinstance(value, str):
        return _number(value, name)
    try:
        at = datetime.fromisoformat(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(f"{name} is {reprlib.repr(value)}; give Unix time in seconds, or ISO 8601") from error
