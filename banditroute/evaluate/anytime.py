"""Bounds of the difference of two policies that hold at all times, however often one looks and whatever learns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.evaluate.reward_model import progressive
from banditroute.evaluate.target_policy import TargetPolicy
from banditroute.evaluate.uncertainty import OutcomeRange
from banditroute.statistics.asymptotic import asymptotic_sequence
from banditroute.statistics.confidence_sequences import confidence_sequence

if TYPE_CHECKING:
    from banditroute.logs import DecisionLog


def anytime_bounds(
    log: DecisionLog,
    first: TargetPolicy,
    second: TargetPolicy,
    outcomes: Vector,
    contexts: Vector,
    range_: OutcomeRange,
    *,
    alpha: float = 0.05,
) -> tuple[float, float] | None:
    """Return bounds of the first policy's mean outcome minus the second's, after all rows.

    Outcomes with a range are bounded for any number of rows, others asymptotically. Predictions come from earlier rows
    alone, so that a logged policy may have learned on the way.

    Parameters
    ----------
    log
        Rows whose outcome is known.
    first, second
        The policies on these rows; neither is a replay.
    outcomes, contexts
        Outcome ``(n,)`` and context ``(n, d)`` of each row.
    range_
        Which outcomes are possible.
    alpha
        The probability of ever missing the difference, half of it on each side.

    Returns
    -------
    (lower, upper)
        None where too few outcomes without a range make up the error.
    """
    low, high = range_.low, range_.high
    if not range_.bounded:
        predicted = progressive(contexts, log.chosen, outcomes, arms=len(log.arms))
        terms = first.terms(outcomes, log, predicted) - second.terms(outcomes, log, predicted)
        lower, upper = asymptotic_sequence(terms.values, alpha=alpha)
    else:
        predicted = low + progressive(contexts, log.chosen, outcomes - low, arms=len(log.arms))
        below, above, reach = first.pseudo_outcomes(outcomes, log, predicted, low, high)
        other_below, other_above, other_reach = second.pseudo_outcomes(outcomes, log, predicted, low, high)
        lower, upper = confidence_sequence(
            below - other_above,
            above - other_below,
            low=low - high,
            high=high - low,
            truncation=(reach + other_reach) / 2.0,
            alpha=alpha,
        )
    return (float(lower[-1]), float(upper[-1])) if np.isfinite(lower[-1]) else None
