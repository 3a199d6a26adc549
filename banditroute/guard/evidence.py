"""Evidence of the learner's gain over the baseline, from the outcomes and propensities of served requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.token_costs import CACHED_TOKENS, TokenCosts
from banditroute.statistics.confidence_sequences import ConfidenceSequence

_OF_THE_LATEST = 0.2  # of the probability of error; at 5% the whole needs 7% more outcomes for it
_FIRST_RENEWAL = 1000  # outcomes; fewer say little at small shares


class GainBounds:
    """Bounds of the mean gain, over all outcomes and over the latest, valid at all times at once.

    A learner gets better, and arms get worse. So the outcomes since the 1000th, 2000th, 4000th, ... are bounded by
    themselves, too, each time from the beginning. If the two bounds contradict each other, the older outcomes are out
    of date: from then on, the latest ones are the whole.

    Parameters
    ----------
    unit
        The largest possible gain, and the largest possible loss.
    alpha
        Probability, below 1, that a lower bound is ever above the true mean; the same for the upper one. The bound over
        all outcomes has four fifths of it, the i-th bound over the latest ``1 / (i (i + 1))`` of the rest.
    truncation
        As in :func:`paired_gain`.

    Attributes
    ----------
    n
        Number of outcomes.
    """

    def __init__(self, *, unit: float, alpha: float, truncation: float) -> None:
        self._reach = (1.0 + truncation) * unit
        self._settings = {"low": -unit, "high": unit, "truncation": truncation / 2.0}  # the range is two units
        self._alpha = 2.0 * alpha  # a sequence errs on either side with half of its own
        self.whole: ConfidenceSequence = ConfidenceSequence(
            **self._settings, alpha=(1.0 - _OF_THE_LATEST) * self._alpha
        )
        self.n: int = 0
        self._renewals = 0
        self.latest: ConfidenceSequence = ConfidenceSequence(**self._settings)  # without outcomes until it is renewed

    @property
    def lower(self) -> float:
        """Lower bound of the mean gain: the higher one of those over all outcomes and over the latest."""
        return max(self.whole.lower, self.latest.lower)

    @property
    def upper(self) -> float:
        """Upper bound of the mean gain: the lower one of those over all outcomes and over the latest."""
        return min(self.whole.upper, self.latest.upper)

    def add(self, below: float, above: float) -> None:
        """Add the two pseudo-outcomes of a request."""
        if self.n >= _FIRST_RENEWAL << self._renewals:
            self.latest = self._renewed()
        self.n += 1
        below, above = max(below, -self._reach), min(above, self._reach)  # they are, but for rounding
        self.whole.add(below, above)
        if self._renewals:
            self.latest.add(below, above)
        if self.latest.upper < self.whole.lower or self.latest.lower > self.whole.upper:
            self.whole, self.latest = self.latest, self._renewed()

    def to_dict(self) -> dict[str, object]:
        """Return the whole state, as JSON can hold it."""
        counts = {"n": self.n, "renewals": self._renewals}
        return {**counts, "whole": self.whole.to_dict(), "latest": self.latest.to_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that ``to_dict`` returned."""
        self.n, self._renewals = state["n"], state["renewals"]
        self.whole, self.latest = (ConfidenceSequence.from_dict(state[name]) for name in ("whole", "latest"))

    def _renewed(self) -> ConfidenceSequence:
        self._renewals = i = self._renewals + 1
        return ConfidenceSequence(**self._settings, alpha=_OF_THE_LATEST * self._alpha / (i * (i + 1)))


class PairedGain(NamedTuple):
    """Pseudo-outcomes of each of K arms if it is served: ``weight x outcome + offset``, in the outcome's unit.

    Attributes
    ----------
    weight, below, above : (..., K)
        Weight of the outcome, and offsets of the two pseudo-outcomes: one that is never far below the range of a gain,
        and one that is never far above it.
    """

    weight: Vector
    below: Vector
    above: Vector


def paired_gain(
    learner: Vector, baseline: Vector, logged: Vector, predicted: Vector, *, low: float, high: float, truncation: float
) -> PairedGain:
    """Return doubly robust pseudo-outcomes of the gain ``sum (learner - baseline) outcome``.

    With outcomes and predictions m in [0, 1], ``w = (learner - baseline) / logged`` and k the truncation, an arm served
    with outcome y gives ``w (y - m) + sum over arms of (learner - baseline) m``, whose mean is the gain whatever m is.
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
        """Return the offset with predictions capped from above where ``lowered`` and from below elsewhere."""
        kept = np.where(lowered, np.minimum(m, most), np.maximum(m, 1.0 - most))
        total = (difference * kept).sum(axis=-1, keepdims=True)
        of_unit: Vector = unit * (total - weight * kept) - weight * low
        return of_unit

    return PairedGain(weight, offset(weight > 0.0), offset(weight < 0.0))


def utility_of(worth: Mapping[str, float], values: Mapping[str, float], by_tokens: TokenCosts | None) -> float | None:
    """Return the utility of some outcomes; None while an outcome that counts is unknown.

    A failed call has no quality, and no cost except a reported one.

    Parameters
    ----------
    worth
        Objective -> utility of one unit.
    values
        Objective -> outcome, as far as reported.
    by_tokens
        What the tokens of the call cost; None if unknown.

    Examples
    --------
    >>> by_tokens = TokenCosts(input_usd=0.001, output_usd_per_token=2e-6)
    >>> round(utility_of({"quality": 1.0, "cost_usd": -50.0}, {"quality": 0.8, "output_tokens": 500}, by_tokens), 9)
    0.7
    """
    answered = values.get("availability", 1.0)
    known = {"availability": answered, **values}
    if by_tokens is not None and "output_tokens" in values:
        known.setdefault("cost_usd", by_tokens.cost_usd(values["output_tokens"], values.get(CACHED_TOKENS)))
    if answered == 1.0 and not worth.keys() <= known.keys():
        return None
    return sum(each * known.get(name, 0.0) for name, each in worth.items())
