"""Logs to simulate on: tables of what every arm would have answered to every prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from banditroute.errors import InvalidInputError
from banditroute.simulate.readers.outcomes import NAMES
from banditroute.simulate.readers.read import open_log
from banditroute.types import Vector

if TYPE_CHECKING:
    import pyarrow


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
    """

    name: str
    prompts: tuple[str, ...]
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    outcomes: Mapping[str, Vector]

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
) -> OutcomeTable:
    """Read a table of outcomes: Parquet, CSV or JSON lines, long or wide.

    A long table has one row per (query, arm). Columns: ``query_id``, ``model`` and ``score`` in [0, 1] are needed;
    ``prompt``, ``dataset`` (task), ``cost_usd``, ``energy_j``, ``latency_s`` and ``output_tokens`` are read where they
    are. A wide one has one row per query, as RouterBench has it: ``sample_id``, ``prompt``, ``eval_name``, and for each
    arm ``ARM`` (score) and ``ARM|total_cost``.

    Parameters
    ----------
    path
        The file.
    partial
        Whether a (query, arm) may be missing: then only some arms can be chosen for that query.
    format
        ``"long"`` or ``"wide"``, if that is not to be recognised.
    columns
        Our name -> the file's, where it is another: ``query_id``, ``arm``, ``prompt``, ``task``, ``quality``,
        ``cost_usd``, ``energy_joules``, ``latency_seconds``, ``output_tokens``, or an objective of your own.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, has no rows, lacks a column, repeats or misses a (query, arm), or has a score that
        is missing or out of range, or another outcome that ``feedback()`` would refuse.
    """
    import pyarrow

    log = open_log(path, format=format, columns=columns)
    if not log.format.of_outcomes:
        raise InvalidInputError(
            f"{path} is a log of decisions ({log.format.name}), which lacks what the other arms would have done; "
            "read it with read_log()"
        )
    tables = [table for table in log.tables() if len(table)]
    if not tables:
        raise InvalidInputError(f"{path} has no rows; one per query and arm is expected")
    rows = pyarrow.concat_tables(tables)
    query_names, query = np.unique(rows["query_id"].to_numpy(), return_inverse=True)
    arm_names, arm = np.unique(rows["arm"].to_numpy(), return_inverse=True)
    shape = (len(query_names), len(arm_names))
    seen = np.zeros(shape, dtype=int)
    np.add.at(seen, (query, arm), 1)
    wrong = np.argwhere(seen > 1 if partial else seen != 1)
    if len(wrong):
        i, k = wrong[0]
        raise InvalidInputError(
            f"{path} has {seen[i, k]} rows for query '{query_names[i]}' and arm '{arm_names[k]}', one is expected "
            f"({len(wrong)} such pairs of {seen.size}); simulation needs the outcome of every arm for every query"
        )
    outcomes = {}
    for objective in rows.column_names:
        if objective not in NAMES and rows[objective].null_count < len(rows):
            outcomes[objective] = np.full(shape, np.nan)
            outcomes[objective][query, arm] = rows[objective].to_numpy()
    first = np.empty(shape[0], dtype=np.intp)
    first[query[::-1]] = np.arange(len(query))[::-1]
    return OutcomeTable(
        name=Path(path).stem,
        prompts=_texts(rows, "prompt", first),
        tasks=_texts(rows, "task", first),
        arms=tuple(arm_names.tolist()),
        outcomes=outcomes,
    )


def _texts(rows: pyarrow.Table, column: str, at: np.ndarray) -> tuple[str, ...]:
    if column not in rows.column_names:
        return ("",) * len(at)
    return tuple(text or "" for text in rows[column].take(at).to_pylist())
