"""The form that all benchmarks share: arguments, rows, table, JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before numpy: one BLAS thread, so that runs compare

import click
import numpy as np

from banditroute.errors import InvalidInputError
from banditroute.logs import OutcomeTable, read_outcomes

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured figure: mean, spread and worst over n seeds or repeats."""

    case: str
    policy: str
    metric: str
    mean: float
    std: float
    worst: float
    n: int


def priced(file: Path) -> OutcomeTable:
    """Return the table of a file that has the cost of every arm for every prompt."""
    table = read_outcomes(file)
    if np.isnan(table.outcomes.get("cost_usd", np.nan)).any():
        raise click.UsageError(f"{file.name} does not have the cost of every arm for every prompt")
    return table


def row(case: str, policy: str, metric: str, values: Sequence[float], *, higher_is_better: bool = True) -> Row:
    """A row from one value per seed."""
    data = np.asarray(values, dtype=float)
    return Row(
        case=case,
        policy=policy,
        metric=metric,
        mean=float(data.mean()),
        std=float(data.std(ddof=1)) if len(data) > 1 else 0.0,
        worst=float(data.min() if higher_is_better else data.max()),
        n=len(data),
    )


def report(rows: Sequence[Row], json_path: str | None) -> None:
    """Print the rows as a table and write them as JSON."""
    head = ("case", "policy", "metric", "mean", "std", "worst", "n")
    body = [(r.case, r.policy, r.metric, f"{r.mean:.4g}", f"{r.std:.2g}", f"{r.worst:.4g}", str(r.n)) for r in rows]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    for line in [head, *body]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if json_path:
        document = {"python": platform.python_version(), "numpy": np.__version__, "rows": [asdict(r) for r in rows]}
        Path(json_path).write_text(json.dumps(document, indent=1) + "\n")


def command(
    *, default_files: Sequence[str] = (), seeds: int = 20, options: Sequence[Callable[..., Any]] = ()
) -> Callable[[Callable[..., Any]], click.Command]:
    """A click command with the arguments ``[FILE ...] [--seeds N] [--json OUT]``; files default to the shared data.

    ``options`` are the command's own, as made by ``click.option``, passed on by name.
    """

    def wrap(function: Callable[..., Any]) -> click.Command:
        @click.command(help=function.__doc__)
        @click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False))
        @click.option("--seeds", default=seeds, show_default=True, type=click.IntRange(min=1))
        @click.option("--json", "json_path", type=click.Path(dir_okay=False, writable=True))
        def run(files: tuple[str, ...], seeds: int, json_path: str | None, **own: Any) -> None:
            paths = [Path(file) for file in files] or [DATA / name for name in default_files]
            missing = [path for path in paths if not path.exists()]
            if missing:
                raise click.UsageError(f"{missing[0].name} is not in {DATA.parent.name}/data; name the files to use")
            try:
                rows = function(files=paths, seeds=seeds, **own)
            except InvalidInputError as error:  # of a file
                raise click.UsageError(str(error)) from error
            report(rows, json_path)

        for option in options:
            run = option(run)
        return run

    return wrap
