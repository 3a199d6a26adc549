"""The calls that a baseline would have made: one for each request, and in a session with its prompt cache warm.

In a log of a router, the baseline's prompt cache is cold after each turn that another arm served. Had the baseline
served every turn, it would have been warm. So only its calls that follow a turn of its own say what a later turn costs.
Such a call weighs ``1 / p_t`` for its own choice, times ``1 / p_s`` for the choice ``s`` that gave it the turn before:
the importance weight of the last two choices, in place of all of the session. It suffices where the cost of a turn
depends on earlier choices through the arm of the turn before. A turn that was bound to keep its arm (propensity 1)
passes on the choice before it.

A request takes further calls where an answer failed, was escalated or audited. The baseline would have made one.

Source: Guo, Thomas and Brunskill 2017, "Using options and covariance testing for long horizon off-policy policy
evaluation": importance sampling that leaves out the ratios before a window (INCRIS).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import large_array
from banditroute.evaluate.rows import taken

if TYPE_CHECKING:
    from banditroute.logs import DecisionLog

_LONGEST_SECONDS = 600.0  # between two calls of one request

OTHER, FIRST, LATER = range(3)
"""Kinds of calls: any other; of the baseline, in a request without a turn before it; after a turn of its own."""


@dataclass(frozen=True, slots=True)
class BaselineCalls:
    """The baseline as a policy over kinds of calls, on a log's n rows.

    Attributes
    ----------
    kinds : (n,)
        The kind of each logged call.
    target : (n, 3)
        1 at the kind of call that the baseline would have made; 0 in the row of a further call.
    weights : (n,)
        Importance weight of each row; NaN where a propensity is not known.
    possible : (n, 3) or None
        0 where a kind of call had no chance; None where the log does not say it.
    """

    kinds: NDArray[np.intp]
    target: Vector
    weights: Vector
    possible: Vector | None

    def take(self, rows: NDArray[np.intp]) -> BaselineCalls:
        """Return the calls of some rows, in their order."""
        each = (taken(values, rows) for values in (self.kinds, self.target, self.weights, self.possible))
        return BaselineCalls(*each)


def baseline_calls(log: DecisionLog, baseline: str, further: NDArray[np.bool_]) -> BaselineCalls:
    """Return the calls that a baseline would have made.

    Parameters
    ----------
    log
        All decisions, with propensities.
    baseline
        One of its arms.
    further
        Rows that :func:`further_calls` found.
    """
    assert log.propensities is not None
    n, b = len(log), log.arms.index(baseline)
    chosen = log.chosen == b
    chance = None if log.probabilities is None else np.array(log.probabilities[:, b])
    before, free = np.full(n, -1), np.arange(n)
    for turns in _sessions(log, further):
        for t, row in enumerate(turns[1:], start=1):
            before[row] = turns[t - 1]
            if log.propensities[row] == 1.0 and log.chosen[row] == log.chosen[turns[t - 1]]:
                free[row] = free[turns[t - 1]]
    later = before >= 0
    last = free[before]  # the choice that decided the turn before; any row for a first turn
    warm = later & chosen[before]
    kinds = np.where(chosen & ~later, FIRST, np.where(chosen & warm, LATER, OTHER))
    target = large_array((n, 3))
    target[np.arange(n), np.where(later, LATER, FIRST)] = ~further
    weights = np.where(kinds == OTHER, 0.0, 1.0 / log.propensities)
    weights[kinds == LATER] /= log.propensities[last[kinds == LATER]]
    unknown = np.isnan(log.propensities) | (later & np.isnan(log.propensities[last]))
    weights = np.where(unknown, np.nan, np.where(further, 0.0, weights))
    possible = None
    if chance is not None:
        possible = large_array((n, 3))
        possible[:, OTHER], possible[:, FIRST] = 1.0, chance
        possible[:, LATER] = chance[last] * np.where(warm, chance, 1.0)
    return BaselineCalls(kinds, target, weights, possible)


def further_calls(log: DecisionLog, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which rows are further calls of a request whose first one is counted ``(n,)``.

    A row is a further call if the latest row of the same context, session and prompt came at most ten minutes before
    it, and only what could be chosen there could be chosen here, without the arm that was. A request counts with its
    first call whose outcome is ``known``.

    Examples
    --------
    >>> from banditroute.logs import DecisionLog
    >>> log = DecisionLog(
    ...     arms=("large", "small"),
    ...     chosen=np.array([1, 0, 1]),
    ...     eligible=np.array([[True, True], [True, False], [True, True]]),
    ...     outcomes={},
    ...     decided_at=np.array([0.0, 2.0, 60.0]),
    ...     prompts=("Why?", "Why?", "How?"),
    ... )
    >>> further_calls(log, np.ones(3, dtype=bool))
    array([False,  True, False])
    """
    further = np.zeros(len(log), dtype=bool)
    if log.eligible.all() or (log.contexts is None and log.prompts is None):
        return further
    counted = known.copy()  # with this call, or with one before it
    latest: dict[tuple[bytes, str, str], int] = {}
    for row in _in_time(log).tolist():
        key = (
            b"" if log.contexts is None else log.contexts[row].tobytes(),
            "" if log.sessions is None else log.sessions[row],
            "" if log.prompts is None else log.prompts[row],
        )
        first = latest.get(key)
        latest[key] = row
        if first is None or log.decided_at[row] - log.decided_at[first] > _LONGEST_SECONDS:
            continue
        left, here = log.eligible[first], log.eligible[row]
        if not here[log.chosen[first]] and not (here & ~left).any():
            further[row] = counted[first]
            counted[row] |= counted[first]
    return further


def _sessions(log: DecisionLog, further: NDArray[np.bool_]) -> Iterator[list[int]]:
    """Yield the rows of each session in the order of time, without further calls."""
    if log.sessions is None:
        return
    turns: dict[str, list[int]] = {}
    for row in _in_time(log).tolist():
        if log.sessions[row] and not further[row]:
            turns.setdefault(log.sessions[row], []).append(row)
    yield from turns.values()


def _in_time(log: DecisionLog) -> NDArray[np.intp]:
    """Return the rows in the order of time, or in that of the log where it does not say the time."""
    if np.isnan(log.decided_at).any():
        return np.arange(len(log))
    return np.argsort(log.decided_at, kind="stable")
