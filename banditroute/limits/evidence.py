"""Evidence: what a served request says of the learner's gain over the baseline, from logged propensities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from banditroute.types import Vector


class PairedGain(NamedTuple):
    """What each of K arms would say, were it served: ``weight x outcome + offset``, in the outcome's unit.

    Attributes
    ----------
    weight, below, above : (..., K)
        Weight of the outcome, and the offsets of the two pseudo-outcomes: the one that is never far below the range of
        a gain, and the one that is never far above it.
    """

    weight: Vector
    below: Vector
    above: Vector


def paired_gain(
    learner: Vector, baseline: Vector, logged: Vector, predicted: Vector, *, low: float, high: float, truncation: float
) -> PairedGain:
    """Doubly robust pseudo-outcomes of the gain ``sum (learner - baseline) outcome``.

    With outcomes and predictions m in [0, 1], ``w = (learner - baseline) / logged`` and k the truncation, an arm served
    with outcome y says ``w (y - m) + sum over arms of (learner - baseline) m``, whose mean is the gain whatever m is.
    So that it is at least ``-1 - k``, m is moved: to ``min(m, k / w)`` where w > 0, to ``max(m, 1 - k / |w|)`` where
    w < 0; and the other way about so that it is at most ``1 + k``. Where both choose alike it is 0 without noise.

    Source: Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro 2022, "Anytime-valid off-policy inference for
    contextual bandits", section 2, for a difference of two policies.

    Parameters
    ----------
    learner, baseline, logged
        Probability of each arm under the two policies, and when it was drawn ``(..., K)``; above 0 wherever one of
        theirs is.
    predicted
        Expected outcome of each arm ``(..., K)``, from earlier outcomes alone; beyond the range it is its edge.
    low, high
        The range of an outcome.
    truncation
        ``k``, at least 0: more keeps more of the predictions, and takes more requests to pay off.

    Examples
    --------
    >>> one, other, half = np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.array([0.5, 0.5])
    >>> gain = paired_gain(one, other, half, np.array([0.5, 0.5]), low=0.0, high=1.0, truncation=1.0)
    >>> gain.weight, gain.below  # outcome 1 of the second arm: 2 x (1 - .5)
    (array([-2.,  2.]), array([ 1., -1.]))
    """
    unit = high - low
    m = np.clip((predicted - low) / unit, 0.0, 1.0)
    difference = learner - baseline
    weight = np.divide(difference, logged, out=np.zeros_like(difference), where=logged > 0.0)
    most = np.divide(truncation, np.abs(weight), out=np.full_like(weight, np.inf), where=weight != 0.0)

    def offset(lowered: NDArray[np.bool_]) -> Vector:
        """Where ``lowered``, predictions are kept from being too high, elsewhere from being too low."""
        kept = np.where(lowered, np.minimum(m, most), np.maximum(m, 1.0 - most))
        total = (difference * kept).sum(axis=-1, keepdims=True)
        of_unit: Vector = unit * (total - weight * kept) - weight * low
        return of_unit

    return PairedGain(weight, offset(weight > 0.0), offset(weight < 0.0))


def utility_of(
    worth: Mapping[str, float], values: Mapping[str, float], by_tokens: tuple[float, float] | None
) -> float | None:
    """What outcomes are worth together; None while one that counts is not known.

    A failed call has no quality, and no cost but what is reported.

    Parameters
    ----------
    worth
        Objective -> what one unit of it adds.
    values
        Objective -> outcome, as far as reported.
    by_tokens
        What the request's input costs in dollars, and each token of its output; None where that is not known.

    Examples
    --------
    >>> utility_of({"quality": 1.0, "cost_usd": -50.0}, {"quality": 0.8, "output_tokens": 500}, (0.001, 2e-6))
    0.7
    """
    answered = values.get("availability", 1.0)
    known = {"availability": answered, **values}
    if by_tokens is not None and "output_tokens" in values:
        known.setdefault("cost_usd", by_tokens[0] + by_tokens[1] * values["output_tokens"])
    if answered == 1.0 and not worth.keys() <= known.keys():
        return None
    return sum(each * known.get(name, 0.0) for name, each in worth.items())
