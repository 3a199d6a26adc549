"""Values as JSON, and tables that fit a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from banditroute.core.plain_values import plain

WIDTH = 80
"""Columns of a terminal that every table fits."""

_LEAST_WIDTH = 8  # of the first column, when a table is too wide


def print_json(value: Any) -> None:
    """Print a value as JSON: dataclasses and named tuples become objects, numbers that are not finite become null."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def answer(text: str, value: Any, *, as_json: bool) -> None:
    """Print the answer of a command: the text, or the value as JSON."""
    if as_json:
        print_json(value)
    else:
        click.echo(text)


def table(rows: Sequence[Sequence[str]], width: int = WIDTH) -> str:
    """Return rows as an aligned table under a rule, the first column to the left; names are cut where it is too wide.

    Examples
    --------
    >>> print(table([["arm", "share"], ["a-very-long-name", "0.5"]], width=16))
    arm        share
    ----------------
    a-very-l…    0.5
    """
    rows = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    surplus = sum(widths) + 2 * (len(widths) - 1) - width
    if surplus > 0:
        widths[0] = max(_LEAST_WIDTH, widths[0] - surplus)
    lines = [
        "  ".join([_cut(row[0], widths[0]).ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * min(width, sum(widths) + 2 * (len(widths) - 1)), *lines[1:]])


def _printable(text: str) -> str:
    """Return a text without characters that steer a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
