"""What is done with a row that cannot be used: it is refused, or passed over and counted."""

from __future__ import annotations

import reprlib
import textwrap
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from banditroute.errors import InvalidInputError

if TYPE_CHECKING:
    import pyarrow

MALFORMED = (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError)
"""What looking into a record of any shape may raise; InvalidInputError is among them."""


class Damage:
    """Refuses the first row that cannot be used, or counts how many there are.

    Parameters
    ----------
    name
        How messages call the log.
    skip
        Whether such rows are passed over.

    Attributes
    ----------
    skipped
        Why -> how many rows were passed over for it.

    Examples
    --------
    >>> damage = Damage("log.jsonl", skip=True)
    >>> damage.row(7, "propensity", "is 1.5; give a number in (0, 1]")
    >>> damage.skipped
    Counter({'propensity': 1})
    """

    def __init__(self, name: str, *, skip: bool) -> None:
        self.name = name
        self.skipped: Counter[str] = Counter()
        self._skip = skip

    def of(self, name: str) -> Damage:
        """The same of one file of the log: what is passed over there is counted here, too."""
        part = Damage(name, skip=self._skip)
        part.skipped = self.skipped
        return part

    def row(self, number: int, what: str, message: str) -> None:
        """Tell of the row of this number, counted from 1, what is wrong with it.

        Raises
        ------
        InvalidInputError
            Unless such rows are passed over.
        """
        if not self._skip:
            raise InvalidInputError(
                f"{self.name}: row {number}: {what} {textwrap.shorten(message, 300)}; correct the row, or leave it out"
            )
        self.skipped[what] += 1

    def leave_out(self, why: str) -> None:
        """Count a row that is whole, and no decision."""
        self.skipped[why] += 1


class Found:
    """The rows of a table that cannot be used, and of each the first reason.

    Attributes
    ----------
    rows : (n,) bool
        Which they are.
    """

    def __init__(self, table: pyarrow.Table) -> None:
        self.rows: NDArray[np.bool_] = np.zeros(len(table), dtype=bool)
        self._table = table
        self._reasons: list[tuple[int, str, str]] = []

    def add(self, wrong: NDArray[np.bool_], column: str, expected: str) -> None:
        """Rows whose value in a column is not what is expected."""
        for i in np.flatnonzero(wrong & ~self.rows):
            value = reprlib.repr(self._table[column][i].as_py())
            self._reasons.append((int(i), column, f"is {value}; {expected}"))
        self.rows |= wrong

    def tell(self, numbers: NDArray[np.int64], damage: Damage) -> None:
        """Tell of them in their order, by the numbers of all rows."""
        for i, column, message in sorted(self._reasons):
            damage.row(int(numbers[i]), column, message)
