"""What is new in feedback, and the words of the refusals that every store gives."""

from __future__ import annotations

from collections.abc import Mapping

from banditroute.errors import ConflictingFeedbackError
from banditroute.types import Feedback

CLOSED = "the store is closed and records nothing; open a router on it, or on a new store of the same place"


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
        If an outcome is recorded with another value.

    Examples
    --------
    >>> part = Feedback(decision_id="a1", values={"quality": 1.0, "cost_usd": 0.02}, received_at=0.0)
    >>> new_outcomes(part, {"quality": 1.0})
    {'cost_usd': 0.02}
    """
    new = {}
    for objective, value in feedback.values.items():
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
