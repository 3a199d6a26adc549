"""Rows that cannot be used: the first is refused, or all are left out and counted."""

from __future__ import annotations

import reprlib
import textwrap
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from banditroute.errors import InvalidInputError

if TYPE_CHECKING:
    import pyarrow

MALFORMED = (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError)
"""The errors that looking into a record of any shape may raise; InvalidInputError is among them."""


_MOST_IDS = 1_000_000
_LEAST_ROWS_OF_AN_ARM = 5  # that are left out before they count as a kind of rows, not as single mistakes


class Damage:
    """The policy for rows that cannot be used, and the count of those that were left out.

    Parameters
    ----------
    name
        The log's name in messages.
    skip
        Whether such rows are left out; otherwise the first one raises.

    Attributes
    ----------
    skipped
        Reason -> how many rows were left out for it.

    Examples
    --------
    >>> damage = Damage("log.jsonl", skip=True)
    >>> damage.row(7, "propensity", "is 1.5; give a number in (0, 1]")
    >>> damage.skipped
    Counter({'propensity': 1})
    """

    def __init__(self, name: str, *, skip: bool = False) -> None:
        self.name = name
        self.skipped: Counter[str] = Counter()
        self._of_arms: dict[str, Counter[str]] = {}  # arm -> reason -> rows that were left out
        self._skip = skip

    def of(self, name: str) -> Damage:
        """Return the same policy for one file of the log; rows that are left out there are counted here, too."""
        part = Damage(name, skip=self._skip)
        part.skipped, part._of_arms = self.skipped, self._of_arms
        return part

    def row(self, number: int, what: str, message: str, *, arm: object = None) -> None:
        """Refuse or count a row.

        Parameters
        ----------
        number
            Its number, counted from 1.
        what
            The reason under which it is counted, such as the name of a column.
        message
            What is wrong with it.
        arm
            Its arm, where that is known.

        Raises
        ------
        InvalidInputError
            Unless such rows are left out.
        """
        if not self._skip:
            raise InvalidInputError(
                f"{self.name}: row {number}: {what:.80} {textwrap.shorten(message, 300)}; correct the row, or leave it "
                "out (skip_bad=True)"
            )
        self.skipped[what] += 1
        if isinstance(arm, str) and arm:
            self._of_arms.setdefault(arm, Counter())[what] += 1

    def check_arms(self, kept: Collection[str]) -> None:
        """Refuse a log of which no row of an arm is left, as what is left says nothing of that arm.

        Raises
        ------
        InvalidInputError
            If all rows of an arm were left out, five or more, and it is not among those that are ``kept``.
        """
        for arm, reasons in self._of_arms.items():
            if arm not in kept and reasons.total() >= _LEAST_ROWS_OF_AN_ARM:
                whys = ", ".join(f"{what:.80} {count:,}" for what, count in reasons.most_common(3))
                raise InvalidInputError(
                    f"{self.name}: all rows of arm {arm!r:.80} would be left out ({whys}), so that nothing could be "
                    "said of it; correct these rows, or take them out of the log"
                )

    def leave_out(self, why: str) -> None:
        """Count a row that is whole but not a decision."""
        self.skipped[why] += 1


class Found:
    """The rows of a table that cannot be used, each with its first reason.

    Attributes
    ----------
    rows : (n,) bool
        True for a row that cannot be used.

    Parameters
    ----------
    table
        The rows.
    arm
        The column that names their arms; None if there is no such column.
    """

    def __init__(self, table: pyarrow.Table, *, arm: str | None = "arm") -> None:
        self.rows: NDArray[np.bool_] = np.zeros(len(table), dtype=bool)
        self._table = table
        self._arm = arm
        self._reasons: list[tuple[int, str, str]] = []

    def add(self, wrong: NDArray[np.bool_], column: str, expected: str) -> None:
        """Add rows whose value in a column is not what is expected."""
        for i in np.flatnonzero(wrong & ~self.rows):
            value = reprlib.repr(self._table[column][i].as_py())
            self._reasons.append((int(i), column, f"is {value}; {expected}"))
        self.rows |= wrong

    def report(self, numbers: NDArray[np.int64], damage: Damage) -> None:
        """Refuse or count the rows in their order, by the numbers of all rows."""
        for i, column, message in sorted(self._reasons):
            arm = None if self._arm in (None, column) else self._table[self._arm][i].as_py()
            damage.row(int(numbers[i]), column, message, arm=arm)


class Repeated:
    """Notices ids that came before; it remembers a million of them or more.

    Examples
    --------
    >>> repeated = Repeated()
    >>> repeated("a"), repeated("b"), repeated("a"), repeated(None), repeated(None)
    (False, False, True, False, False)
    """

    def __init__(self) -> None:
        self._latest: set[str] = set()
        self._earlier: set[str] = set()

    def __call__(self, id: object) -> bool:
        """Say whether this id came before, and remember it; a row without an id is never repeated."""
        if not isinstance(id, str) or not id:
            return False
        if id in self._latest or id in self._earlier:
            return True
        self._latest.add(id)
        if len(self._latest) > _MOST_IDS:
            self._latest, self._earlier = set(), self._latest
        return False

    def among(self, ids: Sequence[str | None]) -> NDArray[np.bool_]:
        """Say of each id whether it came before, and remember it."""
        new = set(ids)
        seldom = len(new) < len(ids) or not new.isdisjoint(("", None)) or len(self._latest) + len(new) > _MOST_IDS
        if seldom or not (new.isdisjoint(self._latest) and new.isdisjoint(self._earlier)):
            return np.array([self(id) for id in ids], dtype=bool)
        self._latest.update(new)  # type: ignore[arg-type]
        return np.zeros(len(ids), dtype=bool)
