"""Feedback: the outcomes that an application reports for one decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from banditroute.errors import InvalidFeedbackError


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """Outcomes that an application reports for one decision: any subset of the objectives.

    Parameters
    ----------
    decision_id
        The ``id`` of the decision.
    values
        Objective name -> observed value, in the objective's own unit; checked by the router.
    received_at
        Unix time in seconds.
    source
        Who reports it, such as a user or a grader. Everything that one source reported can be erased.

    Raises
    ------
    InvalidFeedbackError
        If there is no outcome.

    Examples
    --------
    >>> Feedback(decision_id="0f", values={"quality": 1.0, "cost_usd": 0.002}, received_at=0.0).values["cost_usd"]
    0.002
    """

    decision_id: str
    values: Mapping[str, float]
    received_at: float
    source: str | None = None

    def __post_init__(self) -> None:
        if not self.values:
            raise InvalidFeedbackError(
                f"feedback for decision {self.decision_id!r} has no outcome; give at least one, for example quality=1.0"
            )
