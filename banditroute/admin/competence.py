"""The outcomes of every arm by kind of request, and on how much evidence they rest: who is good at what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from banditroute.admin import kinds
from banditroute.admin.exports import read_tables
from banditroute.core.arrays import Vector
from banditroute.core.optional_imports import optional
from banditroute.core.validation import label
from banditroute.errors import InvalidInputError
from banditroute.objectives.objective import QUALITY
from banditroute.statistics import Interval, jain_index
from banditroute.store.outcomes import objective_of, precedence

if TYPE_CHECKING:
    import pandas
    import pyarrow

_ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmAtKind:
    """The outcomes of one arm at one kind of request.

    Attributes
    ----------
    kind, arm
        Name of the kind, and of the arm; None for all arms together, as they were routed.
    decisions
        How many requests of this kind it got.
    grades
        How many of them have a quality.
    quality
        Mean quality with 95% bounds; None without grades. That of an arm weighs each grade by the inverse of its
        propensity, so that it estimates the quality over all requests of the kind; bounds count effective grades.
    means
        Objective -> mean outcome, weighed alike, of the objectives that were reported.
    """

    kind: str
    arm: str | None
    decisions: int
    grades: int
    quality: Interval | None
    means: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Competence:
    """The strengths of arms by kind of request; made by :func:`competence`. Its ``str`` is a table, one row a kind.

    Attributes
    ----------
    by
        What the kinds are.
    kinds, arms
        Names, the kind with the most decisions first.
    cells
        One for each kind and arm that was chosen for it, and one for each kind with the arm None.
    without_kind
        How many decisions have no kind: no such tag, no prompt, or no context.
    """

    by: str
    kinds: tuple[str, ...]
    arms: tuple[str, ...]
    cells: tuple[ArmAtKind, ...]
    without_kind: int

    @property
    def best(self) -> Mapping[str, str]:
        """Kind -> the arm whose bounds lie above those of every other graded arm; kinds without such an arm are left
        out."""
        found = {}
        for kind in self.kinds:
            bounds = {each.arm: each.quality for each in self.cells if each.kind == kind and each.arm and each.quality}
            first, *others = sorted(bounds, key=lambda arm: -bounds[arm].value) or [""]
            if others and all(bounds[first].lower > bounds[other].upper for other in others):
                found[kind] = first
        return found

    @property
    def fairness(self) -> float | None:
        """Jain's index of the mean quality that the kinds got, 1 if all got the same; None without grades."""
        served = [each.quality.value for each in self.cells if each.arm is None and each.quality is not None]
        return jain_index(served) if served else None

    def __str__(self) -> str:
        if not self.cells:
            return f"No decision has a {self.by}; {self.without_kind:,} have none."
        others = sorted({name for each in self.cells for name in each.means} - {QUALITY.name})
        rows = [[self.by, "decisions", *self.arms, "as routed", *others]]
        cells, best = {(each.kind, each.arm): each for each in self.cells}, self.best
        for kind in self.kinds:
            row = [_shown(cells.get((kind, arm)), marked=best.get(kind, "") == arm) for arm in (*self.arms, None)]
            routed = cells[kind, None]
            means = [f"{routed.means[name]:.4g}" if name in routed.means else "–" for name in others]
            rows.append([kind, f"{routed.decisions:,}", *row, *means])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += ["", "Mean quality, half its 95% interval, and grades. * above all others by these bounds."]
        if others:
            lines.append(f"Means of all decisions of the {self.by}, as they were routed: {', '.join(others)}.")
        if self.fairness is not None:
            lines.append(f"Jain's index of quality over kinds: {self.fairness:.3f} (1 if all got the same).")
        if self.without_kind:
            lines.append(f"{self.without_kind:,} decisions have no {self.by}.")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Competence(by {self.by}: {len(self.kinds)} kinds, {len(self.arms)} arms)"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def to_arrow(self) -> pyarrow.Table:
        """Return one row for each kind and arm: decisions, share of the kind, grades, quality, bounds, and means."""
        return optional("pyarrow", extra="logs").Table.from_pylist(self._records())

    def to_frame(self) -> pandas.DataFrame:
        """Return :meth:`to_arrow` as a pandas frame."""
        return optional("pandas", extra="logs").DataFrame(self._records())

    def plot(self, path: str | Path) -> None:
        """Write a PNG: mean quality of every arm at every kind as a map of colours, with the number of grades.

        Raises
        ------
        MissingDependencyError
            If matplotlib is not installed.
        """
        optional("matplotlib", extra="plot")
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        quality = np.full((len(self.kinds), len(self.arms)), np.nan)
        size = (2.5 + 1.3 * len(self.arms), 1.6 + 0.45 * len(self.kinds))
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for each in self.cells:
            if each.arm is not None and each.quality is not None:
                row, column = self.kinds.index(each.kind), self.arms.index(each.arm)
                quality[row, column] = each.quality.value
                text = f"{each.quality.value:.2f}\n{each.grades:,}"
                axes.text(column, row, text, ha="center", va="center", fontsize=7)
        image = axes.imshow(quality, aspect="auto", cmap="RdYlGn", vmin=0.0, vmax=1.0, alpha=0.7)
        axes.set_xticks(range(len(self.arms)), self.arms, rotation=30, ha="right", fontsize=8)
        axes.set_yticks(range(len(self.kinds)), self.kinds, fontsize=8)
        axes.set_title(f"Mean quality by {self.by}, and grades", fontsize=10)
        figure.colorbar(image, ax=axes)
        figure.savefig(path, dpi=110, format="png")

    def _records(self) -> list[dict[str, Any]]:
        of_kind = {each.kind: each.decisions for each in self.cells if each.arm is None}
        objectives = sorted({name for each in self.cells for name in each.means} - {QUALITY.name})
        return [
            {
                self.by: each.kind,
                "arm": each.arm,
                "decisions": each.decisions,
                "share": each.decisions / of_kind[each.kind],
                "grades": each.grades,
                **dict(zip(("quality", "lower", "upper"), each.quality or (None, None, None), strict=True)),
                **{name: each.means.get(name) for name in objectives},
            }
            for each in self.cells
        ]


