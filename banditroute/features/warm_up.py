"""A scale from the first prompts that come, for whom there are none to fit one on beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from threading import Lock

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError
from banditroute.features import _state
from banditroute.features._text import check_block
from banditroute.features.base import Featurizer
from banditroute.features.standardize import Standardize


class WarmUp:
    """The numbers of a block as they are, of which the first are remembered to fit a scale on.

    A scale that froze in the middle of the traffic would change what every number means under what a router has learned
    from it. So this featurizer never scales: it is its block, by version and by numbers, from the first request to the
    last. After the warm-up :meth:`standardize` gives a :class:`Standardize` of the block, fitted on the first requests
    and on nothing that came later. It has a version of its own, so that a router which is opened with it begins a new
    epoch: once, and when the user chooses.

    Remembered are the block's numbers, not the texts. Safe to use from many threads.

    Parameters
    ----------
    block
        The featurizer whose scale is to be found.
    prompts
        How many requests the warm-up lasts, at least 2.

    Raises
    ------
    InvalidConfigurationError
        For a block that is no featurizer, or an unusable number of prompts.

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
        if isinstance(prompts, bool) or not isinstance(prompts, int) or prompts < 2:
            raise InvalidConfigurationError(f"prompts is {prompts!r}; give a whole number of at least 2")
        self._block = check_block(block)
        self._prompts = prompts
        self._rows: list[Vector] = []
        self._lock = Lock()

    @property
    def dimension(self) -> int:
        """Length of the vector: the block's."""
        return self._block.dimension

    @property
    def version(self) -> str:
        """The block's, as the numbers are."""
        return self._block.version

    @property
    def names(self) -> tuple[str, ...]:
        """The block's."""
        return self._block.names

    @property
    def remembered(self) -> int:
        """How many requests are remembered; the warm-up is over when they are ``prompts``."""
        return len(self._rows)

    def transform_one(self, request: Request) -> Vector:
        """Return the features of one request ``(dimension,)``, as the block gives them.

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
        """The block, standardised by the warm-up; the same whenever this is asked.

        Parameters
        ----------
        dimension
            As of :class:`Standardize`.

        Raises
        ------
        InvalidConfigurationError
            Before the end of the warm-up.
        """
        if len(self._rows) < self._prompts:
            raise InvalidConfigurationError(
                f"{len(self._rows)} of {self._prompts} prompts have come; go on with these features until then"
            )
        return Standardize(block=self._block, dimension=dimension).fit_rows(np.array(self._rows))

    def save(self, path: str | PathLike[str]) -> None:
        """Write what is remembered, as a file without pickle.

        Raises
        ------
        OSError
            If the file cannot be written; an older one is then still whole.
        """
        with self._lock:
            rows = np.array(self._rows).reshape(-1, self.dimension)
        _state.save(path, owner=self._owner, arrays={"rows": rows})

    def load(self, path: str | PathLike[str]) -> WarmUp:
        """Read what :meth:`save` wrote, in place of what is remembered, and return self.

        Raises
        ------
        InvalidConfigurationError
            For any other file, and for one saved with another block or number of prompts; nothing is changed.
        OSError
            If the file cannot be read.
        """
        rows = list(_state.load(path, owner=self._owner, names=("rows",))["rows"])
        with self._lock:
            self._rows = rows
        return self

    @property
    def _owner(self) -> str:
        """What a saved warm-up belongs to."""
        return f"WarmUp(block={self._block.version!r}, prompts={self._prompts})"

    def _remember(self, rows: Vector) -> None:
        if len(self._rows) < self._prompts:
            with self._lock:
                missing = self._prompts - len(self._rows)
                self._rows += [row.copy() for row in rows[:missing]]
