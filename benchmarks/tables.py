"""Rebuild the tables of benchmarks from their JSON, and say what moved by more than noise.

``python -m benchmarks.tables NEW`` prints Markdown tables, one for each metric. NEW is the JSON of one benchmark, or a
folder that holds one file for each benchmark. ``python -m benchmarks.tables OLD NEW`` also compares two runs: a figure
moved if the means differ by more than 3 standard errors of their difference,
``sqrt(std_old² / n_old + std_new² / n_new)``, and by more than a thousandth.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from benchmarks.harness import Row

_STANDARD_ERRORS = 3.0
_SMALLEST_RELATIVE_CHANGE = 1e-3  # figures that never vary differ in their last digits
_RUN = click.Path(exists=True, path_type=Path)


def read(path: Path) -> dict[str, list[Row]]:
    """Return the rows of each benchmark of a run, by the name of its file; a file alone has the name ""."""
    files = {each.stem: each for each in sorted(path.glob("*.json"))} if path.is_dir() else {"": path}
    if not files:
        raise click.UsageError(f"the folder {path} holds no .json file; write one with --json of a benchmark")
    return {
        name: [Row(**row) for row in json.loads(file.read_text(encoding="utf-8"))["rows"]]
        for name, file in files.items()
    }


def tables(rows: Iterable[Row]) -> str:
    """Return a Markdown table for each metric: a line for each policy, a column for each case; mean, and worst seed."""
    parts = []
    rows = list(rows)
    for metric in dict.fromkeys(row.metric for row in rows):
        found = {(row.policy, row.case): row for row in rows if row.metric == metric}
        cases = list(dict.fromkeys(case for _, case in found))
        lines = [f"| {metric} | {' | '.join(cases)} |", f"|---|{'---|' * len(cases)}"]
        for policy in dict.fromkeys(policy for policy, _ in found):
            cells = [_cell(found.get((policy, case))) for case in cases]
            lines.append(f"| {policy} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def moved(old: Iterable[Row], new: Iterable[Row]) -> list[str]:
    """Return a line for each figure that moved by more than noise, that is new, or that is gone."""
    before, after = _by_name(old), _by_name(new)
    lines = []
    for name in dict.fromkeys([*before, *after]):
        a, b = before.get(name), after.get(name)
        where = " | ".join(name)
        if a is None or b is None:
            lines.append(f"{where}: {'new' if a is None else 'gone'}")
            continue
        error = math.sqrt(a.std**2 / a.n + b.std**2 / b.n)
        change = b.mean - a.mean
        if abs(change) > max(_STANDARD_ERRORS * error, _SMALLEST_RELATIVE_CHANGE * abs(a.mean)):
            times = f", {abs(change) / error:.1f} standard errors" if error else ""
            lines.append(f"{where}: {a.mean:.4g} -> {b.mean:.4g} ({change:+.2g}{times})")
    return lines


def _by_name(rows: Iterable[Row]) -> Mapping[tuple[str, str, str], Row]:
    return {(row.case, row.policy, row.metric): row for row in rows}


def _cell(row: Row | None) -> str:
    return "–" if row is None else f"{row.mean:.4g} ({row.worst:.4g})"


@click.command(help=__doc__)
@click.argument("runs", nargs=-1, required=True, type=_RUN)
def main(runs: tuple[Path, ...]) -> None:
    *earlier, latest = runs
    if len(earlier) > 1:
        raise click.UsageError("name one run to show it, or two to compare them")
    new = read(latest)
    for name, rows in new.items():
        click.echo(f"### {name}\n\n{tables(rows)}\n" if name else tables(rows))
    if earlier:
        old = read(earlier[0])
        found = [
            f"{name}: {line}" if name else line
            for name in dict.fromkeys([*old, *new])
            for line in moved(old.get(name, []), new.get(name, []))
        ]
        click.echo("\nmoved by more than noise:\n" + "\n".join(found or ["nothing"]))


if __name__ == "__main__":
    main()
