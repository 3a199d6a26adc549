"""A log of decisions: which arm was chosen, with which probability, and the outcomes that were observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.optional_imports import optional
from banditroute.errors import InvalidInputError
from banditroute.logs.summary import html_table, means_by_arm, names_in_short

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class DecisionLog:
    """n decisions between K arms; only the outcomes of the chosen arm are known.

    Attributes
    ----------
    arms
        The K arms that were chosen or could have been, sorted by name.
    chosen : (n,) int
        Position of the chosen arm in ``arms``.
    eligible : (n, K) bool
        True for arms that could be chosen. Where the log does not say it: all of them.
    propensities : (n,) or None
        The probability with which the arm was chosen, in (0, 1]; NaN in a row that does not say it. None: no row says
        it, and the log answers no question about another policy.
    probabilities : (n, K) or None
        The probability of every arm, 0 where it was not eligible; NaN in a row that does not say it.
    contexts : (n, d) or None
        The context of each decision, last entry 1.0 (bias); NaN in a row that has none, or one of other features than
        the last row.
    prompts, sessions, tasks
        Texts of each decision; "" in a row without one. None: no row has one.
    outcomes
        Objective -> ``(n,)``, in the objective's unit; NaN where it was not observed.
    decided_at : (n,)
        Unix time in seconds; NaN where the log does not say it. Rows are in the order of the log.
    skipped
        Reason -> how many rows were left out for it.

    Raises
    ------
    InvalidInputError
        If the shapes of the arrays do not fit each other.

    Examples
    --------
    >>> log = DecisionLog(
    ...     arms=("large", "small"),
    ...     chosen=np.array([0, 1]),
    ...     eligible=np.ones((2, 2), dtype=bool),
    ...     propensities=np.array([0.5, 0.9]),
    ...     outcomes={"quality": np.array([1.0, np.nan])},
    ...     decided_at=np.array([0.0, 1.0]),
    ... )
    >>> len(log), log.arms[log.chosen[1]]
    (2, 'small')
    >>> log
    DecisionLog(2 decisions, 2 with a propensity; arms: large, small; outcomes: quality)
    """

    arms: tuple[str, ...]
    chosen: NDArray[np.intp]
    eligible: NDArray[np.bool_]
    outcomes: Mapping[str, Vector]
    decided_at: Vector
    propensities: Vector | None = None
    probabilities: Vector | None = None
    contexts: Vector | None = None
    prompts: tuple[str, ...] | None = None
    sessions: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, k = len(self.chosen), len(self.arms)
        shapes = {
            "eligible": (self.eligible, (n, k)),
            "probabilities": (self.probabilities, (n, k)),
            "propensities": (self.propensities, (n,)),
            "decided_at": (self.decided_at, (n,)),
            "contexts": (self.contexts, (n, *(self.contexts.shape[-1:] if self.contexts is not None else ()))),
            **{name: (getattr(self, name), (n,)) for name in ("prompts", "sessions", "tasks")},
            **{f"outcomes[{name!r}]": (values, (n,)) for name, values in self.outcomes.items()},
        }
        for name, (values, shape) in shapes.items():
            found = (len(values),) if isinstance(values, tuple) else np.shape(values)  # texts are not made an array
            if values is not None and found != shape:
                raise InvalidInputError(
                    f"{name} has shape {found}, expected is {shape}: there are {n} decisions and {k} arms"
                )

    def __len__(self) -> int:
        return len(self.chosen)

    def __repr__(self) -> str:
        known = 0 if self.propensities is None else int(np.isfinite(self.propensities).sum())
        return (
            f"DecisionLog({len(self):,} decisions, {known:,} with a propensity; arms: {names_in_short(self.arms)}; "
            f"outcomes: {names_in_short(list(self.outcomes)) or 'none'})"
        )

    def _repr_html_(self) -> str:
        """Return a small table for notebooks: decisions and mean outcomes of each arm."""
        rows = np.eye(len(self.arms), dtype=bool)[self.chosen]
        values = {name: np.where(rows, each[:, None], np.nan) for name, each in self.outcomes.items()}
        return html_table(repr(self), "decisions", means_by_arm(self.arms, rows.sum(axis=0), values))

    @classmethod
    def from_frame(
        cls, frame: Any, *, format: str | None = None, skip_bad: bool = False, **columns: str
    ) -> DecisionLog:
        """Return the log in a data frame, one row a decision, as :func:`~banditroute.logs.read_log` reads a file.

        Parameters
        ----------
        frame
            Anything with the Arrow PyCapsule interface: a frame of pandas or polars, a relation of duckdb, a table of
            pyarrow.
        format
            The name of its format. Default: recognised.
        skip_bad
            Leave out rows that cannot be used, and count them.
        columns
            Our name = the frame's column: ``arm``, ``propensity``, ``decided_at``, ``session``, ``task``, ``prompt``,
            and objectives, as in ``quality="judge"``.

        Raises
        ------
        InvalidInputError
            If the frame has no such column, or a row that cannot be used.
        MissingDependencyError
            If pyarrow is not installed.

        Examples
        --------
        >>> import pyarrow
        >>> frame = pyarrow.table({"model": ["small", "large"], "p": [0.5, 0.5], "judge": [1.0, 0.0]})
        >>> DecisionLog.from_frame(frame, arm="model", propensity="p", quality="judge")
        DecisionLog(2 decisions, 2 with a propensity; arms: large, small; outcomes: quality)
        """
        from banditroute.logs.readers.read import read_log

        return read_log(frame, format=format, columns=columns, skip_bad=skip_bad)

    def to_arrow(self) -> pyarrow.Table:
        """Return the log as a table: one row a decision, a column for each outcome; :meth:`from_frame` reads it.

        Raises
        ------
        MissingDependencyError
            If pyarrow is not installed.
        """
        arrow = optional("pyarrow", extra="logs")
        names = np.array(self.arms, dtype=object)
        columns: dict[str, Any] = {
            "arm": arrow.array(names[self.chosen], arrow.string()),
            "arms": arrow.array([names[row] for row in self.eligible], arrow.list_(arrow.string())),
        }
        if self.propensities is not None:
            columns["propensity"] = arrow.array(self.propensities, from_pandas=True)
        if self.probabilities is not None:
            of_row = [
                None if np.isnan(p).any() else p[mask]
                for p, mask in zip(self.probabilities, self.eligible, strict=True)
            ]
            columns["probabilities"] = arrow.array(of_row, arrow.list_(arrow.float64()))
        if self.contexts is not None:
            x = [None if np.isnan(row).any() else row for row in self.contexts]
            columns["x"] = arrow.array(x, arrow.list_(arrow.float64()))
        columns["decided_at"] = arrow.array(self.decided_at, from_pandas=True)
        for name, texts in (("session", self.sessions), ("task", self.tasks), ("prompt", self.prompts)):
            if texts is not None:
                columns[name] = arrow.array(texts, arrow.string())
        return arrow.table(
            columns | {name: arrow.array(each, from_pandas=True) for name, each in self.outcomes.items()}
        )

    def to_frame(self) -> Any:
        """Return :meth:`to_arrow` as a pandas DataFrame.

        Raises
        ------
        MissingDependencyError
            If pyarrow or pandas is not installed.
        """
        optional("pandas", extra="logs")
        return self.to_arrow().to_pandas()
