"""Logs to simulate on: tables of what every arm would have answered to every prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from banditroute.errors import InvalidInputError
from banditroute.types import Vector

if TYPE_CHECKING:
    import pyarrow

_OBJECTIVES = {
    "score": "quality",
    "cost_usd": "cost_usd",
    "energy_j": "energy_joules",
    "latency_s": "latency_seconds",
    "output_tokens": "output_tokens",
}


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
    path: str | Path, *, partial: bool = False, further: Mapping[str, str] = MappingProxyType({})
) -> OutcomeTable:
    """Read a Parquet file with one row per (query, arm).

    Columns: ``query_id``, ``model`` and ``score`` in [0, 1] are needed; ``prompt``, ``dataset`` (task), ``cost_usd``,
    ``energy_j``, ``latency_s`` and ``output_tokens`` are read where they are.

    Parameters
    ----------
    path
        The file.
    partial
        Whether a (query, arm) may be missing: then only some arms can be chosen for that query.
    further
        Columns of objectives of your own -> their names.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, has no rows, lacks a column, repeats or misses a (query, arm), or has a score that
        is missing or out of range, or another outcome that ``feedback()`` would refuse.
    """
    import pyarrow
    import pyarrow.parquet

    path = Path(path)
    try:
        rows = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise InvalidInputError(f"{path} cannot be read as Parquet: {error}") from error
    missing = {"query_id", "model", "score"} - set(rows.column_names)
    if missing:
        raise InvalidInputError(
            f"{path} has no column {', '.join(sorted(missing))}; it has {', '.join(rows.column_names)}"
        )
    if not len(rows):
        raise InvalidInputError(f"{path} has no rows; one per query and arm is expected")
    query_names, query = _ids(rows, "query_id", path)
    arm_names, arm = _ids(rows, "model", path)
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
    for column, objective in {**_OBJECTIVES, **further}.items():
        if column in rows.column_names and rows[column].null_count < len(rows):
            values = np.full(shape, np.nan)
            values[query, arm] = _numbers(rows, column, path)
            outcomes[objective] = values
    quality = outcomes.get("quality", np.full(shape, np.nan))
    if not ((quality >= 0.0) & (quality <= 1.0) | (seen == 0)).all():
        raise InvalidInputError(f"{path} has a score that is missing or outside [0, 1]; scale or drop it")
    first = np.empty(shape[0], dtype=np.intp)
    first[query[::-1]] = np.arange(len(query))[::-1]
    return OutcomeTable(
        name=path.stem,
        prompts=_texts(rows, "prompt", first),
        tasks=_texts(rows, "dataset", first),
        arms=tuple(arm_names.tolist()),
        outcomes=outcomes,
    )


def _ids(rows: pyarrow.Table, column: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The names in a column, sorted, and the position of each row's name among them."""
    if rows[column].null_count:
        raise InvalidInputError(
            f"{path} has rows without {column}: {rows[column].null_count} of {len(rows)}; drop them"
        )
    names, positions = np.unique(rows[column].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    return names, positions


def _numbers(rows: pyarrow.Table, column: str, path: Path) -> Vector:
    """A column as float64, NaN where it is null."""
    try:
        values: Vector = rows[column].to_numpy(zero_copy_only=False).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{path}: column {column} is {rows[column].type}, expected are numbers") from error
    if column != "score" and ((values < 0.0) | np.isinf(values)).any():
        raise InvalidInputError(
            f"{path}: column {column} has a value below 0 or infinite; correct it or leave it empty"
        )
    return values


def _texts(rows: pyarrow.Table, column: str, at: np.ndarray) -> tuple[str, ...]:
    if column not in rows.column_names:
        return ("",) * len(at)
    return tuple(text or "" for text in rows[column].take(at).to_pylist())
