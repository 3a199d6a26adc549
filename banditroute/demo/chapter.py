"""A chapter of the story: a title, a sentence, three numbers, and the rows behind them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from banditroute.report import Section, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One chapter.

    Attributes
    ----------
    name
        Name of its files: lower case, no spaces.
    title, sentence
        Heading, and what the numbers show.
    numbers
        Three pairs of a label and a value.
    columns, rows
        The table behind the numbers.
    picture
        A chart; None where the chapter has none.
    afterword
        Lines that the terminal prints below the numbers, as they are.
    """

    name: str
    title: str
    sentence: str
    numbers: Sequence[tuple[str, str]]
    columns: tuple[str, ...]
    rows: Sequence[tuple[str | float | None, ...]]
    picture: Figure | None = None
    afterword: str = ""

    def text(self, *, width: int) -> str:
        """Return the chapter for a terminal of ``width`` columns."""
        longest = max(len(label) for label, _ in self.numbers)
        lines = textwrap.wrap(self.sentence, width - 3)
        lines += [f"  {label:<{longest}}  {value}" for label, value in self.numbers]
        lines += self.afterword.splitlines()
        return "\n".join(f"   {line}".rstrip() for line in lines)

    def section(self, number: int) -> Section:
        """Return the chapter as a part of a page."""
        return Section(
            name=self.name,
            title=f"{number}. {self.title}",
            says=self.sentence,
            numbers=self.numbers,
            table=Table(columns=self.columns, rows=self.rows),
            chart=self.picture,
        )


def dollars(usd_per_request: float) -> str:
    """Return the cost of 1,000 requests.

    Examples
    --------
    >>> dollars(0.00023)
    '$0.23 per 1,000 requests'
    """
    return f"${1000 * usd_per_request:.2f} per 1,000 requests"


def short(arm: str) -> str:
    """Return an arm's name without its vendor.

    Examples
    --------
    >>> short("mistralai/mistral-large")
    'mistral-large'
    """
    return arm.rsplit("/", 1)[-1]
