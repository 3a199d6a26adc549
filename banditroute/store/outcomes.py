"""Find what is new in feedback, and give the words of the refusals that every store gives.

In addition to objectives, a decision can have seven other kinds of outcomes. Their names have a space; no objective's
name has one. ``quality of 3`` is what one of three decisions of a session is credited, as a third of an observation.
Where that is not the session's outcome itself, ``quality of 3 in all`` is; nothing is learned from it.
``preferred to ID``, ``passed over for ID`` and ``tied with ID`` are a comparison, recorded with both decisions; the
value is the quality that it taught when it was first reported. ``preferred to ID of 3`` is one in a ranking of three.
``paging seconds`` is what the request waited for its adapter: the router notes it by itself, nothing is learned from
it, and it counts as no feedback. ``failure rate_limit`` says how a call failed; its value is how many seconds the arm
asked to be left alone, 0 if it did not say. ``step stopped`` and ``step asked`` say what followed the answer in a
cascade; the value is the probability with which that was chosen. ``cached tokens`` counts the input that the provider
read from its prompt cache.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, TypeVar

from banditroute.core.failure import Failure
from banditroute.core.feedback import Feedback
from banditroute.core.token_costs import CACHED_TOKENS
from banditroute.core.validation import shown
from banditroute.errors import ConflictingFeedbackError, UnknownDecisionError

_T = TypeVar("_T")

CLOSED = "the store is closed and records nothing; open a router on it, or on a new store of the same place"

PREFERRED_TO = "preferred to "
PASSED_OVER_FOR = "passed over for "
TIED_WITH = "tied with "
SHARE_OF = " of "
IN_ALL = " in all"
PAGING = "paging seconds"
FAILURE = "failure "
STEP = "step "


def measured(values: Mapping[str, float]) -> dict[str, float]:
    """Return those of ``values`` that are outcomes of the decision alone.

    Examples
    --------
    >>> measured({"quality": 1.0, "preferred to 0f": 0.8, "quality of 3": 0.5})
    {'quality': 1.0}
    """
    return {name: value for name, value in values.items() if " " not in name}


def reported(values: Mapping[str, _T]) -> dict[str, _T]:
    """Return those of ``values`` that were reported and may be learned: all but what the router noted itself.

    Examples
    --------
    >>> reported({"quality": 1.0, "paging seconds": 0.3})
    {'quality': 1.0}
    """
    return {name: value for name, value in values.items() if name != PAGING}


def failure_of(values: Mapping[str, float]) -> tuple[Failure, float] | None:
    """Return the failure among ``values`` and the seconds to leave the arm alone; None if there is no failure.

    Examples
    --------
    >>> failure_of({"availability": 0.0, "failure rate_limit": 60.0})
    (<Failure.RATE_LIMIT: 'rate_limit'>, 60.0)
    """
    for name, value in values.items():
        if name.startswith(FAILURE):
            return Failure(name.removeprefix(FAILURE)), value
    return None


class Comparison(NamedTuple):
    """One pair of a ranking, as an outcome's name says it.

    Attributes
    ----------
    result
        ``PREFERRED_TO``, ``PASSED_OVER_FOR`` or ``TIED_WITH``.
    other
        The id of the decision that it is compared with.
    answers
        Number of answers in the ranking.
    """

    result: str
    other: str
    answers: int


def comparison_of(name: str) -> Comparison | None:
    """Return the comparison that an outcome of this name is; None for any other outcome.

    Examples
    --------
    >>> comparison_of("tied with 0f of 3")
    Comparison(result='tied with ', other='0f', answers=3)
    >>> comparison_of("preferred to 0f").answers
    2
    """
    for result in (PREFERRED_TO, PASSED_OVER_FOR, TIED_WITH):
        if name.startswith(result):
            other, _, answers = name.removeprefix(result).partition(SHARE_OF)
            return Comparison(result, other, int(answers or 2))
    return None


def objective_of(name: str) -> str | None:
    """Return the objective that an outcome of this name belongs to; None for a comparison or a failure.

    Examples
    --------
    >>> objective_of("quality"), objective_of("quality of 3"), objective_of("preferred to 0f")
    ('quality', 'quality', None)
    """
    if name.startswith((PREFERRED_TO, PASSED_OVER_FOR, TIED_WITH, FAILURE, STEP)):
        return None
    if name == CACHED_TOKENS:
        return "cached_tokens"
    objective, share, count = name.removesuffix(IN_ALL).partition(SHARE_OF)
    return objective if share and count.isdigit() else name


def precedence(name: str) -> int:
    """Return which outcome of an objective says what was observed: that of the highest number.

    Examples
    --------
    >>> sorted(["quality", "quality of 3", "quality of 3 in all"], key=precedence)  # the decision's own comes last
    ['quality of 3', 'quality of 3 in all', 'quality']
    """
    return 2 if " " not in name else int(name.endswith(IN_ALL))


def check_recorded(decision_id: str, values: Iterable[str], recorded: Collection[str]) -> None:
    """Raise UnknownDecisionError if one of ``values`` is not recorded, so that it cannot be corrected."""
    missing = sorted(set(values) - set(recorded))
    if missing:
        raise UnknownDecisionError(
            f"decision {shown(decision_id)} has no {', '.join(missing)} that could be corrected; report it with "
            "feedback()"
        )


def new_outcomes(feedback: Feedback, recorded: Mapping[str, float]) -> dict[str, float]:
    """Return the values of ``feedback`` that are not ``recorded`` yet.

    Parameters
    ----------
    feedback
        What is reported now.
    recorded
        Objective -> value that the same decision has already.

    A share of a session's outcome is passed over where the decision has an outcome of its own, or a share already. Of a
    share that comes with the session's outcome, the first stays: it depends on what was believed.

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
        first = recorded.get(objective)
        if (given := comparison_of(objective)) is not None:
            known = next((name for name in recorded if _is_of_pair(name, given.other)), None)
            if known is not None and not known.startswith(given.result):
                raise ConflictingFeedbackError(
                    f"decision {shown(feedback.decision_id)} is given as {objective}, and recorded as {known}; "
                    "the first report stays: compare two decisions once"
                )
            first = None if known is None else value  # what it teaches depends on what was believed
        elif objective == PAGING or objective.startswith((FAILURE, STEP)):
            first = first if first is None else value  # the first report stays: a repeated one may say fewer seconds
        elif SHARE_OF in objective:
            share = objective.removesuffix(IN_ALL)
            if _has_its_own(share.partition(SHARE_OF)[0], share, recorded):
                continue
            if share + IN_ALL in feedback.values and objective == share and first is not None:
                first = value
        if first is None:
            new[objective] = value
        elif first != value:
            raise ConflictingFeedbackError(
                f"{objective} of decision {shown(feedback.decision_id)} is recorded as {first!r} and now given as "
                f"{value!r}; the first value stays and nothing of this feedback was recorded: report each "
                f"outcome once, or again with the same value; router.correct(...) replaces it"
            )
    return new


def _has_its_own(objective: str, share: str, recorded: Mapping[str, float]) -> bool:
    """Return whether a decision has an outcome of its own, or another share than this one."""
    return any(
        name == objective or (name.startswith(objective + SHARE_OF) and name.removesuffix(IN_ALL) != share)
        for name in recorded
    )


def _is_of_pair(name: str, other: str) -> bool:
    """Return whether an outcome is a comparison with the decision ``other``."""
    comparison = comparison_of(name)
    return comparison is not None and comparison.other == other
