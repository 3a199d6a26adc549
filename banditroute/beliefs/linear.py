"""The linear belief: Bayesian ridge regression for every arm and objective. The one place of the linear algebra.

For arm k and objective j, outcomes are ``y = x'theta + noise`` with ``theta ~ N(mu, sigma^2 Lambda^-1)`` and
``noise ~ N(0, sigma^2)``; ``Lambda`` is diagonal, ``mu`` is the objective's prior mean on the bias entry and 0
elsewhere. With the sums ``S``, ``B``, ``yy`` of :mod:`banditroute.beliefs.statistics`,

    A = Lambda + S        theta = A^-1 (B + Lambda mu)        spread(x) = sigma sqrt(x' A^-1 x)

``mu`` is given, or learned as what the arms have in common (empirical Bayes), so that an arm that was never tried is
expected to be like the others; with the objective's prior mean ``mu0``, if there is one, counting as ``g`` of an arm:

    mu = (g mu0 + sum over arms of r mean(y)) / (g + sum over arms of r)    g = 1/4, r = n / (n + Lambda_bias)

The noise ``sigma`` is known, or learned per arm and objective as a scaled inverse chi-squared (normal-inverse-gamma)
with ``nu`` prior degrees of freedom, whose scale is the pooled noise of all arms. The pool begins at the objective's
guess ``noise0``; where it has none, at ``|mu|``, since dollars and seconds scatter about as widely as they are large:

    rss     = yy + mu' Lambda mu - theta' (B + Lambda mu)                             of the arm
    pooled  = (nu noise0^2 + sum over arms of rss) / (nu + sum over arms of n)
    sigma^2 = (nu pooled + rss) / (nu + n)

Only ``theta`` and ``rss`` depend on ``mu``, and simply: with those for ``mu = 0`` and ``c = Lambda_bias A^-1 e_bias``,
``theta = theta_0 + mu c`` and ``rss = rss_0 + mu Lambda_bias (mu (1 - c_bias) - 2 theta_0,bias)``. ``A^-1``,
``theta_0`` and ``rss_0`` follow each observation by rank one (Sherman and Morrison 1950) and are derived afresh by
Cholesky every ``_REFRESH`` observations of an arm, and at any that outweighs those before it ``_WIDEST`` times, so that
rounding does not build up.

Sources: Li et al. 2010, "A contextual-bandit approach to personalized news article recommendation", algorithm 1
(disjoint ridge per arm); Bishop 2006, "Pattern recognition and machine learning", sections 2.3.6 and 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from banditroute._validate import number
from banditroute.beliefs import statistics as statistics_
from banditroute.beliefs.base import Prediction, Prior
from banditroute.beliefs.statistics import ArmStatistics, Group
from banditroute.errors import InvalidConfigurationError
from banditroute.types import Vector

_REFRESH = 256
_WIDEST = 1e4  # an update by rank one loses as many digits as this factor has by which it narrows a direction
_GUESS = 0.25  # of an arm: enough to begin with, little enough to give way to the first arms that are known
_NO_PRIOR = Prior()


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """How a linear belief begins.

    Parameters
    ----------
    feature_precision
        Prior precision of every feature's weight, in units of the noise: how many observations it takes for a feature
        of size 1 to earn half its weight. Above 0. None: ``4 (d - 1)``, so that features of about unit variance
        together begin with a quarter of the variance of the noise, however many they are; features of another size
        should be scaled to it.
    intercept_precision
        The same of the bias. Above 0; small, so that an arm's average is learned before what the context adds.
    shared_prior
        Whether ``mu`` is learned from all arms. False: each arm begins at its objective's prior mean (0 without one),
        and learns from its own feedback alone, as in the papers.
    noise
        Known standard deviation of single outcomes by objective, in its unit; None: learned from feedback.
    noise_strength
        ``nu``, how many observations the prior of a learned noise is worth. Above 0.

    Raises
    ------
    InvalidConfigurationError
        For a number that is not finite and above 0.

    Examples
    --------
    >>> belief = Linear().start(arms=["a", "b"], dimension=2, priors={"quality": Prior(mean=0.5, noise=0.4)})
    >>> belief.update("a", np.array([0.0, 1.0]), {"quality": 1.0})
    >>> belief.predict(np.array([0.0, 1.0])).means.round(3)
    array([[0.917, 0.833]])
    """

    feature_precision: float | None = None
    intercept_precision: float = 1.0
    shared_prior: bool = True
    noise: Mapping[str, float] | None = None
    noise_strength: float = 4.0

    def __post_init__(self) -> None:
        given = {
            "feature_precision": 1.0 if self.feature_precision is None else self.feature_precision,
            "intercept_precision": self.intercept_precision,
            "noise_strength": self.noise_strength,
            **{f"noise[{name!r}]": value for name, value in (self.noise or {}).items()},
        }
        if self.noise is not None:
            object.__setattr__(self, "noise", dict(self.noise))  # the caller may go on to change its own
        for name, value in given.items():
            if number(value, name=name, low=0.0, error=InvalidConfigurationError) == 0.0:
                raise InvalidConfigurationError(f"{name} is 0; give a number above 0")

    def start(
        self,
        *,
        arms: Sequence[str],
        dimension: int,
        priors: Mapping[str, Prior],
        statistics: Mapping[str, bytes] | None = None,
    ) -> LinearBelief:
        """A belief over ``arms`` in ``dimension`` features (the bias last), from folded statistics where there are.

        Raises
        ------
        InvalidConfigurationError
            If the noise of an objective is given that does not exist.
        IncompatibleStoreError
            If an arm's statistics are damaged, or of another dimension.
        """
        unknown = sorted(set(self.noise or {}) - set(priors))
        if unknown:
            raise InvalidConfigurationError(
                f"noise is given for {', '.join(unknown)}, which is no objective; known: {', '.join(sorted(priors))}"
            )
        return LinearBelief(spec=self, arms=arms, dimension=dimension, priors=priors, statistics=statistics or {})

    def fold(
        self,
        blob: bytes | None,
        events: Sequence[tuple[Vector, Mapping[str, float]]],
        *,
        dimension: int,
        removed: Sequence[tuple[Vector, Mapping[str, float]]] = (),
    ) -> bytes:
        """An arm's folded statistics with ``events`` added, and those ``removed`` taken back."""
        return statistics_.fold(blob, events, dimension=dimension, removed=removed)


