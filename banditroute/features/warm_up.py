"""Standardize by the first live prompts, when there are no training prompts."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from threading import RLock

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.forking import hold_while_forking
from banditroute.core.request import Request
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError
from banditroute.features import _state
from banditroute.features._text import check_fixed_block
from banditroute.features.base import Featurizer
from banditroute.features.standardize import Standardize


class WarmUp:
    """The unchanged numbers of a block; it remembers those of the first requests, to fit a scale later.

    A scale that started in the middle of the traffic would change the meaning of every number that the router has
    learned from. So this featurizer never scales: its version and numbers are those of the block. After the warm-up,
    :meth:`standardize` returns a :class:`Standardize` of the block, fitted on the first requests only. It has another
    version, so a router opened with it starts a new epoch. The user decides when.

    The featurizer remembers the block's numbers, not the texts. It is safe to use from many threads.

    Parameters
    ----------
    block
        The featurizer to scale.
    prompts
        Number of requests in the warm-up, at least 2.

    Raises
    ------
    InvalidConfigurationError
        If the block is not a featurizer or the number of prompts is unusable.

    Examples
    --------
    >>> from banditroute.features import Complexity
    >>> warm = WarmUp(block=Complexity(), prompts=3)
    >>> rows = warm.transform([Request(text=text) for text in ("Hi.", "What is 2 + 2?", "def f(x): return x", "Why?")])
    >>> warm.version == Complexity().version, warm.remembered
    (True, 3)
    >>> warm.standardize().version.startswith("standardize:")
    True
    """

    def __init__(self, *, block: Featurizer, prompts: int = 200) -> None:
        self._block = check_fixed_block(block)
        self._prompts = whole(prompts, name="prompts", low=2, error=InvalidConfigurationError)
        self._rows: list[Vector] = []
        self._lock = RLock()
        hold_while_forking(self, "_lock")

    @property
    def dimension(self) -> int:
        """Length of the vector: the block's."""
        return self._block.dimension

    @property
    def version(self) -> str:
        """The block's version, since the numbers are the block's."""
        return self._block.version

    @property
    def names(self) -> tuple[str, ...]:
        """The block's names."""
        return self._block.names

    @property
    def remembered(self) -> int:
        """Number of remembered requests; the warm-up ends when it reaches ``prompts``."""
        return len(self._rows)

    def transform_one(self, request: Request) -> Vector:
        """Return the block's features of one request ``(dimension,)``, and remember them during the warm-up.

        Raises
        ------
        InvalidRequestError
            If the block cannot read the request.
        """
        row = self._block.transform_one(request)
        self._remember(row[None])
        return row

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Return the features of many requests ``(n, dimension)``."""
        rows = self._block.transform(requests)
        self._remember(rows)
        return rows

    def standardize(self, *, dimension: int | None = None) -> Standardize:
        """Return the block standardised on the warm-up's requests; every call gives the same result.

        Parameters
        ----------
        dimension
            Number of principal directions; see :class:`Standardize`.

        Raises
        ------
        InvalidConfigurationError
            If the warm-up has not ended.
        """
        if len(self._rows) < self._prompts:
            raise InvalidConfigurationError(
                f"{len(self._rows)} of {self._prompts} prompts have come; go on with these features until then"
            )
        return Standardize(block=self._block, dimension=dimension).fit_rows(np.array(self._rows))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the remembered numbers as a file of plain arrays.

        Raises
        ------
        OSError
            If the file cannot be written; an older file stays complete.
        """
        with self._lock:
            rows = np.array(self._rows).reshape(-1, self.dimension)
        _state.save(path, owner=self._owner, arrays={"rows": rows})

    def load(self, path: str | PathLike[str]) -> WarmUp:
        """Replace the remembered numbers by those that :meth:`save` wrote, and return self.

        Raises
        ------
        InvalidConfigurationError
            If the file was not saved by WarmUp with this block and number of prompts; nothing is changed.
        OSError
            If the file cannot be read.
        """
        rows = list(_state.load(path, owner=self._owner, names=("rows",))["rows"])
        with self._lock:
            self._rows = rows
        return self

    @property
    def _owner(self) -> str:
        """A description of the object that a saved warm-up belongs to."""
        return f"WarmUp(block={self._block.version!r}, prompts={self._prompts})"

    def _remember(self, rows: Vector) -> None:
        if len(self._rows) < self._prompts:
            with self._lock:
                missing = self._prompts - len(self._rows)
                self._rows += [row.copy() for row in rows[:missing]]
