"""The logistic belief: outcomes of 0 or 1 whose log odds, not whose probability, are linear in the context.

``P(y = 1) = sigmoid(x'phi)``. Its log likelihood has no sums that would do for every ``phi``, so it is taken to second
order in the log odds about an arm's base rate p (one step of Newton's method from there; Fisher scoring's first):

    y eta - log(1 + e^eta)  ~  const - v (z - eta)^2 / 2      v = p (1 - p)      z = logit p + (y - p) / v

That is a linear model of ``z``, an affine function of ``y``, with the noise ``1/v``: the posterior is the linear one of
``y`` moved through the tangent, from the same sums, in any order. With its mean ``m`` and spread ``s`` at a context,

    eta = logit p + (m - p) / v      tau = s / v
    mean = sigmoid(logit p + (eta - logit p) / sqrt(1 + pi tau^2 / 8))      spread = mean (1 - mean) tau

The root averages over what is not known of the log odds (MacKay 1992, "The evidence framework applied to
classification networks"); the base rate, an average already, is left out of it, so that nothing but the prior's mean is
expected before any feedback. The spread is by the delta method. The base rate of an arm is its mean outcome, with the
average of all arms counted like so many outcomes as the intercept's prior.

What the expansion is worth, beside the exact maximum of the posterior: it is exact where contexts do not matter, and
its error is of second order in their effect. For normal contexts whose effect on the log odds has a standard deviation
of .25, .5, 1 and 1.5, no expectation is further off than .005, .02, .05 and .09 at base rates of .5 to .85, and .005,
.03, .10 and .13 at .95; the linear mean is as near on average, but off by up to .04, .12, .38 and .49, and beyond
[0, 1] at up to a fifth of the contexts. The expansion fails where an arm of an extreme base rate is quite another on a
kind of request that is rare: at .95, but .54 on a tenth of the requests that an indicator marks, it expects .08 of
these once the data outweigh the prior, and the linear mean is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from banditroute.beliefs.base import Prediction
from banditroute.beliefs.hybrid import Hybrid, HybridBelief
from banditroute.beliefs.linear import LinearBelief
from banditroute.beliefs.settings import Beginning
from banditroute.core.arrays import Vector
from banditroute.errors import InvalidConfigurationError

_GUESS = 0.25  # of an observation, as in the hybrid belief


@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic(Hybrid):
    """How a logistic belief begins: a hybrid one, with some objectives on the scale of log odds.

    Its expectations stay between 0 and 1. It keeps the same sums as the hybrid belief, so that a router may change from
    one to the other and keep what it has learned.

    Parameters
    ----------
    objectives
        Those whose outcomes are 0 or 1, or lie between; their prior means are above 0 and below 1.
    feature_precision, intercept_precision, shared_precision
        As in :class:`~banditroute.beliefs.Hybrid`.
    noise, noise_strength, half_life_requests, half_life_seconds
        As in :class:`~banditroute.beliefs.settings.BeliefSettings`.

    Raises
    ------
    InvalidConfigurationError
        As for :class:`~banditroute.beliefs.Hybrid`; on start, for an objective that does not exist, or whose prior mean
        is not above 0 and below 1.

    Examples
    --------
    >>> from banditroute.beliefs import Prior
    >>> linear, logistic = (
    ...     spec.start(arms=["a"], dimension=2, priors={"quality": Prior(mean=0.5, noise=0.4)})
    ...     for spec in (Hybrid(feature_precision=1.0), Logistic(feature_precision=1.0))
    ... )
    >>> for hard in [-1.0, 1.0] * 50:
    ...     for belief in (linear, logistic):
    ...         belief.update("a", np.array([hard, 1.0]), {"quality": float(hard < 0.0)})
    >>> [belief.predict(np.array([3.0, 1.0])).means.round(2).item() for belief in (linear, logistic)]
    [-1.0, 0.0]
    """

    objectives: tuple[str, ...] = ("quality",)

    def _belief(self) -> type[LinearBelief]:
        return LogisticBelief


class LogisticBelief(HybridBelief):
    """The state of a logistic belief; made by :meth:`Logistic.start`. Not thread-safe: the router holds a lock."""

    _spec: Logistic

    def __init__(self, *, spec: Logistic, beginning: Beginning) -> None:
        priors = beginning.priors
        for name in spec.objectives:
            mean = priors[name].mean if name in priors else None
            if mean is None or not 0.0 < mean < 1.0:
                raise InvalidConfigurationError(
                    f"objective {name!r} has the prior mean {mean}; Logistic(objectives=...) takes the names of "
                    "objectives with a prior mean above 0 and below 1"
                )
        super().__init__(spec=spec, beginning=beginning)

    def predict(self, x: Vector) -> Prediction:
        """Expectation and spread of every arm at context ``x (d,)``: each ``(m, K)``."""
        prediction = super().predict(x)
        for j, name in enumerate(self._objectives):
            if name in self._spec.objectives:
                base = self._base_rates(j)
                slope = base * (1.0 - base)
                tau = prediction.stds[j] / slope
                effect = (prediction.means[j] - base) / slope / np.sqrt(1.0 + np.pi / 8.0 * tau * tau)
                mean = 0.5 + 0.5 * np.tanh(0.5 * (np.log(base / (1.0 - base)) + effect))
                prediction.means[j] = mean
                prediction.stds[j] *= mean * (1.0 - mean) / slope
                prediction.average_spreads[j] *= mean * (1.0 - mean) / slope
        return prediction

    def _base_rates(self, j: int) -> Vector:
        """The mean outcome of each arm ``(K,)``, drawn towards that of all."""
        n, sums = self._n[j], self._sums[j]
        guess = self._priors[self._objectives[j]].mean or 0.0
        average = (float(sums.sum()) + _GUESS * guess) / (float(n.sum()) + _GUESS)
        bias = float(self._precision[self._group_of[j]][-1])
        rates: Vector = (sums + bias * average) / (n + bias)
        return rates
