"""Intervals of estimates: by betting where outcomes have a range, by the bootstrap where they have none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.logs.large_arrays import blocks
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
        return Terms(values=self.values - other.values, slopes=self.slopes - other.slopes)


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
    alike = clusters is None and bool((terms.slopes == 1.0).all())
    if alike and bool(((outcomes == low) | (outcomes == high)).all()):
        shares = clopper_pearson_interval(int((outcomes == high).sum()), len(outcomes))
        return Interval(*(low + (high - low) * share for share in shares))
    least, most = _ends(terms, outcomes, range_)
    if difference:
        return betting_interval(terms.values, low=least, high=most, clusters=clusters, seed=seed)
    value, lower, upper = betting_interval(
        terms.values, low=min(least, low), high=max(most, high), clusters=clusters, seed=seed
    )
    return Interval(value, min(max(lower, low), value), max(min(upper, high), value))


def _ends(terms: Terms, outcomes: Vector, range_: OutcomeRange) -> tuple[float, float]:
    """Return the least and the largest value that a term could have had."""
    least, most = np.inf, -np.inf
    for at in blocks(len(outcomes)):
        for end in (range_.low, range_.high):
            could = terms.values[at] + terms.slopes[at] * (end - outcomes[at])
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
    rows = slice(None) if observed.all() else observed
    known = Terms(values=terms.values[rows], slopes=terms.slopes[rows])
    unseen = _unseen(known, outcomes[rows], chosen[rows])
    if not len(unseen):
        return found
    if clusters is not None:
        clusters = np.concatenate([clusters, clusters.max() + 1 + np.arange(len(unseen))])
    wider = bootstrap_interval(np.concatenate([terms.values, unseen]), clusters=clusters, seed=seed)
    return Interval(found.value, min(found.lower, wider.lower), max(found.upper, wider.upper))


def _unseen(terms: Terms, outcomes: Vector, chosen: NDArray[np.intp]) -> Vector:
    """Return terms of rows that arms with little variety might have shown."""
    rows = np.maximum(np.bincount(chosen), 1)

    def by_arm(values: Vector) -> Vector:
        return np.asarray(np.bincount(chosen, weights=values), dtype=np.float64)

    distance = outcomes - (by_arm(outcomes) / rows)[chosen]
    distance[np.abs(distance) < _ROUNDING * max(outcomes.max(), -outcomes.min())] = 0.0
    ends = (distance.min(), distance.max())
    distance *= distance
    squares, fourth = by_arm(distance), by_arm(distance**2)
    few = (np.bincount(chosen) > 0) & ((squares**2 < DECISIVE_ROWS * fourth) | (squares == 0.0))
    typical, slope = by_arm(terms.values) / rows, by_arm(terms.slopes) / rows
    return np.concatenate([(typical + slope * end)[few] for end in ends])
