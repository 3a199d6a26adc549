"""The page: one file that needs no other and asks no network; and the same figures as CSV, JSON and PNG."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from banditroute.report.charts import png, svg
from banditroute.report.section import Section, Table


def page(folder: str | Path, *, title: str, facts: Mapping[str, str], sections: Sequence[Section]) -> Path:
    """Write a report: ``report.html``, ``figures.json``, and ``NAME.csv`` and ``NAME.png`` for each section.

    Parameters
    ----------
    folder
        Made if it is not there.
    title
        Of the page.
    facts
        What is to be known of the figures: name -> value.
    sections
        Its parts.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    MissingDependencyError
        If there is a chart and matplotlib is not installed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for section in sections:
        chart = ""
        if section.chart is not None:
            (folder / f"{section.name}.png").write_bytes(png(section.chart))
            chart = f'<figure role="img" aria-label="{escape(section.title)}">{svg(section.chart)}</figure>'
        with (folder / f"{section.name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(section.table.columns)
            writer.writerows(section.table.rows)
        parts.append(
            f'<section id="{escape(section.name)}"><h2>{escape(section.title)}</h2><p>{escape(section.says)}</p>{chart}'
            f"{_table(section.table)}</section>"
        )
    document = {
        "title": title,
        "facts": dict(facts),
        "sections": {
            section.name: [dict(zip(section.table.columns, row, strict=True)) for row in section.table.rows]
            for section in sections
        },
    }
    (folder / "figures.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    told = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    frame = files("banditroute.report").joinpath("frame.html").read_text(encoding="utf-8")
    written = folder / "report.html"
    written.write_text(
        frame.replace("{{title}}", escape(title)).replace("{{facts}}", told).replace("{{sections}}", "".join(parts)),
        encoding="utf-8",
    )
    return written


def _table(table: Table) -> str:
    head = "".join(f'<th><button type="button">{escape(column)}</button></th>' for column in table.columns)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: str | float | None) -> str:
    if value is None:
        return "<td>–</td>"
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return f'<td class="number" data-value="{value!r}">{value:,.4g}</td>'