def competence(url: str, *, by: str = "task", router: str | None = None) -> Competence:
    """Return what a database shows of each arm by kind of request: quality, costs, and the evidence for them.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    by
        ``"cluster"``: groups of similar contexts, by k-means. Any other name is that of a tag: ``"tenant"`` reads
        ``tags=["tenant:acme"]``. ``"task"`` reads ``task:NAME``; a decision without this tag gets the type that
        :class:`~banditroute.features.TaskType` gives its prompt, where prompts are kept.
    router
        Only of this router. Default: of all in the database.

    Raises
    ------
    InvalidInputError
        If no decision has such a kind.
    IncompatibleStoreError, StoreError
        If the database cannot be used.
    MissingDependencyError
        If pyarrow is not installed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from banditroute import Router, SQLStore
    >>> directory = tempfile.TemporaryDirectory()
    >>> url = f"sqlite:///{pathlib.Path(directory.name) / 'router.db'}"
    >>> with Router(arms=["small", "large"], features=1, store=SQLStore(url), seed=0) as router:
    ...     for i in range(40):
    ...         made = router.route([i % 2], tags=["tenant:acme" if i % 2 else "tenant:bob"])
    ...         _ = router.feedback(made.id, quality=float(made.arm == "large" or i % 2), cost_usd=0.01)
    >>> found = competence(url, by="tenant")
    >>> sorted(found.kinds), found.arms
    (['acme', 'bob'], ('large', 'small'))
    >>> directory.cleanup()
    """
    by = label(by, name="by", error=InvalidInputError)
    log = _Log()
    for table in read_tables(url, router=router):
        log.add(table)
    if by == "cluster":
        named = kinds.by_cluster(log.contexts)
    else:
        named = kinds.by_task(log.tags, log.prompts) if by == "task" else kinds.by_tag(log.tags, by)
    if log.arms and not any(named):
        remedies = {"task": ", or keep prompts", "cluster": ""}
        do = "route with features" if by == "cluster" else f"route with tags=[{f'{by}:NAME'!r}]{remedies.get(by, '')}"
        raise InvalidInputError(f"no decision of the database has a {by}; {do}")
    return log.competence(by, np.array(named))


