"""The sentences of the page."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

from banditroute.dashboard.present import Present
from banditroute.dashboard.view import RANGES, Comparison, Filters, View
from banditroute.evaluate import dollars

_LONG_SECONDS = 60.0  # that an outcome should not wait to be learned
_RECENT_SECONDS = 86_400.0
_FEW_FALLBACKS = 5
_MOST_FALLBACKS = 0.01  # share of the decisions
_MOST_LATE = 0.2  # share of the outcomes
_FEWEST_REPORTED = 0.05  # share of the decisions
_MANY_DECISIONS = 200


class Need(NamedTuple):
    """Something that somebody has to look at.

    Attributes
    ----------
    text
        A sentence.
    section
        Id of the section of the page with the figures.
    """

    text: str
    section: str


def verdict(view: View, filters: Filters, found: Comparison | None, needs: int) -> str:
    """Return the sentence at the top of the page."""
    attention = {0: "nothing needs you", 1: "1 thing needs you"}.get(needs, f"{needs} things need you")
    when = RANGES[filters.range][0]
    if not view.all.decisions:
        return f"No decisions in {when}; {attention}."
    if found is None:
        return f"{view.all.decisions:,} decisions in {when}, too few outcomes to say what was saved; {attention}."
    versus = f"against always {found.baseline}"
    points = ""
    if found.quality is not None:
        difference = 100.0 * found.quality
        if abs(found.quality) <= found.quality_error:
            points = " with no difference in quality shown"
        else:
            points = f" at {abs(difference):.1f} points {'more' if difference > 0.0 else 'less'} quality"
    if abs(found.saved) <= found.saved_error:
        return f"No saving is shown {versus}; {attention}."
    if found.saved < 0.0:
        return f"Costs {-found.saved:.0%} more than always {found.baseline}{points}; {attention}."
    return f"Saves {found.saved:.0%} {versus}{points}; {attention}."


def doubts(found: Comparison | None) -> str:
    """Return how sure the sentence at the top is; empty if it says nothing."""
    if found is None:
        return ""
    said = f"95% interval of the saving: {found.saved - found.saved_error:.0%} to {found.saved + found.saved_error:.0%}"
    if found.quality is not None and math.isfinite(found.quality_error):
        low, high = (100.0 * (found.quality + sign * found.quality_error) for sign in (-1, 1))
        said += f"; of the quality: {low:+.1f} to {high:+.1f} points"
    return f"{said}. For one look; banditroute savings gives bounds for every day."


def needs(view: View, present: Present, *, now: float | None = None) -> list[Need]:
    """Return what needs somebody, the most urgent first."""
    now = time.time() if now is None else now
    found = [Need(f"A piece of state cannot be read: {text}", "health") for text in present.damage]
    found += [Need(f"The circuit of {arm} is open: it gets no requests.", "health") for arm in present.open_arms]
    if present.pending_seconds > _LONG_SECONDS:
        found.append(
            Need(
                f"{present.pending:,} outcomes are not learned yet, the oldest for {seconds(present.pending_seconds)}. "
                "A running router of this name learns them.",
                "feedback",
            )
        )
    for each in present.budgets:
        if each.pace > 1.0:
            found.append(
                Need(f"Budget {each.budget.name} is overdrawn: {each.pace:.0%} of what was granted.", "budgets")
            )
    if present.evidence is not None and present.evidence[2] < 0.0:
        found.append(Need("The guard has evidence that the learner is worse than the baseline.", "health"))
    for reset in present.resets:
        if now - reset.decided_at < _RECENT_SECONDS:
            found.append(Need(f"{reset.objective} of {reset.arm} changed {ago(now - reset.decided_at)}.", "health"))
    decisions, fallbacks = view.all.decisions, view.all.fallbacks
    if fallbacks >= _FEW_FALLBACKS and fallbacks > _MOST_FALLBACKS * decisions:
        found.append(Need(f"{fallbacks:,} decisions ({fallbacks / decisions:.1%}) fell back.", "decisions"))
    quality = view.all.of("quality")
    if decisions >= _MANY_DECISIONS and quality.number < _FEWEST_REPORTED * decisions:
        found.append(Need(f"Quality is reported for {quality.number / decisions:.1%} of the decisions.", "feedback"))
    if quality.number and quality.late > _MOST_LATE * quality.number:
        found.append(Need(f"{quality.late / quality.number:.0%} of the qualities came an hour late.", "feedback"))
    return found


def seconds(length: float) -> str:
    """Return a length of time in words.

    Examples
    --------
    >>> seconds(0.0008), seconds(0.25), seconds(42.0), seconds(600.0), seconds(7_200.0), seconds(200_000.0)
    ('0.8 ms', '0.25 s', '42 s', '10 min', '2 h', '2.3 d')
    """
    units = (
        ("ms", 1e-3, 0.1),
        ("s", 1.0, 100.0),
        ("min", 60.0, 6_000.0),
        ("h", 3_600.0, 172_800.0),
        ("d", 86_400.0, math.inf),
    )
    unit, size = next((unit, size) for unit, size, end in units if length < end)
    return f"{length / size:.0f} {unit}" if length >= 10.0 * size else f"{length / size:.2g} {unit}"


def ago(length: float) -> str:
    """Return how long ago something was."""
    return f"{seconds(max(length, 0.0))} ago"


def amount(objective: str, value: float | None) -> str:
    """Return a value of an objective as people read it: costs as dollars per 1,000 requests.

    Examples
    --------
    >>> amount("cost_usd", 0.0000588), amount("quality", 0.91234), amount("latency_seconds", None)
    ('$0.0588', '0.912', '–')
    """
    if value is None:
        return "–"
    return dollars(1_000.0 * value) if objective == "cost_usd" else number(value)


def number(value: float) -> str:
    """Return a number with three digits, or with all those before the point.

    Examples
    --------
    >>> number(0.91234), number(1462.0), number(0.5)
    ('0.912', '1,462', '0.5')
    """
    return f"{value:,.0f}" if abs(value) >= 1_000.0 else f"{value:.3g}"


def heading(objective: str) -> str:
    """Return the heading of an objective's column.

    Examples
    --------
    >>> heading("cost_usd"), heading("latency_seconds"), heading("tone")
    ('cost per 1,000 requests', 'latency (s)', 'tone')
    """
    known = {
        "cost_usd": "cost per 1,000 requests",
        "latency_seconds": "latency (s)",
        "energy_joules": "energy (J)",
        "output_tokens": "output tokens",
    }
    return known.get(objective, objective)
