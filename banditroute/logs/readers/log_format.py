"""A format of logs, and the state that its reader is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from banditroute.errors import InvalidInputError
from banditroute.logs.readers.canonical import RANGES
from banditroute.logs.readers.names import column_and_factor, our_name, suggestion
from banditroute.logs.readers.row_errors import Damage
from banditroute.logs.readers.source import Source

if TYPE_CHECKING:
    import pyarrow

_MOST_SHOWN = 20  # columns that an error names


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The columns that a format reads from a source.

    Attributes
    ----------
    columns
        Our name -> the source's column.
    factors
        Our name -> the number by which its values are multiplied, where that is not 1.
    """

    columns: Mapping[str, str]
    factors: Mapping[str, float] = field(default_factory=dict)

    def factor(self, ours: str) -> float:
        """Return the number by which the values of a column are multiplied."""
        return self.factors.get(ours, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One file of a log that is being read, or a database.

    Attributes
    ----------
    source
        The place of the log.
    damage
        Takes every row that cannot be used.
    columns
        Our name, or the format's usual one, -> the log's name, where it is not the usual one; it may be followed by
        ``*`` and a factor.
    router
        Read only the decisions of this router; for our own logs.
    first
        Values of the first row that must hold for all rows; the files of a log share it.
    """

    source: Source
    damage: Damage
    columns: Mapping[str, str]
    router: str | None = None
    first: dict[str, Any] = field(default_factory=dict)

    def fields(self, usual: Mapping[str, str]) -> Fields:
        """Return the columns that the caller asked for, and the usual ones for the rest.

        A usual column that the caller reads as another objective is not read as the usual one, too.
        """
        asked: dict[str, str] = {}
        factors: dict[str, float] = {}
        for name, text in self.columns.items():
            ours = our_name(name, usual)
            asked[ours], factors[ours] = (text, 1.0) if text in self.source.names else column_and_factor(text)
        kept = {ours: theirs for ours, theirs in usual.items() if ours not in RANGES or theirs not in asked.values()}
        return Fields(columns={**kept, **asked}, factors={name: each for name, each in factors.items() if each != 1.0})

    def require(self, *names: str) -> None:
        """Refuse a table without these columns.

        Raises
        ------
        InvalidInputError
            If one is missing; the message names it and the columns that are there.
        """
        missing = sorted({name for name in names if not self.source.has(name)})
        if missing:
            has = self.source.names
            near = suggestion(missing[0], has)
            raise InvalidInputError(f"{self.damage.name} has no column {', '.join(missing)}{near}; it has {shown(has)}")


def shown(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - _MOST_SHOWN:,} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(name[:80] for name in names[:_MOST_SHOWN]) + more


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A way to write logs.

    Attributes
    ----------
    name
        Its name on the command line.
    containers
        The containers that it may be in.
    knows
        Say whether a source in one of the containers is in this format, by its names.
    read
        Yield the tables of one file, some rows at a time: in our own form, or outcomes.
    read_together
        Yield the tables of all files of a log, where they depend on each other.
    of_outcomes
        Whether it is a table of outcomes, a row for each query and arm, and not a log of decisions.
    needs
        Our names of the columns without which a log is not in this format; errors name those that are missing.
    """

    name: str
    containers: tuple[str, ...]
    knows: Callable[[Reading], bool]
    read: Callable[[Reading], Iterator[pyarrow.Table]]
    read_together: Callable[[Sequence[Reading]], Iterator[pyarrow.Table]] | None = None
    of_outcomes: bool = False
    needs: tuple[str, ...] = ()
