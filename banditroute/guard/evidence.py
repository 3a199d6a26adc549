"""Evidence: what a served request says of the learner's gain over the baseline, from logged propensities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.statistics.confidence_sequences import ConfidenceSequence

_OF_THE_LATEST = 0.2  # of the probability of error; at 5% the whole needs 7% more outcomes for it
_FIRST_RENEWAL = 1000  # outcomes; fewer say little at small shares


class GainBounds:
    """Bounds of the mean gain, over all outcomes and over the latest, at all times at once.

    A learner gets better, and arms get worse; so beside the whole, what came since the 1000th, 2000th, 4000th, ...
    outcome is bounded by itself, beginning anew at each. Where the two contradict each other, what was before is out of
    date, and the latest are the whole from then on.

    Parameters
    ----------
    unit
        The most that a gain can be, and the least below 0.
    alpha
        Probability, below 1, that a lower bound is ever above what it bounds; the same of the upper one. The whole has
        four fifths of it, the i-th of the latest ``1 / (i (i + 1))`` of the rest.
    truncation
        As in :func:`paired_gain`.

    Attributes
    ----------
    n
        How many outcomes.
    """

    def __init__(self, *, unit: float, alpha: float, truncation: float) -> None:
        self._reach = (1.0 + truncation) * unit
        self._settings = {"low": -unit, "high": unit, "truncation": truncation / 2.0}  # the range is two units
        self._alpha = 2.0 * alpha  # a sequence errs on either side with half of its own
        self._whole = ConfidenceSequence(**self._settings, alpha=(1.0 - _OF_THE_LATEST) * self._alpha)
        self.n: int = 0
        self._renewals = 0
        self._latest = ConfidenceSequence(**self._settings)  # without outcomes until it is renewed

    @property
    def lower(self) -> float:
        """What the mean gain is not below, over all outcomes or the latest, whichever is more."""
        return max(self._whole.lower, self._latest.lower)

    @property
    def upper(self) -> float:
        """What the mean gain is not above, over all outcomes or the latest, whichever is less."""
        return min(self._whole.upper, self._latest.upper)

    def add(self, below: float, above: float) -> None:
        """Take the two pseudo-outcomes of a request."""
        if self.n >= _FIRST_RENEWAL << self._renewals:
            self._latest = self._renewed()
        self.n += 1
        below, above = max(below, -self._reach), min(above, self._reach)  # they are, but for rounding
        self._whole.add(below, above)
        if self._renewals:
            self._latest.add(below, above)
        if self._latest.upper < self._whole.lower or self._latest.lower > self._whole.upper:
            self._whole, self._latest = self._latest, self._renewed()

    def to_dict(self) -> dict[str, object]:
        """All of it, as JSON can hold it."""
        counts = {"n": self.n, "renewals": self._renewals}
        return {**counts, "whole": self._whole.to_dict(), "latest": self._latest.to_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``to_dict`` gave."""
        self.n, self._renewals = state["n"], state["renewals"]
        self._whole, self._latest = (ConfidenceSequence.from_dict(state[name]) for name in ("whole", "latest"))

    def _renewed(self) -> ConfidenceSequence:
        self._renewals = i = self._renewals + 1
        return ConfidenceSequence(**self._settings, alpha=_OF_THE_LATEST * self._alpha / (i * (i + 1)))


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
    >>> round(utility_of({"quality": 1.0, "cost_usd": -50.0}, {"quality": 0.8, "output_tokens": 500}, (0.001, 2e-6)), 9)
    0.7
    """
    answered = values.get("availability", 1.0)
    known = {"availability": answered, **values}
    if by_tokens is not None and "output_tokens" in values:
        known.setdefault("cost_usd", by_tokens[0] + by_tokens[1] * values["output_tokens"])
    if answered == 1.0 and not worth.keys() <= known.keys():
        return None
    return sum(each * known.get(name, 0.0) for name, each in worth.items())
