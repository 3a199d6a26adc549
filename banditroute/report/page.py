"""The page: one file that needs no other and asks no network; and the same figures as CSV, JSON and PNG."""

from __future__ import annotations

import csv
import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from banditroute.evaluate import dollars
from banditroute.report.charts import png, svg
from banditroute.report.section import Section, Table

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "|")


def page(
    folder: str | Path, *, title: str, facts: Mapping[str, str], sections: Sequence[Section], verdict: str = ""
) -> Path:
    """Write a report: ``report.html``, ``figures.json``, and ``NAME.csv`` and ``NAME.png`` for each section.

    Parameters
    ----------
    folder
        Folder of the files; it is made if it does not exist.
    title
        Title of the page.
    facts
        Facts about the figures: name -> value.
    sections
        Its parts.
    verdict
        The answer in a sentence or two, shown first.

    Returns
    -------
    Path
        Path of the page.

    Raises
    ------
    MissingDependencyError
        If there is a chart and matplotlib is not installed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    names = _file_names([section.name for section in sections])
    for name, section in zip(names, sections, strict=True):
        chart = ""
        if section.chart is not None:
            (folder / f"{name}.png").write_bytes(png(section.chart))
            chart = f'<figure role="img" aria-label="{escape(section.title)}">{svg(section.chart)}</figure>'
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerows(map(_no_formulas, (section.table.columns, *section.table.rows)))
        parts.append(
            f'<section id="{name}"><h2>{escape(section.title)}</h2><p>{escape(section.says)}</p>'
            f"{_numbers(section.numbers)}{chart}"
            f"{_table(section.table)}</section>"
        )
    document = {
        "title": title,
        "verdict": verdict,
        "facts": dict(facts),
        "sections": {
            name: [dict(zip(section.table.columns, row, strict=True)) for row in section.table.rows]
            for name, section in zip(names, sections, strict=True)
        },
    }
    (folder / "figures.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    fact_list = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    filled = {"title": escape(title), "verdict": escape(verdict), "facts": fact_list, "sections": "".join(parts)}
    frame = files("banditroute.report").joinpath("frame.html").read_text(encoding="utf-8")
    written = folder / "report.html"
    # One pass over the frame: what is filled in is never searched for more to fill.
    text = re.sub(r"\{\{(\w+)\}\}", lambda place: filled[place[1]], frame)
    written.write_text(text, encoding="utf-8")
    return written


def _file_names(names: Sequence[str]) -> list[str]:
    """Return names of files that are safe on every system and differ also where case does not count."""
    taken: set[str] = set()
    slugs = []
    for name in names:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        slug = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-")[:80] or "section"
        unique, count = slug, 1
        while unique in taken:
            count += 1
            unique = f"{slug}-{count}"
        taken.add(unique)
        slugs.append(unique)
    return slugs


def _no_formulas(row: Sequence[str | float | None]) -> list[str | float | None]:
    """Return the row with texts quoted that a spreadsheet would run as formulas."""
    return [f"'{cell}" if isinstance(cell, str) and cell[:1] in _FORMULA_STARTS and cell else cell for cell in row]


def _numbers(numbers: Sequence[tuple[str, str]]) -> str:
    pairs = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in numbers)
    return f'<dl class="numbers">{pairs}</dl>' if pairs else ""


def _table(table: Table) -> str:
    shown = (f"{column}, $ per 1,000 requests" if column in table.usd else column for column in table.columns)
    head = "".join(f'<th><button type="button">{escape(column)}</button></th>' for column in shown)
    money = [column in table.usd for column in table.columns]
    body = "".join("<tr>" + "".join(map(_cell, row, money)) + "</tr>" for row in table.rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: str | float | None, usd: bool) -> str:
    if value is None:
        return "<td>–</td>"
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    text = dollars(1_000.0 * value) if usd else number_text(value)
    return f'<td class="number" data-value="{value!r}">{text}</td>'


def number_text(value: float) -> str:
    """Return a number with four digits and without an exponent where it is small.

    Examples
    --------
    >>> number_text(1234.56), number_text(0.00005878), number_text(3.0)
    ('1,235', '0.00005878', '3')
    """
    if value and abs(value) < 1e-4:
        return f"{value:.{min(3 - math.floor(math.log10(abs(value))), 20)}f}"
    return f"{value:,.0f}" if abs(value) >= 1_000.0 else f"{value:.4g}"
