"""Logs to simulate on: tables of what every arm would have answered to every prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError
from banditroute.logs.decision_log import DecisionLog
from banditroute.logs.readers.outcomes import NAMES
from banditroute.logs.readers.read import open_log, read_log

if TYPE_CHECKING:
    import pyarrow

SHIPPED = str(files("banditroute") / "data" / "paretobandit4" / "paretobandit4.parquet")
"""The table that comes with the package: real answers of four models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeTable:
    """The outcomes of every arm for every prompt, or in a partial log of some arms for each.

    Attributes
    ----------
    name
        The file's name without its ending.
    prompts, tasks
        The n prompts, and the task that each belongs to.
    arms
        The K arms.
    outcomes
        Objective -> ``(n, K)``, in the objective's unit; NaN where it is not known. Where ``quality`` is not known, the
        log is partial: that arm did not answer that prompt.
    skipped
        Kind of damage -> how many rows, or whole queries, were passed over for it.
    """

    name: str
    prompts: tuple[str, ...]
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    outcomes: Mapping[str, Vector]
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.prompts)

    def known(self, row: int) -> dict[str, dict[str, float]]:
        """Arm -> objective -> outcome, of what is known of one row."""
        return {
            arm: {name: float(values[row, k]) for name, values in self.outcomes.items() if not np.isnan(values[row, k])}
            for k, arm in enumerate(self.arms)
        }

    def rows(self) -> Iterator[tuple[str, dict[str, dict[str, float]]]]:
        """Each prompt with what is known of it: what ``Router.warm_start`` takes."""
        return zip(self.prompts, map(self.known, range(len(self))), strict=True)


def read_outcomes(
    path: str | Path,
    *,
    partial: bool = False,
    format: str | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    skip_bad: bool = False,
) -> OutcomeTable:
    """Read a table of outcomes: Parquet, CSV or JSON lines, long or wide.

    A long table has one row per (query, arm). Columns: ``query_id``, ``model`` and ``score`` in [0, 1] are needed;
    ``prompt``, ``dataset`` (task), ``cost_usd``, ``energy_j``, ``latency_s`` and ``output_tokens`` are read where they
    are. A wide one has one row per query, as RouterBench has it: ``sample_id``, ``prompt``, ``eval_name``, and for each
    arm ``ARM`` (score) and ``ARM|total_cost``.

    Parameters
    ----------
    path
        The file, or a folder of files.
    partial
        Whether a (query, arm) may be missing: then only some arms can be chosen for that query.
    format
        ``"long"`` or ``"wide"``, if that is not to be recognised.
    columns
        Our name -> the file's, where it is another: ``query_id``, ``arm``, ``prompt``, ``task``, ``quality``,
        ``cost_usd``, ``energy_joules``, ``latency_seconds``, ``output_tokens``, or an objective of your own.
    skip_bad
        Whether rows that cannot be used are passed over, and counted; after that, whole queries: those that have an
        arm twice, and those that lack one where the table is not partial.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, has no rows, lacks a column, repeats or misses a (query, arm), or has a score that
        is missing or out of range, or another outcome that ``feedback()`` would refuse; with ``skip_bad``, if no query
        is left.
    """
    import pyarrow

    log = open_log(path, format=format, columns=columns, skip_bad=skip_bad)
    if not log.format.of_outcomes:
        raise InvalidInputError(
            f"{path} is a log of decisions ({log.format.name}), which lacks what the other arms would have done; "
            "read it with read_log()"
        )
    tables = [table for table in log.tables() if len(table)]
    if not tables:
        passed = f"; {sum(log.skipped.values()):,} were passed over" if log.skipped else ""
        raise InvalidInputError(f"{path} has no rows that can be used{passed}; one per query and arm is expected")
    rows = pyarrow.concat_tables(tables, promote_options="default")
    skipped = dict(log.skipped)
    query_names, query, arm_names, arm, seen = _pairs(rows)
    wrong: NDArray[np.bool_] = seen > 1 if partial else seen != 1
    if wrong.any() and not skip_bad:
        i, k = np.argwhere(wrong)[0]
        raise InvalidInputError(
            f"{path} has {seen[i, k]} rows for query '{query_names[i]}' and arm '{arm_names[k]}', one is expected "
            f"({wrong.sum()} such pairs of {seen.size}); simulation needs the outcome of every arm for every query"
        )
    if wrong.any():
        repeats, out = (seen > 1).sum(axis=1) > 0, wrong.sum(axis=1) > 0
        if out.all():
            k = (seen > 0).sum(axis=0).argmin()
            raise InvalidInputError(
                f"{path} has no query with every arm once: arm '{arm_names[k]}' has {(seen[:, k] > 0).sum():,} of "
                f"{len(seen):,} queries; leave it out, or read the table as partial"
            )
        whys = {"query that has an arm twice": repeats, "query that lacks an arm": out & ~repeats}
        skipped |= {why: int(queries.sum()) for why, queries in whys.items() if queries.any()}
        rows = rows.filter(~out[query])
        query_names, query, arm_names, arm, seen = _pairs(rows)
    outcomes = {}
    for objective in rows.column_names:
        if objective not in NAMES and rows[objective].null_count < len(rows):
            outcomes[objective] = np.full(seen.shape, np.nan)
            outcomes[objective][query, arm] = rows[objective].to_numpy()
    first = np.empty(len(seen), dtype=np.intp)
    first[query[::-1]] = np.arange(len(query))[::-1]
    return OutcomeTable(
        name=Path(path).stem,
        prompts=_texts(rows, "prompt", first),
        tasks=_texts(rows, "task", first),
        arms=tuple(arm_names.tolist()),
        outcomes=outcomes,
        skipped=skipped,
    )


def read_any(
    address: str | Path,
    *,
    format: str | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    skip_bad: bool = False,
    router: str | None = None,
) -> OutcomeTable | DecisionLog:
    """Read a log, whichever it is: :func:`read_outcomes` of a table of outcomes, :func:`read_log` of decisions.

    Parameters
    ----------
    address, format, columns, skip_bad, router
        As :func:`~banditroute.logs.readers.open_log` takes them.

    Raises
    ------
    InvalidInputError, InvalidConfigurationError
        As the two functions raise them.
    """
    log = open_log(address, format=format, columns=columns, router=router)
    if log.format.of_outcomes:
        return read_outcomes(address, format=format, columns=columns, skip_bad=skip_bad)
    return read_log(address, format=format, columns=columns, skip_bad=skip_bad, router=router)


def _pairs(rows: pyarrow.Table) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[Any], NDArray[np.intp], NDArray[Any]]:
    """Names of the queries, the query of each row, the same of the arms, and how many rows each pair of them has."""
    query_names, query = np.unique(rows["query_id"].to_numpy(), return_inverse=True)
    arm_names, arm = np.unique(rows["arm"].to_numpy(), return_inverse=True)
    seen = np.zeros((len(query_names), len(arm_names)), dtype=int)
    np.add.at(seen, (query, arm), 1)
    return query_names, query, arm_names, arm, seen


def _texts(rows: pyarrow.Table, column: str, at: NDArray[np.intp]) -> tuple[str, ...]:
    if column not in rows.column_names:
        return ("",) * len(at)
    return tuple(text or "" for text in rows[column].take(at).to_pylist())
