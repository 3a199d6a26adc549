"""Bounds of the difference of two policies that hold at all times, however often one looks and whatever learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import blocks, give_back, large_array, rows_of
from banditroute.evaluate.reward_model import Design, progressive_fit
from banditroute.evaluate.target_policy import TargetPolicy, expected
from banditroute.evaluate.uncertainty import OutcomeRange
from banditroute.statistics.asymptotic import asymptotic_bounds
from banditroute.statistics.confidence_sequences import ConfidenceSequence

if TYPE_CHECKING:
    from banditroute.logs import DecisionLog


def anytime_bounds(
    log: DecisionLog,
    first: TargetPolicy,
    second: TargetPolicy,
    outcomes: Vector,
    design: Design,
    ranges: Sequence[OutcomeRange],
    *,
    alpha: float = 0.05,
) -> list[tuple[float, float] | None]:
    """Return bounds of the first policy's mean outcome minus the second's, after all rows, of each of m outcomes.

    Outcomes with a range are bounded for any number of rows, others asymptotically. Predictions come from earlier rows
    alone, so that a logged policy may have learned on the way.

    Parameters
    ----------
    log
        Rows whose outcome is known.
    first, second
        The policies on these rows; neither is a replay.
    outcomes
        Outcomes of each row ``(m, n)``.
    design
        The contexts of the rows.
    ranges
        Which outcomes are possible, m.
    alpha
        The probability of ever missing the difference, half of it on each side.

    Returns
    -------
    list of (lower, upper)
        None where too few outcomes without a range make up the error.
    """
    low = np.array([each.low if each.bounded else 0.0 for each in ranges])
    shifted = outcomes
    if low.any():
        shifted = large_array(outcomes.shape)
        for at in blocks(len(log)):
            shifted[:, at] = rows_of(outcomes.T, at).T - low[:, None]
            give_back(shifted)
    model = progressive_fit(design, log.chosen, shifted.T, arms=len(log.arms))
    found: list[tuple[float, float] | None] = [None] * len(ranges)
    sequences = {
        j: ConfidenceSequence(
            low=each.low - each.high,
            high=each.high - each.low,
            truncation=(first.truncation(log) + second.truncation(log)) / 2.0,
            alpha=alpha,
        )
        for j, each in enumerate(ranges)
        if each.bounded
    }
    for at in blocks(len(log)) if sequences else ():
        predicted = low + model.rows(at)
        for j, sequence in sequences.items():
            row = (outcomes[j, at], log, at, predicted[:, :, j], ranges[j].low, ranges[j].high)
            below, above = first.pseudo_outcomes(*row)
            other_below, other_above = second.pseudo_outcomes(*row)
            sequence.add_all(below - other_above, above - other_below)
    for j, sequence in sequences.items():
        found[j] = (sequence.lower, sequence.upper)
    if len(sequences) < len(ranges):
        logged, (under, other) = expected(model, log.chosen, (first, second))
        for j in set(range(len(ranges))) - {*sequences}:
            terms = first.terms(outcomes[j], logged[j], None if under is None else under[j])
            terms -= second.terms(outcomes[j], logged[j], None if other is None else other[j])
            lower, upper = asymptotic_bounds(terms.values, alpha=alpha)
            found[j] = (lower, upper) if np.isfinite(lower) else None
    return found