class LinearBelief:
    """The state of a linear belief; made by :meth:`Linear.start`. Not thread-safe: the router holds a lock.

    Arrays run over G groups of objectives that share an ``A``, K arms, m objectives and d features.
    """

    def __init__(
        self,
        *,
        spec: Linear,
        arms: Sequence[str],
        dimension: int,
        priors: Mapping[str, Prior],
        statistics: Mapping[str, bytes],
    ) -> None:
        from scipy.linalg import blas  # here, since it takes half of the time that importing banditroute may

        self._rank_one_product = blas.dger
        self._spec = spec
        self._known_noise = dict(spec.noise or {})
        self._arms = tuple(arms)
        self._index = {name: k for k, name in enumerate(self._arms)}
        self._dimension = dimension
        self._priors = dict(priors)
        per_feature = 4.0 * (dimension - 1) if spec.feature_precision is None else spec.feature_precision
        self._precision = np.full(dimension, per_feature, dtype=np.float64)
        self._precision[-1] = spec.intercept_precision
        self._statistics = [ArmStatistics(dimension=dimension) for _ in self._arms]
        for name, blob in statistics.items():
            if name not in self._index:
                continue  # an arm that this router does not have keeps its statistics in the store
            self._statistics[self._index[name]] = statistics_.load(blob, dimension=dimension)
        self._since_refresh = [0] * len(self._arms)
        observed = {name for arm in self._statistics for group in arm.groups for name in group.objectives}
        self._objectives: tuple[str, ...] = tuple(sorted(observed))
        self._derive()

    @property
    def arms(self) -> tuple[str, ...]:
        """The K arms, in the order of the arrays."""
        return self._arms

    @property
    def objectives(self) -> tuple[str, ...]:
        """The m objectives believed so far, in the order of the arrays; grows, never reorders."""
        return self._objectives

    def counts(self, objective: str) -> Vector:
        """How many outcomes of a believed objective were learned for each arm ``(K,)``."""
        counts: Vector = self._n[self._objectives.index(objective)]
        return counts

    def watch(self, objectives: Sequence[str]) -> None:
        """Believe these objectives from now on, even before any feedback."""
        new = [name for name in objectives if name not in self._objectives]
        if new:
            self._objectives += tuple(new)
            self._derive()

    def predict(self, x: Vector) -> Prediction:
        """Expectation and spread of every arm at context ``x (d,)``: each ``(m, K)``."""
        m, k, d = self._theta.shape
        groups = len(self._members)
        means = (self._theta.reshape(m * k, d) @ x).reshape(m, k)
        widths = (self._inverse.reshape(groups * k * d, d) @ x).reshape(groups * k, d) @ x
        spreads = self._noise2 * widths.reshape(groups, k)[self._group_of]
        # Rounding can leave a width of -1e-17 where a direction is known to the last bit.
        return Prediction(means, np.sqrt(np.maximum(spreads, 0.0, out=spreads), out=spreads))

    def information(self) -> Vector:
        """``log det(A) - log det(Lambda)`` of each arm ``(K,)``, the largest of its groups, in nats."""
        most: Vector = self._information.max(axis=0, initial=0.0)
        return most

    def update(self, arm: str, x: Vector, values: Mapping[str, float]) -> None:
        """Learn the outcomes ``values`` of ``arm`` at context ``x (d,)``."""
        k = self._index[arm]
        regrouped = self._statistics[k].add(x, values)
        self._objectives += tuple(name for name in values if name not in self._objectives)
        self._since_refresh[k] += 1
        if regrouped:  # as by any objective that is new
            self._derive()
            return
        for g, members in enumerate(self._members):
            if self._objectives[members[0]] in values:
                self._rank_one(g, k, members, x, values)
        if self._since_refresh[k] >= _REFRESH:
            self._since_refresh[k] = 0
            for g in range(len(self._members)):
                self._solve(g, k)
                self._pool(g)

    def _rank_one(self, g: int, k: int, members: list[int], x: Vector, values: Mapping[str, float]) -> None:
        inverse = self._inverse[g, k]
        gain = inverse @ x
        width = float(gain @ x)
        if not 0.0 <= width < _WIDEST:  # rounding would have, or has, the better of the inverse
            self._solve(g, k)  # the statistics hold this observation already
            self._pool(g)
            return
        scale = 1.0 / (1.0 + width)
        for j in members:
            y = values[self._objectives[j]]
            theta = self._theta0[j, k]
            error = y - float(theta @ x)
            theta += (error * scale) * gain
            self._rss0[j, k] += error * error * scale
            self._total[j, k] += y
            self._n[j, k] += 1.0
        # The inverse is symmetric and in C order: its transpose is the Fortran view that BLAS updates in place.
        self._rank_one_product(-scale, gain, gain, a=inverse.T, overwrite_a=1)
        self._information[g, k] += math.log1p(width)
        self._pool(g)

    def _derive(self) -> None:
        """Derive everything from the statistics: at the start, and whenever the grouping changes (rare)."""
        m, k, d = len(self._objectives), len(self._arms), self._dimension
        seats: dict[tuple[int, ...], list[int]] = {}
        for j, name in enumerate(self._objectives):
            seats.setdefault(tuple(_seat(arm, name) for arm in self._statistics), []).append(j)
        self._members = list(seats.values())
        self._group_of = np.empty(m, dtype=np.intp)
        for g, members in enumerate(self._members):
            self._group_of[members] = g
        self._inverse = np.empty((len(self._members), k, d, d))
        self._information = np.empty((len(self._members), k))
        self._theta0, self._theta = np.empty((m, k, d)), np.empty((m, k, d))
        self._rss0, self._noise2 = np.empty((m, k)), np.empty((m, k))
        self._total, self._n = np.empty((m, k)), np.empty((m, k))
        for g in range(len(self._members)):
            for arm in range(k):
                self._solve(g, arm)
            self._pool(g)

    def _solve(self, g: int, k: int) -> None:
        """Derive what one arm alone says of one group of objectives, by Cholesky."""
        members = self._members[g]
        group, rows = _find(self._statistics[k], [self._objectives[j] for j in members])
        if group is None:
            self._inverse[g, k] = np.diag(1.0 / self._precision)
            self._information[g, k] = 0.0
            for array in (self._theta0, self._rss0, self._total, self._n):
                array[members, k] = 0.0
            return
        b = group.b[rows]
        a = np.diag(self._precision) + group.s
        inverse, theta, log_det = _invert(a, b, least=float(self._precision.min()))
        self._inverse[g, k] = (inverse + inverse.T) / 2.0
        self._information[g, k] = log_det - np.log(self._precision).sum()
        self._theta0[members, k] = theta
        self._rss0[members, k] = group.yy[rows] - np.einsum("jd,jd->j", theta, b)
        self._total[members, k] = b[:, -1]
        self._n[members, k] = group.n

    def _pool(self, g: int) -> None:
        """Derive what all arms say together of one group of objectives: prior mean, weights and noise."""
        spec, bias = self._spec, float(self._precision[-1])
        lean = self._inverse[g, :, -1]  # A^-1 e_bias of every arm (K, d)
        for j in self._members[g]:
            prior = self._priors.get(self._objectives[j], _NO_PRIOR)
            n, theta0 = self._n[j], self._theta0[j]
            mean = 0.0 if prior.mean is None else prior.mean
            if spec.shared_prior:
                guess = 0.0 if prior.mean is None else _GUESS
                weight = guess + float((n / (n + bias)).sum())
                mean = (guess * mean + float((self._total[j] / (n + bias)).sum())) / weight if weight > 0.0 else 0.0
            np.multiply(lean, bias * mean, out=self._theta[j])
            self._theta[j] += theta0
            known = self._known_noise.get(self._objectives[j])
            if known is not None:
                self._noise2[j] = known * known
                continue
            rss = self._rss0[j] + bias * mean * (mean * (1.0 - bias * lean[:, -1]) - 2.0 * theta0[:, -1])
            np.maximum(rss, 0.0, out=rss)
            guess = mean if prior.noise is None else prior.noise
            strength = spec.noise_strength
            pooled = (strength * guess * guess + float(rss.sum())) / (strength + float(n.sum()))
            np.divide(rss + strength * pooled, n + strength, out=self._noise2[j])


