"""Tables of outcomes: what every arm achieved on every prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.optional_imports import optional
from banditroute.errors import InvalidInputError
from banditroute.logs.decision_log import DecisionLog
from banditroute.logs.readers.outcomes import NAMES
from banditroute.logs.readers.read import open_log, read_log
from banditroute.logs.summary import html_table, means_by_arm, names_in_short

if TYPE_CHECKING:
    import pyarrow

SHIPPED = str(files("banditroute") / "data" / "paretobandit4" / "paretobandit4.parquet")
"""The path of the table that comes with the package: real answers of four models."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OutcomeTable:
    """The outcomes of every arm for every prompt; a partial table has them for some arms of each prompt.

    Attributes
    ----------
    name
        The name of the file without its ending.
    prompts, tasks
        The n prompts, and the task that each belongs to.
    arms
        The K arms.
    outcomes
        Objective -> ``(n, K)``, in the objective's unit; NaN where it is not known. Where ``quality`` is not known, the
        table is partial: that arm did not answer that prompt.
    skipped
        Reason -> how many rows, or whole queries, were left out for it.
    """

    name: str
    prompts: tuple[str, ...]
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    outcomes: Mapping[str, Vector]
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"OutcomeTable({self.name[:80]!r}, {len(self):,} prompts; arms: {names_in_short(self.arms)}; "
            f"outcomes: {names_in_short(list(self.outcomes)) or 'none'})"
        )

    def _repr_html_(self) -> str:
        """Return a small table for notebooks: answers and mean outcomes of each arm."""
        values = next(iter(self.outcomes.values()), np.empty((0, len(self.arms))))
        answers = (~np.isnan(self.outcomes.get("quality", values))).sum(axis=0)
        return html_table(repr(self), "answers", means_by_arm(self.arms, answers, self.outcomes))

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        name: str = "frame",
        partial: bool = False,
        format: str | None = None,
        skip_bad: bool = False,
        **columns: str,
    ) -> OutcomeTable:
        """Return the table in a data frame, long or wide, as :func:`read_outcomes` reads a file.

        Parameters
        ----------
        frame
            Anything with the Arrow PyCapsule interface: a frame of pandas or polars, a relation of duckdb, a table of
            pyarrow.
        name
            The name of the table.
        partial, format, skip_bad
            As :func:`read_outcomes` takes them.
        columns
            Our name = the frame's column: ``query``, ``arm``, ``prompt``, ``task`` and objectives, as in
            ``quality="is_correct"``. In a wide frame the name of an objective is what its columns have in common:
            ``quality="score"`` reads ``small_score`` and ``large_score``.

        Raises
        ------
        InvalidInputError
            As :func:`read_outcomes` raises it.
        MissingDependencyError
            If pyarrow is not installed.

        Examples
        --------
        >>> import pyarrow
        >>> frame = pyarrow.table({"q": [1, 2], "small_ok": [0, 1], "large_ok": [1, 1]})
        >>> OutcomeTable.from_frame(frame, query="q", quality="ok")
        OutcomeTable('frame', 2 prompts; arms: large, small; outcomes: quality)
        """
        table = read_outcomes(frame, partial=partial, format=format, columns=columns, skip_bad=skip_bad)
        return replace(table, name=name)

    def to_arrow(self) -> pyarrow.Table:
        """Return the table in long form, one row a query and arm; :meth:`from_frame` reads it.

        Raises
        ------
        MissingDependencyError
            If pyarrow is not installed.
        """
        arrow = optional("pyarrow", extra="logs")
        known = ~np.isnan(np.stack(list(self.outcomes.values()))).all(axis=0)
        row, k = np.nonzero(known)
        digits = len(str(len(self)))
        texts = {
            "query_id": [f"{i:0{digits}d}" for i in row.tolist()],
            "arm": [self.arms[i] for i in k.tolist()],
            "prompt": [self.prompts[i] for i in row.tolist()],
            "task": [self.tasks[i] for i in row.tolist()],
        }
        columns = {column: arrow.array(values, arrow.string()) for column, values in texts.items()}
        values = {name: arrow.array(each[row, k], from_pandas=True) for name, each in self.outcomes.items()}
        return arrow.table(columns | values)

    def to_frame(self) -> Any:
        """Return :meth:`to_arrow` as a pandas DataFrame.

        Raises
        ------
        MissingDependencyError
            If pyarrow or pandas is not installed.
        """
        optional("pandas", extra="logs")
        return self.to_arrow().to_pandas()

    def __len__(self) -> int:
        return len(self.prompts)

    def known(self, row: int) -> dict[str, dict[str, float]]:
        """Return arm -> objective -> outcome, as far as it is known for one row."""
        return {
            arm: {name: float(values[row, k]) for name, values in self.outcomes.items() if not np.isnan(values[row, k])}
            for k, arm in enumerate(self.arms)
        }

    def rows(self) -> Iterator[tuple[str, dict[str, dict[str, float]]]]:
        """Yield each prompt with its known outcomes, as ``Router.warm_start`` takes them."""
        return zip(self.prompts, map(self.known, range(len(self))), strict=True)


