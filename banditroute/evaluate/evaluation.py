"""The answer of an off-policy evaluation: comparisons of two policies, a table, and a verdict in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from banditroute.core.optional_imports import optional
from banditroute.evaluate.diagnostics import Diagnostics
from banditroute.statistics.intervals import Interval

if TYPE_CHECKING:
    import pandas
    import pyarrow

_LONGEST_REPR = 2_000  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One objective, or the utility, under two policies.

    Attributes
    ----------
    value, against, difference
        Mean per request under the policy, under the policy that it is compared with, and their difference, with bounds
        for this number of rows. None where the diagnostics refuse.
    anytime
        Bounds of the difference that hold at all times at once, also for a log whose policy learned on the way. None
        for a replay, with reweighed feedback, and where few outcomes without a range make up most of the error.
    anytime_is_asymptotic
        Whether these bounds hold only for many rows, as a normal interval does (:func:`asymptotic_sequence`). That is
        so for outcomes without a range.
    estimates
        Estimator -> the value by it. They agree where the log suffices.
    diagnostics
        Diagnostics of the rows where the objective was observed.
    """

    value: Interval | None
    against: Interval | None
    difference: Interval | None
    anytime: tuple[float, float] | None
    anytime_is_asymptotic: bool
    estimates: Mapping[str, Interval]
    diagnostics: Diagnostics


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Evaluation:
    """The answer of a log about a policy; made by :func:`evaluate`. Its ``str`` is a table and the verdict.

    Attributes
    ----------
    arms
        The log's arms.
    policy, against
        Names of the two policies.
    contexts
        Says which contexts the predictions come from.
    feedback
        Arm -> share of its decisions whose utility is known; None for an arm without decisions.
    objectives
        Objective -> comparison.
    utility
        Comparison of the utility; None if the log has no propensities.
    warnings
        Each says what to doubt, and what to do.
    verdict
        One sentence: better, worse, no difference shown, or why there is no answer and what to do.
    """

    arms: tuple[str, ...]
    policy: str
    against: str
    contexts: str
    feedback: Mapping[str, float | None]
    objectives: Mapping[str, Comparison]
    utility: Comparison | None
    warnings: tuple[str, ...]
    verdict: str

    def __repr__(self) -> str:
        return f"Evaluation({self.verdict})"[:_LONGEST_REPR]

    def __str__(self) -> str:
        lines = [f"Contexts: {self.contexts}."]
        if self.utility is None:
            return "\n".join([*lines, self.verdict])
        rows = [("", self.policy, self.against, "difference", "at all times")]
        for name, each in self._rows():
            always = "–" if each.anytime is None else "{:.3g} to {:.3g}".format(*each.anytime)
            always += " (asymptotically)" if each.anytime_is_asymptotic else ""
            rows.append((name, shown(each.value), shown(each.against), shown(each.difference), always))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        found = self.utility.diagnostics
        support = ", ".join(f"{arm} {count:,}" for arm, count in zip(self.arms, found.support, strict=True))
        count = f"{found.rows:,} {found.unit}s" + (", decisions" if found.unit == "session" else "")
        lines += ["", f"{count}: {support}"]
        if any(share != 1.0 for share in self.feedback.values()):
            shares = (f"{arm} {'–' if share is None else f'{share:.0%}'}" for arm, share in self.feedback.items())
            lines.append(f"with feedback: {', '.join(shares)}")
        if round(found.effective_clusters) < found.rows:
            lines.append(
                f"{found.effective_clusters:,.0f} clusters: rows of a session, template or task depend on "
                "each other, so the bounds are wider"
            )
        if self.utility.estimates:
            lines += [
                f"effective sample size {found.effective_rows:,.0f}; the error bars are based on "
                f"{found.decisive_rows:,.0f} {found.unit}s",
                f"mean weight {found.mean_weight:.3f} ± {found.mean_weight_error:.3f}",
                "utility by " + ", ".join(f"{name} {each.value:.3g}" for name, each in self.utility.estimates.items()),
            ]
        lines += [f"warning: {text}" for text in (*found.warnings, *self.warnings)]
        lines += [f"also: {text}" for text in found.refusals[1:]]  # the verdict says the first
        return "\n".join([*lines, "", self.verdict])

    def _repr_html_(self) -> str:
        head = ("", self.policy, self.against, "difference", "at all times")
        rows = [
            (
                name,
                shown(each.value),
                shown(each.against),
                shown(each.difference),
                "–" if each.anytime is None else "{:.3g} to {:.3g}".format(*each.anytime),
            )
            for name, each in self._rows()
        ]
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        return f"<p><b>{escape(self.verdict)}</b></p><table><tr>{heads}</tr>{body}</table>"

    def to_arrow(self) -> pyarrow.Table:
        """Return one row for each objective and the utility: values, differences, bounds and effective rows."""
        return optional("pyarrow", extra="logs").Table.from_pylist([_row(name, each) for name, each in self._rows()])

    def to_frame(self) -> pandas.DataFrame:
        """Return :meth:`to_arrow` as a pandas frame."""
        return optional("pandas", extra="logs").DataFrame([_row(name, each) for name, each in self._rows()])

    def _rows(self) -> list[tuple[str, Comparison]]:
        return [*self.objectives.items(), *([] if self.utility is None else [("utility", self.utility)])]


def shown(interval: Interval | None) -> str:
    """Return an interval as a text; None as a dash."""
    return "–" if interval is None else "{:.3g} ({:.3g} to {:.3g})".format(*interval)


def _row(name: str, compared: Comparison) -> dict[str, Any]:
    row: dict[str, Any] = {"objective": name}
    for column in ("value", "against", "difference"):
        found = getattr(compared, column)
        bounds = (None, None, None) if found is None else found
        row |= dict(zip((column, f"{column}_lower", f"{column}_upper"), bounds, strict=True))
    row["anytime_lower"], row["anytime_upper"] = compared.anytime or (None, None)
    row["rows"], row["effective_rows"] = compared.diagnostics.rows, compared.diagnostics.effective_rows
    return row
