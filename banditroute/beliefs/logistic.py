"""The logistic belief: for outcomes of 0 or 1, it models the log odds as linear in the context.

The model is ``P(y = 1) = sigmoid(x'phi)``. Its log likelihood has no sufficient statistics that hold for every
``phi``. The belief therefore expands it to second order in the log odds around an arm's base rate p. This is the first
step of Newton's method, or of Fisher scoring:

    y eta - log(1 + e^eta)  ~  const - v (z - eta)^2 / 2      v = p (1 - p)      z = logit p + (y - p) / v

This is a linear model of ``z``, an affine function of ``y``, with the noise ``1/v``. Its posterior follows from the
linear posterior of ``y``, so it needs the same sums, in any order. With the linear mean ``m`` and standard deviation
``s`` at a context,

    eta = logit p + (m - p) / v      tau = s / v
    mean = sigmoid(logit p + (eta - logit p) / sqrt(1 + pi tau^2 / 8))      std = mean (1 - mean) tau

The root averages over the uncertainty of the log odds (MacKay 1992, "The evidence framework applied to classification
networks"). It leaves out the base rate, which is an average already; so the prediction before any feedback is the
prior mean. The standard deviation follows from the delta method. The base rate of an arm is its mean outcome, shrunk
towards the average of all arms with the weight of the intercept's prior.

How exact is the expansion, compared with the exact maximum of the posterior? It is exact if contexts do not matter,
and its error is of second order in their effect. Take normal contexts whose effect on the log odds has a standard
deviation of .25, .5, 1 and 1.5. The largest errors of the mean are then .005, .02, .05 and .09 at base rates of .5 to
.85, and .005, .03, .10 and .13 at .95. The linear mean is as close on average, but its largest errors are .04, .12, .38
and .49, and it leaves [0, 1] at up to a fifth of the contexts.

The expansion fails if an arm with an extreme base rate behaves differently on a rare kind of request. For example, let
the base rate be .95, but .54 on a tenth of the requests, which an indicator marks. Once the data outweigh the prior, it
predicts .08 for these; the linear mean is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from banditroute.beliefs.base import Prediction
from banditroute.beliefs.hybrid import Hybrid, HybridBelief
from banditroute.beliefs.linear import LinearBelief
from banditroute.beliefs.pool import PoolStatus
from banditroute.beliefs.settings import Beginning
from banditroute.core.arrays import Vector
from banditroute.errors import InvalidConfigurationError

_PRIOR_MEAN_OBSERVATIONS = 0.25  # weight of the prior mean in the average of all arms, as in the hybrid belief


@dataclass(frozen=True, slots=True, kw_only=True)
class Logistic(Hybrid):
    """The settings of a logistic belief: a hybrid belief that models some objectives on the scale of log odds.

    Its predictions of these objectives stay between 0 and 1. It keeps the same statistics as the hybrid belief, so a
    router may switch between the two and keep what it has learned.

    Parameters
    ----------
    objectives
        Objectives with outcomes in [0, 1]; their prior means are above 0 and below 1.
    feature_precision, intercept_precision, shared_precision
        As in :class:`~banditroute.beliefs.Hybrid`.
    noise, noise_strength, half_life_requests, half_life_seconds
        As in :class:`~banditroute.beliefs.settings.BeliefSettings`.

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range, as for :class:`~banditroute.beliefs.Hybrid`. On start, if an objective is unknown
        or its prior mean is not above 0 and below 1.

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

    def pool(self, objective: str, *, higher_is_better: bool) -> PoolStatus | None:
        """Return what kind of pool the arms are; None for objectives whose weights are log odds."""
        logistic = objective in self._spec.objectives
        return None if logistic else super().pool(objective, higher_is_better=higher_is_better)

    def predict(self, x: Vector) -> Prediction:
        """Predict mean and standard deviation of every arm at context ``x (d,)``: each ``(m, K)``."""
        prediction = super().predict(x)
        for j, name in enumerate(self.objectives):
            if name in self._spec.objectives:
                base = self._base_rates(j)
                slope = base * (1.0 - base)
                tau = prediction.stds[j] / slope
                effect = (prediction.means[j] - base) / slope / np.sqrt(1.0 + np.pi / 8.0 * tau * tau)
                mean = 0.5 + 0.5 * np.tanh(0.5 * (np.log(base / (1.0 - base)) + effect))
                prediction.means[j] = mean
                prediction.stds[j] *= mean * (1.0 - mean) / slope
                prediction.average_stds[j] *= mean * (1.0 - mean) / slope
        return prediction

    def _base_rates(self, j: int) -> Vector:
        """Return the mean outcome of each arm ``(K,)``, shrunk towards the average of all arms."""
        n, sums = self._n[j], self._sums[j]
        guess = self._priors[self.objectives[j]].mean or 0.0
        weight = _PRIOR_MEAN_OBSERVATIONS
        average = (float(sums.sum()) + weight * guess) / (float(n.sum()) + weight)
        bias = float(self._precision[self._group_of[j]][-1])
        rates: Vector = (sums + bias * average) / (n + bias)
        return rates
