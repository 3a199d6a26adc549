"""The linear belief: Bayesian ridge regression for every arm and objective.

For arm k and objective j, outcomes are ``y = x'theta + noise`` with ``theta ~ N(mu, sigma^2 Lambda^-1)`` and
``noise ~ N(0, sigma^2)``. ``Lambda`` is diagonal. ``mu`` is 0 except at the bias entry, which holds the arm's expected
outcome or else the objective's prior mean, and at entries that the arm's profile states, which have a precision of
their own (:mod:`banditroute.beliefs.profiles`). With the sums ``S``, ``B``, ``yy`` of
:mod:`banditroute.beliefs.statistics`,

    A = Lambda + S        theta = A^-1 (B + Lambda mu)        std(x) = sigma sqrt(x' A^-1 x)

The noise ``sigma`` is known, or learned for each arm and objective as a scaled inverse chi-squared
(normal-inverse-gamma) with ``nu`` prior degrees of freedom. The prior scale is the pooled noise of all arms, which
starts at the guess ``noise0``:

    rss     = yy + mu' Lambda mu - theta' (B + Lambda mu)                             of the arm
    pooled  = (nu noise0^2 + sum over arms of rss) / (nu + sum over arms of n)
    sigma^2 = (nu pooled + rss) / (nu + n)

Each observation updates ``A^-1``, ``theta`` and ``rss`` by rank one (Sherman and Morrison 1950). To limit rounding
errors, they are recomputed by Cholesky every ``_REFRESH_OBSERVATIONS`` observations of an arm, and at an observation
that narrows a direction more than ``_MOST_NARROWING`` times. A belief that forgets recomputes them after a 32nd of a
half-life; its sums are exact at every moment.

Sources: Li et al. 2010, "A contextual-bandit approach to personalized news article recommendation", algorithm 1
(disjoint ridge per arm); Bishop 2006, "Pattern recognition and machine learning", sections 2.3.6 and 3.3.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from banditroute.beliefs.algebra import add_rank_one, invert_all, multiply_all
from banditroute.beliefs.base import Observation, Prediction, Prior
from banditroute.beliefs.pool import PoolStatus, describe
from banditroute.beliefs.profiles import Stated, stated
from banditroute.beliefs.settings import Beginning, BeliefSettings
from banditroute.core.arrays import Vector

_REFRESH_OBSERVATIONS = 256  # of one arm, between two recomputations of its posterior
_MOST_NARROWING = 1e4  # of a direction by one update of rank one, which loses as many digits as this factor has
_STALE_HALF_LIVES = 1.0 / 32.0  # age of the posterior at which it is recomputed; its weights are then 2% off
_LEAST_SHARE_OF_POOLED_NOISE = 0.25  # of an arm's noise variance: its own estimate may be too low
_NO_PRIOR = Prior()
_ARMS_AT_ONCE = 256  # whose matrices are inverted together: more would need memory, and would not be faster
_ZERO = np.zeros(())  # an array of no dimension: numpy takes longer to convert a float than to compare it


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(BeliefSettings):
    """The settings of a linear belief: it models each arm separately, as in the papers.

    Parameters
    ----------
    feature_precision
        Prior precision of every feature's weight, in units of the noise. With precision c, a feature of size 1 reaches
        half its weight after c observations. Above 0. None: 4 times the columns of its block, divided by the block's
        strength. A block of unit mean square then starts with a quarter of the noise variance, whatever its columns.
    intercept_precision
        Prior precision of the bias, above 0. Keep it small, so that an arm's average is learned before the effect of
        the context. None: 1.
    noise, noise_strength, half_life_requests, half_life_seconds
        As in :class:`~banditroute.beliefs.settings.BeliefSettings`.

    Raises
    ------
    InvalidConfigurationError
        If a number is not finite and above 0, or both half-lives are given.

    Examples
    --------
    >>> belief = Linear().start(arms=["a", "b"], dimension=2, priors={"quality": Prior(mean=0.5, noise=0.4)})
    >>> belief.update("a", np.array([0.0, 1.0]), {"quality": 1.0})
    >>> belief.predict(np.array([0.0, 1.0])).means.round(3)
    array([[0.75, 0.5 ]])
    """

    def _belief(self) -> type[LinearBelief]:
        return LinearBelief


class LinearBelief:
    """The state of a linear belief; made by :meth:`Linear.start`. Not thread-safe: the router holds a lock.

    Arrays run over G groups of objectives that share an ``A``, K arms, m objectives and d features.

    Attributes
    ----------
    objectives
        The m objectives modelled so far, in the order of the arrays; new ones are appended.
    """

    def __init__(self, *, spec: BeliefSettings, beginning: Beginning) -> None:
        self._spec = spec
        self._known_noise = dict(spec.noise or {})
        self._arms = tuple(arm.name for arm in beginning.arms)
        self._index = {name: k for k, name in enumerate(self._arms)}
        self._dimension, self._blocks = beginning.dimension, beginning.blocks
        self._columns_of_blocks = [block.columns for block in beginning.blocks]
        self._priors = beginning.priors
        self._expected_of_arm = [arm.expected for arm in beginning.arms]
        self._stated = self._statements(beginning)
        dimension, statistics = beginning.dimension, beginning.statistics
        # An arm that this router does not have keeps its statistics in the store.
        self._statistics = [spec.load(statistics.get(name), dimension=dimension) for name in self._arms]
        self._clock = max(arm.clock for arm in self._statistics)  # moment to which the posterior's weights refer
        self._since_refresh = [0] * len(self._arms)
        observed = {name for arm in self._statistics for group in arm.groups for name in group.objectives}
        # Objectives that only another deployment declares keep their sums, but are not predicted here.
        self.objectives: tuple[str, ...] = tuple(sorted(observed & self._priors.keys() if self._priors else observed))
        self._derive_all()

    def _prior_precision(self, objective: str) -> Vector:
        """Return the diagonal of ``Lambda`` for an objective ``(d,)``."""
        return self._precision_of_blocks(per_column=4.0, intercept=1.0)

    def _precision_of_blocks(self, *, per_column: float, intercept: float) -> Vector:
        """Return the prior precisions ``(d,)``; a block's default is ``per_column`` times its columns over strength."""
        precision = np.empty(self._dimension)
        if self._spec.feature_precision is not None:
            precision[:-1] = self._spec.feature_precision
        else:
            usual = [per_column * block.columns / block.strength for block in self._blocks]
            precision[:-1] = np.repeat(usual, self._columns_of_blocks)
        precision[-1] = self._spec.intercept_precision or intercept
        return precision

    def _statements(self, beginning: Beginning) -> dict[str, Stated]:
        """Return what arms state of their weights, by objective."""
        return stated(beginning.arms, beginning.blocks)

    def _prior_means(self, members: Sequence[int], arms: Sequence[int]) -> Vector:
        """Return the prior mean of each arm's weights ``(m, n, d)``."""
        means = self._stated_means(members, arms)
        for i, name in enumerate(self.objectives[j] for j in members):
            usual = self._priors.get(name, _NO_PRIOR).mean or 0.0
            means[i, :, -1] = [self._expected_of_arm[k].get(name, usual) for k in arms]
        return means

    def _stated_means(self, members: Sequence[int], arms: Sequence[int]) -> Vector:
        """Return what arms state of their weights, 0 elsewhere ``(m, n, d)``."""
        means = np.zeros((len(members), len(arms), self._dimension))
        for i, name in enumerate(self.objectives[j] for j in members):
            if name in self._stated:
                means[i] = self._stated[name].means[arms]
        return means

    def _precision_of_arms(self, objective: str, precision: Vector) -> Vector:
        """Return the diagonal of ``Lambda`` ``(d,)``, or of each arm's ``(K, d)`` where arms state weights."""
        given = self._stated.get(objective)
        return precision if given is None else np.where(given.known, given.precision, precision)

    @property
    def arms(self) -> tuple[str, ...]:
        """The K arms, in the order of the arrays."""
        return self._arms

    @property
    def choices(self) -> bytes | None:
        """Always None: a linear belief learns no hyperparameters."""
        return None

    def counts(self, objective: str) -> Vector:
        """Return the total weight of the learned outcomes of an objective, for each arm ``(K,)``."""
        counts: Vector = self._n[self.objectives.index(objective)]
        return counts

    def watch(self, objectives: Sequence[str]) -> None:
        """Predict these objectives from now on, even before any feedback."""
        new = [name for name in objectives if name not in self.objectives]
        if new:
            self._whole = False
            self.objectives += tuple(new)
            self._derive_all()

    def predict(self, x: Vector) -> Prediction:
        """Predict mean and standard deviation of every arm at context ``x (d,)``: each ``(m, K)``."""
        means, variances = self._means_and_variances(x)
        return Prediction(means, np.sqrt(variances, out=variances), self._average.copy())

    def _means_and_variances(self, x: Vector) -> tuple[Vector, Vector]:
        """Return expectation and its variance for every arm at context ``x (d,)``: each ``(m, K)``."""
        if not self._whole:
            self._derive_all()
        m, k, d = self._theta.shape
        reaches = self._pool_changed(x) if self._unpooled else self._rows.dot(x).reshape(-1, d)
        means = self._theta_rows.dot(x).reshape(m, k)  # twice as fast as @ for small arrays
        widths = reaches.dot(x).reshape(-1, k)
        widths += self._common
        variances = self._noise2 * (widths if len(widths) == 1 else widths[self._group_of])
        # Rounding can give a width of -1e-17 if a direction is known to the last bit.
        return means, np.maximum(variances, _ZERO, out=variances)

    def pool(self, objective: str, *, higher_is_better: bool) -> PoolStatus | None:
        """Return what kind of pool the arms are in one objective; None without outcomes of it."""
        if not self._whole:
            self._derive_all()
        self._pool_changed(np.zeros(self._dimension))
        s = np.zeros((self._dimension, self._dimension))
        for arm in self._statistics:
            if (position := arm.group_position(objective)) >= 0:
                s += arm.weight(arm.clock, self._clock) * arm.groups[position].s
        j = self.objectives.index(objective)
        return describe(
            self._theta[j],
            s,
            float(self._n[j].sum()),
            objective=objective,
            higher_is_better=higher_is_better,
            nats=self._evidence_nats(objective),
        )

    def _evidence_nats(self, objective: str) -> tuple[float, float] | None:
        """Return the log evidence for context and for arms that differ by it; None: a linear belief learns none."""
        return None

    def information(self) -> Vector:
        """Return ``log det(A) - log det(Lambda)`` of each arm ``(K,)`` in nats: the largest over its groups."""
        most: Vector = self._information.max(axis=0, initial=0.0)
        return most

    def advance(self, decided_at: float, ordinal: int) -> None:
        """Age the posterior to the moment of the next decision; do nothing if the belief never forgets."""
        half_life = self._statistics[0].half_life
        if half_life is None:
            return
        now = self._spec.moment(decided_at, ordinal)
        if now - self._clock > _STALE_HALF_LIVES * half_life:
            self._clock = now
            self._derive_all()

    def update(
        self,
        arm: str,
        x: Vector,
        values: Mapping[str, float],
        *,
        decided_at: float = 0.0,
        ordinal: int = 0,
        weight: float = 1.0,
    ) -> None:
        """Learn the outcomes ``values`` of ``arm`` at context ``x (d,)``; see :class:`banditroute.beliefs.Belief`."""
        self.advance(decided_at, ordinal)
        k = self._index[arm]
        moment = self._spec.moment(decided_at, ordinal)
        # A signal handler may raise anywhere in here. The sums change in one step; the rest can be derived from them.
        whole, self._whole = self._whole, False
        statistics = self._statistics[k]
        regrouped = False
        if not statistics.add_in_one_step(x, values, weight):
            statistics = statistics.copy()
            regrouped = statistics.add(x, values, moment=moment, weight=weight)
            self._statistics[k] = statistics
        self._since_refresh[k] += 1
        if regrouped or not whole:
            new = tuple(name for name in values if name not in self.objectives)
            self.objectives += new
            whole = whole and not new and weight > 0.0 and not self._splits(values)
        if whole:
            self._follow(k, x, values, statistics.weight(moment, self._clock) * weight)
        else:
            self._derive()  # from the statistics, which already hold this observation
        self._whole = True

    def updated_aside(self, arm: str, observations: Sequence[Observation]) -> Self | None:
        """Return a belief with these observations, if they make this one derive everything; None if they do not.

        With many arms that takes long. This belief stays as it is, so decisions go on meanwhile.
        """
        for each in observations:
            if self._derives_all_at(each):
                break
        else:
            return None
        twin = self._twin(arm)
        twin._whole = False  # so that it derives arrays of its own
        for x, values, decided_at, ordinal, weight in observations:
            twin.update(arm, x, values, decided_at=decided_at, ordinal=ordinal, weight=weight)
        twin._pool_changed(x)
        return twin

    def watching_aside(self, objectives: Sequence[str]) -> Self:
        """Return a belief that predicts these objectives, too; this one stays as it is."""
        twin = self._twin()
        twin.watch(objectives)
        twin._pool_changed(np.zeros(self._dimension))
        return twin

    def _twin(self, arm: str | None = None) -> Self:
        """Return a belief that shares this one's arrays until it derives its own, but no statistics of ``arm``."""
        twin = copy.copy(self)
        twin._statistics, twin._since_refresh = list(self._statistics), list(self._since_refresh)
        if arm is not None:
            k = self._index[arm]
            twin._statistics[k] = self._statistics[k].copy()
        return twin

    def _derives_all_at(self, observation: Observation) -> bool:
        """Return whether ``update`` with this observation derives everything."""
        _, values, decided_at, ordinal, _ = observation
        half_life = self._statistics[0].half_life
        if half_life is not None:
            age = self._spec.moment(decided_at, ordinal) - self._clock
            if age > _STALE_HALF_LIVES * half_life:
                return True
        for name in values:
            if name not in self.objectives:
                return True
        return self._splits(values)

    def _splits(self, observed: Collection[str]) -> bool:
        """Return whether an outcome of these objectives alone splits a group of objectives."""
        for members in self._members:
            if len(members) > 1:
                count = sum([self.objectives[j] in observed for j in members])
                if 0 < count < len(members):
                    return True
        return False

    def _follow(self, k: int, x: Vector, values: Mapping[str, float], weight: float) -> None:
        """Update the posterior with an observation of arm k that the statistics already hold."""
        refresh = self._since_refresh[k] >= _REFRESH_OBSERVATIONS
        for g, members in enumerate(self._members):
            observed = self.objectives[members[0]] in values
            if refresh or (observed and not self._rank_one(g, k, x, values, weight)):
                self._solve(g, [k])  # from the statistics, which already hold this observation
            if refresh or observed:
                self._unpooled.add(g)
        if refresh:
            self._since_refresh[k] = 0

    def statistics(self) -> dict[str, bytes]:
        """Return the statistics of each arm that has outcomes, for :meth:`Linear.start`."""
        return {name: s.to_bytes() for name, s in zip(self._arms, self._statistics, strict=True) if s.groups}

    def _rank_one(self, g: int, k: int, x: Vector, values: Mapping[str, float], weight: float) -> bool:
        """Update by rank one and return True, or return False if rounding errors would be too large."""
        inverse = self._inverse[g, k]
        gain = inverse.dot(x)
        width = weight * float(gain.dot(x))
        if not 0.0 <= width < _MOST_NARROWING:
            return False
        scale = weight / (1.0 + width)
        for j in self._members[g]:
            y = values[self.objectives[j]]
            own = self._own[j, k]
            error = y - float(own.dot(x))
            own += (error * scale) * gain
            self._rss[j, k] += error * error * scale
            self._sums[j, k] += weight * y
            self._squares[j, k] += weight * y * y
            self._n[j, k] += weight
        add_rank_one(inverse, -scale, gain)
        self._information[g, k] += math.log1p(width)
        self._share(g, k, gain, scale)
        return True

    def _share(self, g: int, k: int, gain: Vector, scale: float) -> None:
        """Share an update of ``A_k`` with other arms; a linear belief shares nothing."""

    def _pool_changed(self, x: Vector) -> Vector:
        """Pool the groups of objectives that were observed since the last prediction; return ``A^-1 x (G K, d)``."""
        groups = range(len(self._members))
        reaches = [self._pool(g, x) if g in self._unpooled else multiply_all(self._inverse[g], x) for g in groups]
        self._unpooled.clear()
        return reaches[0] if len(reaches) == 1 else np.concatenate(reaches)

    def _alike(self) -> list[list[int]]:
        """Group the positions of objectives that were always observed together and have the same prior precisions."""
        alike: dict[tuple[tuple[int, ...], bytes], list[int]] = {}
        for j, name in enumerate(self.objectives):
            positions = tuple([arm.group_position(name) for arm in self._statistics])
            alike.setdefault((positions, self._settings_key(name)), []).append(j)
        return list(alike.values())

    def _settings_key(self, objective: str) -> bytes:
        """Return bytes that are equal for objectives with equal prior precisions."""
        return self._prior_precision(objective).tobytes() + self._stated_key(objective)

    def _stated_key(self, objective: str) -> bytes:
        """Return bytes that are equal for objectives in which arms state the same weights."""
        return self._stated[objective].known.tobytes() if objective in self._stated else b""

    def _derive_all(self) -> None:
        """Derive everything, and mark it as complete."""
        self._whole = False
        self._derive()
        self._whole = True

    def _derive(self) -> None:
        """Derive everything from the statistics: at the start, and whenever the grouping changes (rare)."""
        self._members = self._alike()
        self._unpooled = set(range(len(self._members)))
        first = [self.objectives[members[0]] for members in self._members]
        self._precision = [self._prior_precision(name) for name in first]
        self._own_precision = [
            self._precision_of_arms(name, precision) for name, precision in zip(first, self._precision, strict=True)
        ]
        self._make(len(self._members), len(self.objectives), len(self._arms), self._dimension)
        for g, members in enumerate(self._members):
            self._group_of[members] = g
            self._solve(g, range(len(self._arms)))

    def _make(self, groups: int, m: int, k: int, d: int) -> None:
        """Allocate the arrays."""
        self._group_of = np.empty(m, dtype=np.intp)
        self._inverse, self._information = np.empty((groups, k, d, d)), np.empty((groups, k))
        self._rows = self._inverse.reshape(groups * k * d, d)
        self._own = self._theta = np.empty((m, k, d))  # one array: only an arm's own outcomes affect its prediction
        self._theta_rows = self._theta.reshape(m * k, d)
        self._rss, self._sums, self._squares, self._n = (np.empty((m, k)) for _ in range(4))
        self._noise2, self._average = np.empty((m, k)), np.empty((m, k))
        self._common, self._ones = np.zeros((groups, k)), np.ones(k)

    def _solve(self, g: int, arms: Sequence[int]) -> None:
        """Derive the posterior of some arms and one group of objectives from their own outcomes, by Cholesky."""
        name = self.objectives[self._members[g][0]]
        positions = [self._statistics[k].group_position(name) for k in arms]
        self._begin_from_prior(g, [k for k, position in zip(arms, positions, strict=True) if position < 0])
        observed = [(k, position) for k, position in zip(arms, positions, strict=True) if position >= 0]
        for begin in range(0, len(observed), _ARMS_AT_ONCE):
            self._solve_observed(g, observed[begin : begin + _ARMS_AT_ONCE])

    def _begin_from_prior(self, g: int, arms: list[int]) -> None:
        """Give arms without outcomes of a group of objectives the prior."""
        members, diagonal = self._members[g], np.arange(self._dimension)
        self._inverse[g, arms] = 0.0
        self._inverse[g, np.array(arms, dtype=np.intp)[:, None], diagonal, diagonal] = 1.0 / self._precisions_of(
            g, arms
        )
        self._information[g, arms] = 0.0
        rows, columns = np.ix_(members, arms)
        for array in (self._own, self._rss, self._sums, self._squares, self._n):
            array[rows, columns] = 0.0
        self._own[rows, columns] = self._prior_means(members, arms)

    def _solve_observed(self, g: int, observed: Sequence[tuple[int, int]]) -> None:
        """Derive the posterior of n arms that have outcomes, given with the position of their statistics."""
        members = self._members[g]
        names, arms = [self.objectives[j] for j in members], [k for k, _ in observed]
        precision = self._precisions_of(g, arms)
        groups = [self._statistics[k].groups[position] for k, position in observed]
        rows = [[group.objectives.index(name) for name in names] for group in groups]
        faded = np.array([self._statistics[k].weight(self._statistics[k].clock, self._clock) for k in arms])
        b = faded[:, None, None] * np.array(
            [group.b[row] for group, row in zip(groups, rows, strict=True)]
        )  # (n, m, d)
        a = np.array([group.s for group in groups])
        a *= faded[:, None, None]
        a[:, np.arange(self._dimension), np.arange(self._dimension)] += precision
        cells, mean = np.ix_(members, arms), self._prior_means(members, arms)
        self._sums[cells] = b[:, :, -1].T  # the bias is 1
        self._squares[cells] = faded * np.array([group.yy[row] for group, row in zip(groups, rows, strict=True)]).T
        self._n[cells] = faded * np.array([group.n for group in groups])
        b += precision[:, None, :] * mean.transpose(1, 0, 2)
        inverse, theta, log_det = invert_all(a, b, least=float(precision.min()))
        self._inverse[g, arms] = inverse
        self._information[g, arms] = log_det - np.log(precision).sum(axis=1)
        self._own[cells] = theta.transpose(1, 0, 2)
        of_prior = np.einsum("kd,jkd->jk", precision, mean * mean)
        self._rss[cells] = self._squares[cells] + of_prior - np.einsum("kjd,kjd->jk", theta, b)

    def _precisions_of(self, g: int, arms: Sequence[int]) -> Vector:
        """Return the diagonals of ``Lambda`` of some arms in a group of objectives ``(n, d)``."""
        precision: Vector = np.broadcast_to(self._own_precision[g], (len(self._arms), self._dimension))[arms]
        return precision

    def _pool(self, g: int, x: Vector) -> Vector:
        """Derive the noise of a group of objectives, pooled over the arms; return ``A^-1 x (K, d)``."""
        for j in self._members[g]:
            prior = self._priors.get(self.objectives[j], _NO_PRIOR)
            guess = (prior.mean or 0.0) if prior.noise is None else prior.noise
            self._scatter(j, self._rss[j], guess, self._own_precision[g][..., -1])
        return multiply_all(self._inverse[g], x)

    def _scatter(self, j: int, rss: Vector, guess: float, bias: Vector, size: Vector | None = None) -> None:
        """Derive the noise of one objective: known, or learned from the residuals ``rss``, in units of ``size``."""
        n = self._n[j]
        known = self._known_noise.get(self.objectives[j])
        if known is not None:
            self._noise2[j] = known * known
        else:
            rss = np.maximum(rss, _ZERO)
            strength = self._spec.noise_strength
            # A product with ones is faster than a sum.
            pooled = (strength * guess * guess + float(self._ones.dot(rss))) / (strength + float(self._ones.dot(n)))
            rss += strength * pooled
            noise2 = np.divide(rss, n + strength, out=self._noise2[j])
            np.maximum(noise2, _LEAST_SHARE_OF_POOLED_NOISE * pooled, out=noise2)
            if size is not None:
                noise2 *= size * size
        average = np.divide(self._noise2[j], n + bias, out=self._average[j])
        np.sqrt(average, out=average)
