"""What every reader is given, and what a format is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from banditroute.errors import InvalidInputError
from banditroute.logs.readers.canonical import RANGES
from banditroute.logs.readers.row_errors import Damage
from banditroute.logs.readers.source import Source

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One file of a log that is read, or a database.

    Attributes
    ----------
    source
        Where it is.
    damage
        Told of every row that cannot be used.
    columns
        Our name -> the log's name, where it is not the format's own.
    router
        Of our own logs: only the decisions of this router.
    first
        Name -> what a format found in the first row and asks of all; the files of a log share it.
    """

    source: Source
    damage: Damage
    columns: Mapping[str, str]
    router: str | None = None
    first: dict[str, Any] = field(default_factory=dict)

    def fields(self, usual: Mapping[str, str]) -> dict[str, str]:
        """Our name -> the log's name: as asked for, or as usual, unless that is asked for as another objective."""
        asked = self.columns.values()
        kept = {ours: theirs for ours, theirs in usual.items() if ours not in RANGES or theirs not in asked}
        return {**kept, **self.columns}

    def require(self, *names: str) -> None:
        """Refuse a table without these columns.

        Raises
        ------
        InvalidInputError
            That names them.
        """
        missing = sorted({*names} - {*self.source.names})
        if missing:
            has = ", ".join(self.source.names[:20])
            raise InvalidInputError(f"{self.source.address} has no column {', '.join(missing)}; it has {has}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A way to write logs.

    Attributes
    ----------
    name
        What it is called on the command line.
    containers
        What it may be in.
    knows
        Whether a source is in this format, by its names; it is in one of the containers.
    read
        Yields tables, some rows at a time: of our own form, or of outcomes.
    of_outcomes
        Whether it is a table of outcomes, one row for each query and arm, instead of a log of decisions.
    """

    name: str
    containers: tuple[str, ...]
    knows: Callable[[Reading], bool]
    read: Callable[[Reading], Iterator[pyarrow.Table]]
    of_outcomes: bool = False