_Pairs: TypeAlias = tuple[NDArray[Any], NDArray[np.intp], NDArray[Any], NDArray[np.intp], NDArray[Any]]


def read_outcomes(
    address: Any,
    *,
    partial: bool = False,
    format: str | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    skip_bad: bool = False,
) -> OutcomeTable:
    """Read a table of outcomes, long or wide: Parquet, CSV, JSON lines or a data frame.

    A long table has a row for each query and arm, a wide one a row for each query. docs/reference/formats.md names the
    columns.

    Parameters
    ----------
    address
        The file, a folder of files, or a data frame.
    partial
        Whether outcomes of some arms may be missing for a query; such arms cannot be chosen for it.
    format
        ``"long"`` or ``"wide"``. Default: recognised.
    columns
        Our name -> the file's, where it is not the usual one: ``query_id``, ``arm``, ``prompt``, ``task``,
        ``quality``, ``cost_usd``, ``energy_joules``, ``latency_seconds``, ``output_tokens``, or an objective of your
        own. The file's name may be followed by a factor: ``{"latency_seconds": "latency_ms*0.001"}``.
    skip_bad
        Leave out rows that cannot be used, and count them. Then whole queries are left out, too: those that have an
        arm twice, and those that lack one where the table is not partial.

    Raises
    ------
    InvalidInputError
        If it cannot be read, has no rows, lacks a column, repeats or lacks an arm for a query, has a missing score, or
        has an outcome out of range; with ``skip_bad``, if no query is left.
    """
    log = open_log(address, format=format, columns=columns, skip_bad=skip_bad)
    if not log.format.of_outcomes:
        raise InvalidInputError(
            f"{log.address} is a log of decisions ({log.format.name}), which lacks the outcomes of the other arms; "
            "read it with read_log()"
        )
    import pyarrow

    tables = [table for table in log.tables() if len(table)]
    if not tables:
        left_out = f"; {sum(log.skipped.values()):,} were left out" if log.skipped else ""
        raise InvalidInputError(
            f"{log.address} has no rows that can be used{left_out}; one per query and arm is expected"
        )
    rows = pyarrow.concat_tables(tables, promote_options="default")
    skipped = dict(log.skipped)
    query_names, query, arm_names, arm, seen = _pairs(rows)
    wrong: NDArray[np.bool_] = seen > 1 if partial else seen != 1
    if wrong.any() and not skip_bad:
        i, k = np.argwhere(wrong)[0]
        raise InvalidInputError(
            f"{log.address} has {seen[i, k]} rows for query {query_names[i]!r:.80} and arm {arm_names[k]!r:.80}, "
            f"one is expected ({wrong.sum()} such pairs of {seen.size}); simulation needs the outcome of every arm for "
            "every query; if some are missing on purpose, read it with partial=True"
        )
    if wrong.any():
        repeats, out = (seen > 1).sum(axis=1) > 0, wrong.sum(axis=1) > 0
        if out.all():
            k = (seen > 0).sum(axis=0).argmin()
            raise InvalidInputError(
                f"{log.address} has no query with every arm once: arm {arm_names[k]!r:.80} has "
                f"{(seen[:, k] > 0).sum():,} of {len(seen):,} queries; leave it out, or read with partial=True"
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
        name=Path(log.address).stem,
        prompts=_texts(rows, "prompt", first),
        tasks=_texts(rows, "task", first),
        arms=tuple(arm_names.tolist()),
        outcomes=outcomes,
        skipped=skipped,
    )


def read_any(
    address: Any,
    *,
    format: str | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    skip_bad: bool = False,
    router: str | None = None,
) -> OutcomeTable | DecisionLog:
    """Read a log of either kind: a table of outcomes, or decisions.

    Parameters
    ----------
    address, format, columns, skip_bad, router
        As :func:`~banditroute.logs.open_log` takes them.

    Raises
    ------
    InvalidInputError, InvalidConfigurationError
        As :func:`read_outcomes` and :func:`~banditroute.logs.read_log` raise them.
    """
    log = open_log(address, format=format, columns=columns, router=router)
    if log.format.of_outcomes:
        return read_outcomes(address, format=format, columns=columns, skip_bad=skip_bad)
    return read_log(address, format=format, columns=columns, skip_bad=skip_bad, router=router)


def _pairs(rows: pyarrow.Table) -> _Pairs:
    """Return query names, the query of each row, arm names, the arm of each row, and counts of pairs ``(n, K)``."""
    query_names, query = np.unique(rows["query_id"].to_numpy(), return_inverse=True)
    arm_names, arm = np.unique(rows["arm"].to_numpy(), return_inverse=True)
    seen = np.zeros((len(query_names), len(arm_names)), dtype=int)
    np.add.at(seen, (query, arm), 1)
    return query_names, query, arm_names, arm, seen


def _texts(rows: pyarrow.Table, column: str, at: NDArray[np.intp]) -> tuple[str, ...]:
    if column not in rows.column_names:
        return ("",) * len(at)
    return tuple(text or "" for text in rows[column].take(at).to_pylist())
