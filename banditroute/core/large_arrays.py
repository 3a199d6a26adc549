"""Arrays of a row a decision that may not fit into memory: large ones lie in a temporary file.

The file has no name, and the system frees it with its array. It lies where ``tempfile`` puts files: set ``TMPDIR`` to a
folder on a disk with room. Code that reads such an array block by block, by :func:`rows_of`, holds one block in memory.
"""

from __future__ import annotations

import math
import mmap
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from banditroute.core.arrays import Vector

MOST_BYTES_IN_MEMORY = 2**26
"""A larger array lies in a file."""

MOST_BYTES_WAITING = 2**20
"""Rows that are collected wait in memory up to this size: small arrays between others would leave gaps in it."""

ROWS_AT_ONCE = 2**14
"""How many rows a block has."""


def large_array(shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Return zeros; in a temporary file if they take more than 64 MB.

    Examples
    --------
    >>> large_array((2, 3)).sum()
    np.float64(0.0)
    """
    if math.prod(shape) * np.dtype(dtype).itemsize <= MOST_BYTES_IN_MEMORY:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(prefix="banditroute-") as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def computed(n: int, values: Callable[[slice], NDArray[Any]], *read: NDArray[Any]) -> Vector:
    """Return ``(n,)`` numbers that are computed block by block from arrays, which are given back.

    Examples
    --------
    >>> computed(3, lambda at: np.arange(3.0)[at] ** 2)
    array([0., 1., 4.])
    """
    made: Vector = large_array((n,))
    for at in blocks(n):
        made[at] = values(at)
        give_back(made, *read)
    return made


def mean_of(array: Vector, *factors: Vector) -> float:
    """Return the mean of numbers ``(n,)``, or of their products with others, block by block.

    Examples
    --------
    >>> mean_of(np.array([1.0, 3.0])), mean_of(np.array([1.0, 3.0]), np.array([2.0, 0.0]))
    (2.0, 1.0)
    """
    total = 0.0
    for at in blocks(len(array)):
        total += float(math.prod((rows_of(each, at) for each in factors), start=rows_of(array, at)).sum())
    return total / len(array)


class RowsInParts:
    """Rows of one width, collected part by part; many wait in a temporary file.

    Examples
    --------
    >>> rows = RowsInParts(2)
    >>> rows.add(np.ones((1, 2)))
    >>> rows.add(np.zeros((2, 2)))
    >>> rows.joined()
    array([[1., 1.],
           [0., 0.],
           [0., 0.]])
    """

    def __init__(self, width: int, dtype: DTypeLike = np.float64) -> None:
        self.width = width
        self._dtype = np.dtype(dtype)
        self._n = 0
        self._waiting: list[NDArray[Any]] = []
        self._bytes_waiting = 0
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return self._n

    def add(self, rows: NDArray[Any]) -> None:
        """Add rows ``(n, width)``, or ``(n,)`` of width 1."""
        self._n += len(rows)
        self._waiting.append(np.ascontiguousarray(rows, dtype=self._dtype))
        self._bytes_waiting += self._waiting[-1].nbytes
        if self._bytes_waiting > MOST_BYTES_WAITING:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="banditroute-")  # noqa: SIM115
            self._write(self._file)

    def joined(self) -> NDArray[Any]:
        """Return all rows ``(n, width)``; nothing can be added afterwards."""
        shape = (self._n, self.width)
        if self._file is None:
            return np.concatenate([np.empty(0, self._dtype), *(rows.ravel() for rows in self._waiting)]).reshape(shape)
        with self._file as file:
            self._write(file)
            file.flush()
            if self._n * self.width * self._dtype.itemsize > MOST_BYTES_IN_MEMORY:
                return np.memmap(file, self._dtype, "r+", shape=shape)
            file.seek(0)
            return np.fromfile(file, self._dtype).reshape(shape)

    def column(self) -> NDArray[Any]:
        """Return all rows of width 1 ``(n,)``."""
        return self.joined()[:, 0]

    def _write(self, file: IO[bytes]) -> None:
        for rows in self._waiting:
            rows.tofile(file)
        self._waiting.clear()
        self._bytes_waiting = 0


def blocks(n: int) -> Iterator[slice]:
    """Yield slices that cut n rows into blocks.

    Examples
    --------
    >>> list(blocks(20_000))
    [slice(0, 16384, None), slice(16384, 20000, None)]
    """
    for begin in range(0, n, ROWS_AT_ONCE):
        yield slice(begin, min(begin + ROWS_AT_ONCE, n))


def rows_of(array: NDArray[Any], at: slice) -> NDArray[Any]:
    """Return some rows of an array; of a file they are a copy, and its pages are given back to the system."""
    if _file_of(array) is None:
        return array[at]
    rows = np.array(array[at])
    give_back(array)
    return rows


def some_of(array: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
    """Return rows by their numbers, in a file if they are large; one row that stands for all is not copied.

    Examples
    --------
    >>> some_of(np.arange(6.0).reshape(3, 2), np.array([2, 0]))
    array([[4., 5.],
           [0., 1.]])
    """
    if len(rows) and array.strides[0] == 0:
        return np.broadcast_to(array[0], (len(rows), *array.shape[1:]))
    if len(rows) * array[:1].nbytes <= MOST_BYTES_IN_MEMORY and _file_of(array) is None:
        return array[rows]
    taken = large_array((len(rows), *array.shape[1:]), array.dtype)
    for at in blocks(len(rows)):
        taken[at] = array[rows[at]]
        give_back(array, taken)
    return taken


def has_nan(array: Vector) -> bool:
    """Say whether a number is missing."""
    return any(bool(np.isnan(rows_of(array, at)).any()) for at in blocks(len(array)))


def give_back(*arrays: NDArray[Any]) -> None:
    """Give the memory of arrays in files back to the system; their values stay."""
    for array in arrays:
        file = _file_of(array)
        if file is not None and sys.platform != "win32":
            file.madvise(mmap.MADV_DONTNEED)


def _file_of(array: NDArray[Any]) -> mmap.mmap | None:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
