"""Intervals of estimates: by betting where outcomes have a range, by the bootstrap where they have none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import blocks, computed, give_back, large_array, rows_of
from banditroute.objectives.objective import Objective
from banditroute.statistics.asymptotic import DECISIVE_ROWS
from banditroute.statistics.bounded import betting_interval, clopper_pearson_interval
from banditroute.statistics.intervals import Interval, bootstrap_interval

_ROUNDING = 1e-9  # of the largest outcome: a smaller distance from the mean counts as 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One term per row, whose mean is an estimate.

    Attributes
    ----------
    values : (n,)
        The terms.
    slopes : (n,)
        By how much each term rises with the outcome of its row: the row's weight.
    """

    values: Vector
    slopes: Vector

    def __sub__(self, other: Terms) -> Terms:
        def difference(mine: Vector, theirs: Vector) -> Vector:
            return computed(len(mine), lambda at: mine[at] - theirs[at], mine, theirs)

        return Terms(values=difference(self.values, other.values), slopes=difference(self.slopes, other.slopes))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeRange:
    """The least and the largest outcome that is possible; infinite where nothing limits it."""

    low: float
    high: float

    @classmethod
    def of(cls, objective: Objective | None) -> OutcomeRange:
        """Return the range of an objective; None: the log has an outcome that nobody declared."""
        return cls(low=-np.inf, high=np.inf) if objective is None else cls(low=objective.low, high=objective.high)

    @property
    def bounded(self) -> bool:
        """Return whether both ends are finite."""
        return bool(np.isfinite([self.low, self.high]).all())


def interval(
    terms: Terms,
    outcomes: Vector,
    chosen: NDArray[np.intp],
    observed: NDArray[np.bool_],
    range_: OutcomeRange,
    *,
    clusters: NDArray[np.intp] | None,
    seed: int,
    difference: bool = False,
) -> Interval:
    """Return the mean of the terms and its 95% bounds.

    Outcomes with a range get a betting interval over all values that the terms could have had. Outcomes of 0 and 1 that
    all weigh the same get that of Clopper and Pearson. Outcomes without a range get a bootstrap-t interval. If fewer
    than 30 rows make up the variance of an arm, it is also computed with two rows that this arm might have shown: they
    lie as far from its mean, up and down, as any outcome of the log lies from its arm's mean. The wider one counts.

    Parameters
    ----------
    outcomes, chosen, observed
        Outcome, position of the arm, and whether the outcome is known, of each row ``(n,)``.
    range_
        Which outcomes are possible.
    clusters
        Number of the cluster of each row ``(n,)``; None: each row is one of its own.
    difference
        Whether the mean is a difference of two policies, which may leave the range.
    """
    if not range_.bounded:
        return _of_amounts(terms, outcomes, chosen, observed, clusters, seed)
    low, high = range_.low, range_.high
    if clusters is None and all(_are_ends(terms, outcomes, range_, at) for at in blocks(len(outcomes))):
        successes = sum(int((rows_of(outcomes, at) == high).sum()) for at in blocks(len(outcomes)))
        shares = clopper_pearson_interval(successes, len(outcomes))
        return Interval(*(low + (high - low) * share for share in shares))
    least, most = _ends(terms, outcomes, range_)
    if difference:
        return betting_interval(terms.values, low=least, high=most, clusters=clusters, seed=seed)
    value, lower, upper = betting_interval(
        terms.values, low=min(least, low), high=max(most, high), clusters=clusters, seed=seed
    )
    return Interval(value, min(max(lower, low), value), max(min(upper, high), value))


def _are_ends(terms: Terms, outcomes: Vector, range_: OutcomeRange, at: slice) -> bool:
    """Return whether some rows weigh 1, and have the least or the largest outcome."""
    some = rows_of(outcomes, at)
    return bool((rows_of(terms.slopes, at) == 1.0).all() and ((some == range_.low) | (some == range_.high)).all())


def _ends(terms: Terms, outcomes: Vector, range_: OutcomeRange) -> tuple[float, float]:
    """Return the least and the largest value that a term could have had."""
    least, most = np.inf, -np.inf
    for at in blocks(len(outcomes)):
        values, slopes, some = (rows_of(each, at) for each in (terms.values, terms.slopes, outcomes))
        for end in (range_.low, range_.high):
            could = values + slopes * (end - some)
            least, most = min(least, float(could.min())), max(most, float(could.max()))
    return least, most


def _of_amounts(
    terms: Terms,
    outcomes: Vector,
    chosen: NDArray[np.intp],
    observed: NDArray[np.bool_],
    clusters: NDArray[np.intp] | None,
    seed: int,
) -> Interval:
    found = bootstrap_interval(terms.values, clusters=clusters, seed=seed)
    if observed.all():
        unseen = _unseen(terms, outcomes, chosen)
    else:
        known = Terms(values=terms.values[observed], slopes=terms.slopes[observed])
        unseen = _unseen(known, outcomes[observed], chosen[observed])
    if not len(unseen):
        return found
    if clusters is not None:
        clusters = np.concatenate([clusters, clusters.max() + 1 + np.arange(len(unseen))])
    n = len(terms.values)
    longer: Vector = large_array((n + len(unseen),))
    longer[n:] = unseen
    for at in blocks(n):
        longer[at] = rows_of(terms.values, at)
        give_back(longer)
    wider = bootstrap_interval(longer, clusters=clusters, seed=seed)
    return Interval(found.value, min(found.lower, wider.lower), max(found.upper, wider.upper))


def _unseen(terms: Terms, outcomes: Vector, chosen: NDArray[np.intp]) -> Vector:
    """Return terms of rows that arms with little variety might have shown."""
    arms = 1 + max(int(rows_of(chosen, at).max()) for at in blocks(len(chosen)))
    count, totals, values, slopes, squares, fourth = np.zeros((6, arms))
    largest, ends = 0.0, (np.inf, -np.inf)
    for at in blocks(len(chosen)):
        arm, y = rows_of(chosen, at), rows_of(outcomes, at)
        count += np.bincount(arm, minlength=arms)
        for sums, each in ((totals, y), (values, rows_of(terms.values, at)), (slopes, rows_of(terms.slopes, at))):
            sums += np.bincount(arm, weights=each, minlength=arms)
        largest = max(largest, float(y.max()), -float(y.min()))
    rows = np.maximum(count, 1.0)
    for at in blocks(len(chosen)):
        arm = rows_of(chosen, at)
        distance = rows_of(outcomes, at) - (totals / rows)[arm]
        distance[np.abs(distance) < _ROUNDING * largest] = 0.0
        ends = (min(ends[0], float(distance.min())), max(ends[1], float(distance.max())))
        distance *= distance
        squares += np.bincount(arm, weights=distance, minlength=arms)
        fourth += np.bincount(arm, weights=distance**2, minlength=arms)
    few = (count > 0.0) & ((squares**2 < DECISIVE_ROWS * fourth) | (squares == 0.0))
    typical, slope = values / rows, slopes / rows
    return np.concatenate([(typical + slope * end)[few] for end in ends])