class _Log:
    """The columns of a database that competence needs."""

    def __init__(self) -> None:
        self.arms: list[str] = []
        self.tags: list[list[str]] = []
        self.prompts: list[str | None] = []
        self.contexts: list[Vector | None] = []
        self.weights: list[float] = []
        self.outcomes: dict[str, dict[int, float]] = {}

    def add(self, table: pyarrow.Table) -> None:
        begin = len(self.arms)
        self.arms += table["arm"].to_pylist()
        self.tags += table["tags"].to_pylist()
        self.prompts += table["prompt"].to_pylist()
        self.contexts += [None if x is None else np.array(x) for x in table["x"].to_pylist()]
        self.weights += [1.0 / p if p > 0.0 else 0.0 for p in table["propensity"].to_pylist()]
        for i, outcomes in enumerate(table["outcomes"].to_pylist(), start=begin):
            for name, value in sorted(outcomes, key=lambda each: precedence(each[0])):  # the last one stays
                objective = objective_of(name)
                if objective is not None and " " not in objective:
                    self.outcomes.setdefault(objective, {})[i] = value

    def competence(self, by: str, named: np.ndarray[Any, Any]) -> Competence:
        arms, n = np.array(self.arms, dtype=object), len(self.arms)
        outcomes = {name: np.full(n, np.nan) for name in self.outcomes}
        for name, values in self.outcomes.items():
            outcomes[name][list(values)] = list(values.values())
        weights, ones = np.array(self.weights), np.ones(n)
        names, counts = np.unique([name for name in named if name], return_counts=True)
        order = [str(name) for name in names[np.argsort(-counts, kind="stable")]]
        cells = []
        for kind in order:
            here = named == kind
            cells += [
                _cell(kind, arm, here & (arms == arm), outcomes, weights) for arm in sorted({*arms[here].tolist()})
            ]
            cells.append(_cell(kind, None, here, outcomes, ones))
        return Competence(
            by=by,
            kinds=tuple(order),
            arms=tuple(sorted({each.arm for each in cells if each.arm is not None})),
            cells=tuple(cells),
            without_kind=int((named == "").sum()),
        )


def _cell(kind: str, arm: str | None, rows: Any, outcomes: Mapping[str, Vector], weights: Vector) -> ArmAtKind:
    means, quality, grades = {}, None, 0
    for name, values in outcomes.items():
        known = rows & ~np.isnan(values)
        w, y = weights[known], values[known]
        if len(y) and w.sum() > 0.0:
            means[name] = float(w @ y / w.sum())
            if name == QUALITY.name:
                grades, quality = len(y), _weighted_interval(means[name], float(w.sum() ** 2 / (w @ w)))
    return ArmAtKind(kind=kind, arm=arm, decisions=int(rows.sum()), grades=grades, quality=quality, means=means)


def _weighted_interval(mean: float, effective: float) -> Interval:
    """Return Clopper-Pearson bounds for an effective number of grades in [0, 1] (Korn and Graubard 1998)."""
    from scipy.special import betaincinv  # here: a router does not load it

    right, wrong = mean * effective, (1.0 - mean) * effective
    lower = float(betaincinv(right, wrong + 1.0, _ALPHA / 2.0)) if right > 0.0 else 0.0
    upper = float(betaincinv(right + 1.0, wrong, 1.0 - _ALPHA / 2.0)) if wrong > 0.0 else 1.0
    return Interval(mean, min(lower, mean), max(upper, mean))


def _shown(cell: ArmAtKind | None, *, marked: bool) -> str:
    if cell is None or cell.quality is None:
        return "–"
    half = (cell.quality.upper - cell.quality.lower) / 2.0
    return f"{cell.quality.value:.2f} ±{half:.2f} ({cell.grades:,}){'*' if marked else ''}"
