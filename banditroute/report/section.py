"""The parts of a report: a heading, a sentence, a chart, a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of texts and numbers.

    Attributes
    ----------
    columns
        Their names.
    rows
        A value for each column: a text, a number, or None for what is not known.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[str | float | None, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of a report.

    Attributes
    ----------
    name
        Of its files: lower case, no spaces.
    title, says
        Heading, and in a sentence or two what is to be seen.
    chart
        A figure, or None.
    table
        Its figures.
    """

    name: str
    title: str
    says: str
    table: Table
    chart: Figure | None = None
