"""``banditroute explain``: why a decision of the past named its arm."""

from __future__ import annotations

import click

from banditroute import admin
from banditroute.admin import ExpectedOutcome, RecordedExplanation
from banditroute.cli.options import database_argument, json_option
from banditroute.cli.output import print_json, table
from banditroute.core.times import utc


@click.command(short_help="Say why a decision named its arm.")
@database_argument
@click.argument("decision_id", metavar="ID")
@json_option
def explain(url: str, decision_id: str, as_json: bool) -> None:
    """Say why the decision ID named its arm, what came of it, and what is expected of every arm now.

    Expectations are those of the default learner today: the decision knew only what was learned before it.
    """
    found = admin.explain(url, decision_id)
    if as_json:
        print_json(found)
    else:
        click.echo(_shown(found))


def _shown(found: RecordedExplanation) -> str:
    return "\n".join(
        [
            f"{found.arm}, by decision {found.id} of {utc(found.decided_at)}",
            *(f"  {name}: {text}" for name, text in found.facts.items()),
            "",
            *(click.wrap_text(each, 80, "- ", "  ") for each in found.why),
            "",
            *_arms(found),
            *_parts(found),
            *_outcomes(found),
        ]
    )


def _arms(found: RecordedExplanation) -> list[str]:
    rows = [["arm", "probability", "objective", "expected now", "std", "outcomes"]]
    for arm in found.arms:
        first = [arm.arm, f"{arm.probability:.1%}"]
        for name, each in arm.expected.items():
            rows.append([*first, name, f"{each.mean:.4g}", f"{each.std:.2g}", f"{each.outcomes:,.0f}"])
            first = ["", ""]
        if not arm.expected:
            rows.append([*first, "", "", "", ""])
    return ["The arms that could be chosen, and what is expected of them today:", table(rows), ""]


def _parts(found: RecordedExplanation) -> list[str]:
    """Return how each part of the request changes the expectations of the chosen arm and of the next best."""
    chosen = next((arm for arm in found.arms if arm.arm == found.arm), None)
    other = next((arm for arm in found.arms if arm.arm != found.arm), None)
    if chosen is None or other is None:
        return []
    rows = [["part of the request", "objective", *(arm.arm[:20] for arm in (chosen, other))]]
    for objective in found.objectives:
        ours: ExpectedOutcome = chosen.expected[objective]
        theirs = other.expected[objective].parts
        rows += [[part, objective, f"{value:+.3g}", f"{theirs[part]:+.3g}"] for part, value in ours.parts.items()]
    return ["What the parts of this request add to that:", table(rows), ""] if len(rows) > 1 else []


def _outcomes(found: RecordedExplanation) -> list[str]:
    if not found.outcomes:
        return ["Nothing is reported yet."]
    rows = [["outcome", "value", "seconds later", "source"]]
    rows += [
        [each.objective, f"{each.value:.6g}", f"{each.seconds_later:.1f}", each.source[:20] or "–"]
        for each in found.outcomes
    ]
    return ["What came back:", table(rows)]
