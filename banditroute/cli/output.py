"""Values as JSON, and tables that fit a terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import click
import numpy as np

WIDTH = 80
"""Columns of a terminal that every table fits."""

_LEAST_WIDTH = 8  # of the first column, when a table is too wide


def print_json(value: Any) -> None:
    """Print a value as JSON: dataclasses and named tuples become objects, numbers that are not finite become null."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def plain(value: Any) -> Any:
    """Return a value made of what JSON has.

    Examples
    --------
    >>> plain({"mean": np.float64("nan"), "arms": ("a", "b"), "counts": np.arange(2)})
    {'mean': None, 'arms': ['a', 'b'], 'counts': [0, 1]}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):  # a named tuple
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


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
