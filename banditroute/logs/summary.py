"""Short texts and small tables that show a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from banditroute.core.arrays import Vector

_MOST_ARMS = 8
_MOST_OBJECTIVES = 4
_MOST_CHARACTERS = 30  # of one name


def names_in_short(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are.

    Examples
    --------
    >>> names_in_short([f"arm{i}" for i in range(11)])
    'arm0, arm1, arm2, arm3, arm4, arm5, arm6, arm7 and 3 more'
    """
    more = f" and {len(names) - _MOST_ARMS:,} more" if len(names) > _MOST_ARMS else ""
    return ", ".join(map(_short, names[:_MOST_ARMS])) + more


def means_by_arm(arms: Sequence[str], counts: Any, values: Mapping[str, Vector]) -> list[list[str]]:
    """Return a header and a row for each of the most frequent arms: name, count, mean of each objective.

    Parameters
    ----------
    counts : (K,)
        How often each arm occurs.
    values
        Objective -> ``(n, K)``, NaN where it is not known.
    """
    shown = list(values)[:_MOST_OBJECTIVES]
    rows = [["arm", "", *map(_short, shown)]]
    for k in np.argsort(-np.asarray(counts), kind="stable")[:_MOST_ARMS]:
        of_arm = [values[name][:, k] for name in shown]
        means = ["" if np.isnan(each).all() else f"{np.nanmean(each):.4g}" for each in of_arm]
        rows.append([_short(arms[k]), f"{int(counts[k]):,}", *means])
    return rows


def html_table(caption: str, counted: str, rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table; its second column holds counts."""
    header = [rows[0][0], counted, *rows[0][2:]]
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in header)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows[1:]]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><caption>{escape(caption)}</caption>{body}</table>"


def _short(name: str) -> str:
    return name if len(name) <= _MOST_CHARACTERS else f"{name[: _MOST_CHARACTERS - 1]}…"
