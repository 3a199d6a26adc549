"""What is done with a row that cannot be used: it is refused, or passed over and counted."""

from __future__ import annotations

from collections import Counter

from banditroute.errors import InvalidInputError


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
        What was wrong -> rows that were passed over for it.

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

    def row(self, number: int, what: str, message: str) -> None:
        """Tell of the row of this number, counted from 1, what is wrong with it.

        Raises
        ------
        InvalidInputError
            Unless such rows are passed over.
        """
        if not self._skip:
            raise InvalidInputError(
                f"{self.name}: row {number}: {what} {message}; correct the row, or pass over such rows with skip_bad"
            )
        self.skipped[what] += 1