def _invert(a: Vector, b: Vector, *, least: float) -> tuple[Vector, Vector, float]:
    """``A^-1 (d, d)``, the rows ``A^-1 b (m, d)`` and ``log det A``; no eigenvalue of ``A`` is below ``least``."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

    try:
        factor = cho_factor(a, lower=True)
    except LinAlgError:  # contexts so large and so alike that rounding has eaten the prior: give it back
        values, vectors = eigh(a)
        values = np.maximum(values, least)
        inverse = (vectors / values) @ vectors.T
        return inverse, b @ inverse, float(np.log(values).sum())
    return cho_solve(factor, np.eye(len(a))), cho_solve(factor, b.T).T, 2.0 * float(np.log(np.diag(factor[0])).sum())


def _seat(arm: ArmStatistics, objective: str) -> int:
    """Which group of the arm holds the objective; -1 for one never observed there."""
    return next((i for i, group in enumerate(arm.groups) if objective in group.objectives), -1)


def _find(arm: ArmStatistics, objectives: list[str]) -> tuple[Group | None, list[int]]:
    """The arm's group that holds the objectives (all of them or none), and their rows in it."""
    seat = _seat(arm, objectives[0])
    if seat < 0:
        return None, []
    group = arm.groups[seat]
    return group, [group.objectives.index(name) for name in objectives]
