"""Correct an outcome that was reported wrongly."""

from __future__ import annotations

from banditroute.admin._database import folds_of, open_database, write
from banditroute.core.validation import number
from banditroute.errors import InvalidFeedbackError
from banditroute.learners import Learner


def correct(url: str, decision_id: str, *, learner: Learner | None = None, **outcomes: float) -> None:
    """Give recorded outcomes of a decision another value, as if they had been reported with it.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    decision_id
        ``decision.id``.
    learner
        The routers' learner, where an earlier version wrote the database. Default: as the routers have recorded.
    outcomes
        Objective = value.

    Raises
    ------
    InvalidFeedbackError
        If no outcome is given, or a value is not a finite number.
    UnknownDecisionError
        If one of the outcomes is not recorded.
    """
    from banditroute.store.sql import maintenance

    if not outcomes:
        raise InvalidFeedbackError("there is no outcome to correct; give at least one, for example quality=1.0")
    values = {name: number(value, name=name, error=InvalidFeedbackError) for name, value in outcomes.items()}
    database = open_database(url)
    write(database, lambda connection: maintenance.correct(connection, folds_of(learner), decision_id, values))
