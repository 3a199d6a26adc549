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
        A value for each column: a text, a number, or None where it is unknown.
    usd
        Columns that hold dollars per request; the page shows dollars per 1,000 requests.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[str | float | None, ...]]
    usd: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of a report.

    Attributes
    ----------
    name
        Name of its files; the page turns it into a safe file name.
    title, says
        Heading, and a sentence or two about what it shows.
    chart
        A figure, or None.
    table
        The figures of the chart.
    numbers
        Pairs of a label and a value that stand out above the chart.
    """

    name: str
    title: str
    says: str
    table: Table
    chart: Figure | None = None
    numbers: Sequence[tuple[str, str]] = ()
