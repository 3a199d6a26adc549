"""What is new in feedback, and the words of the refusals that every store gives."""

from __future__ import annotations

from collections.abc import Mapping

from banditroute.errors import ConflictingFeedbackError
from banditroute.types import Feedback

CLOSED = "the store is closed and records nothing; open a router on it, or on a new store of the same place"

PREFERRED_TO = "preferred to "
PASSED_OVER_FOR = "passed over for "
"""A comparison is recorded with both decisions, as outcomes of these names and the other's id: no objective has a space
in its name. The value is the quality that it taught when it was first reported."""


def measured(values: Mapping[str, float]) -> dict[str, float]:
    """Those of ``values`` that are not of a comparison.

    Examples
    --------
    >>> measured({"quality": 1.0, "preferred to 0f": 0.8})
    {'quality': 1.0}
    """
    return {name: value for name, value in values.items() if not _is_comparison(name)}


def new_outcomes(feedback: Feedback, recorded: Mapping[str, float]) -> dict[str, float]:
    """The values of ``feedback`` that are not ``recorded`` yet.

    Parameters
    ----------
    feedback
        What is reported now.
    recorded
        Objective -> value that the same decision has already.

    Raises
    ------
    ConflictingFeedbackError
        If an outcome is recorded with another value, or a comparison the other way round.

    Examples
    --------
    >>> part = Feedback(decision_id="a1", values={"quality": 1.0, "cost_usd": 0.02}, received_at=0.0)
    >>> new_outcomes(part, {"quality": 1.0})
    {'cost_usd': 0.02}
    """
    new = {}
    for objective, value in feedback.values.items():
        if _is_comparison(objective):
            if _reversed(objective) in recorded:
                raise ConflictingFeedbackError(
                    f"decision {feedback.decision_id!r} is given as {objective}, and recorded as "
                    f"{_reversed(objective)}; the first report stays: compare two decisions once"
                )
            if objective not in recorded:
                new[objective] = value
            continue
        first = recorded.get(objective)
        if first is None:
            new[objective] = value
        elif first != value:
            raise ConflictingFeedbackError(
                f"{objective} of decision {feedback.decision_id!r} is recorded as {first!r} and now given as "
                f"{value!r}; the first value stays and nothing of this feedback was recorded: report each "
                f"outcome once, or again with the same value"
            )
    return new


def _is_comparison(name: str) -> bool:
    return name.startswith((PREFERRED_TO, PASSED_OVER_FOR))


def _reversed(comparison: str) -> str:
    if comparison.startswith(PREFERRED_TO):
        return PASSED_OVER_FOR + comparison.removeprefix(PREFERRED_TO)
    return PREFERRED_TO + comparison.removeprefix(PASSED_OVER_FOR)
