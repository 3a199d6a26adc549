"""The hybrid belief: weights that all arms share, such as how hard a request is, plus weights of each arm.

As in the linear belief, ``y = x'theta_k + noise``. Here the prior mean of an arm's weights is learned as well. It is
the sum of weights that all arms share, and of the effect of the arm's descriptors ``z_k (q,)`` on its average:

    theta_k ~ N(beta_k, sigma^2 Lambda^-1)      beta_k = beta + (z_k'delta) e_bias
    beta    ~ N(b0, sigma^2 Lambda_s^-1)        delta  ~ N(d0, sigma^2 Lambda_z^-1)

The prior of an arm's own weights is wide for its average and narrow for the rest: a request that is hard for one arm is
probably hard for others, until outcomes show a difference. The prediction of an untried arm follows from its
descriptors and from the other arms. Let ``M_k = Lambda - Lambda A_k^-1 Lambda`` be the information of arm k about
``beta_k``, and ``E_k = (I, e_bias z_k')``. Then the shared part ``(beta, delta)`` has the posterior precision and mean

    P = Lambda_s + sum_k E_k' M_k E_k       P^-1 (Lambda_s (b0, d0) + sum_k E_k' Lambda theta_0,k)

with ``theta_0,k = A_k^-1 B_k``. The posterior of an arm is then the linear one with ``mu = beta_k`` (two-stage
hierarchy: Lindley and Smith 1972, "Bayes estimates for the linear model", section 3; shared and own parts of a linear
bandit: Li et al. 2010, algorithm 2). An observation adds ``scale u u'`` to ``M_k`` with ``u = Lambda gain``, which is
again an update of rank one.

Objectives without a guess of their noise (dollars, seconds, joules) are modelled relative to each arm's size ``s_k``.
This is the arm's average so far, which starts at the average of all arms. So arms share the *factor* by which a request
takes longer, not the seconds. Standard deviations include the uncertainty of an arm's own part and of the shared
average. They leave out the other shared weights, which shift all arms alike.

Factored arms, ``Arm(model=..., effort=...)``, have columns of ``z_k`` that name their model and their effort. So an
arm's average is that of all arms plus a part of the model, a part of the effort, and its own weights, which are the
interaction of the two.

A weight that an arm states in its profile (:mod:`banditroute.beliefs.profiles`) has the stated prior mean instead of
the shared weight, and neither teaches the shared weights nor follows them. So does the average of an arm that alone
has an ``expected`` outcome. With ``F_k`` the diagonal 0/1 matrix of what an arm does not state, and ``m_k`` what it
states, the prior mean is ``m_k + F_k beta_k``, ``M_k`` becomes ``F_k M_k F_k``, and ``theta_0,k - m_k`` teaches.

The belief also learns how much each feature block matters, for all arms and for single ones: see
:mod:`banditroute.beliefs.relevance`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from banditroute.beliefs.algebra import add_rank_one, invert, multiply_all, multiply_both
from banditroute.beliefs.base import Observation, Prediction, Prior
from banditroute.beliefs.linear import LinearBelief
from banditroute.beliefs.profiles import STATED_OUTCOMES, Stated, stated
from banditroute.beliefs.relevance import (
    MOST_ARMS,
    Choices,
    Evidence,
    Relevance,
    choices_due,
    choose,
    gains,
    outcomes_due,
)
from banditroute.beliefs.settings import Beginning, BeliefSettings, check_above_zero
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector

_PRIOR_MEAN_OBSERVATIONS = 0.25  # weight of the prior mean in the average of all arms: the first outcomes outweigh it
_AVERAGE_PRECISION = 4.0  # of an arm's average around the average of all arms
_EXPECTED_SLOPE_PRECISION = 1.0  # of the slope of averages over `expected` outcomes, which has the prior mean 1
_INTERACTION_PRECISION = 32.0  # of a factored arm's average around the sum of its model's part and its effort's
_FACTORS = {"model": "=model", "effort": "=effort"}  # of arms -> the name of their columns
_NO_PRIOR = Prior()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hybrid(BeliefSettings):
    """The settings of a hybrid belief: it learns shared weights from all arms, and weights of each arm.

    Parameters
    ----------
    feature_precision, intercept_precision
        Prior precision of an arm's own weights, which are added to the shared ones, in units of the noise. With
        precision c, a feature of size 1 reaches half its weight after c observations. Above 0.

        ``feature_precision=None`` learns it. It starts at 64 times the columns of the block over the block's strength.
        For objectives without a guess of their noise it starts at 4 times, since they depend more on the request than
        quality does. ``intercept_precision=None`` is 4, or 16 for an objective with ``expected`` outcomes of arms.
    shared_precision
        Prior precision of the shared weights. None: a 32nd of the initial feature precision, times a learned factor.
    noise, noise_strength, half_life_requests, half_life_seconds
        As in :class:`~banditroute.beliefs.settings.BeliefSettings`.

    Raises
    ------
    InvalidConfigurationError
        If a number is not finite and above 0, or both half-lives are given.

    Examples
    --------
    >>> belief = Hybrid().start(arms=["a", "b"], dimension=2, priors={"quality": Prior(mean=0.5, noise=0.4)})
    >>> for hard in [0.0, 1.0] * 50:
    ...     belief.update("a", np.array([hard, 1.0]), {"quality": 1.0 - hard})
    >>> bool(belief.predict(np.array([1.0, 1.0])).means[0, 1] < 0.5)  # what is hard for a is expected to be so for b
    True
    """

    shared_precision: float | None = None

    def __post_init__(self) -> None:
        BeliefSettings.__post_init__(self)
        check_above_zero(self.shared_precision, name="shared_precision")

    def _belief(self) -> type[LinearBelief]:
        return HybridBelief


class HybridBelief(LinearBelief):
    """The state of a hybrid belief; made by :meth:`Hybrid.start`. Not thread-safe: the router holds a lock.

    Arrays run over G groups of objectives that share an ``A``, K arms, and p = d + q shared weights.
    """

    _spec: Hybrid

    def __init__(self, *, spec: Hybrid, beginning: Beginning) -> None:
        priors, arms = beginning.priors, beginning.arms
        self._z, self._columns = descriptors(arms, [name for name in priors if priors[name].noise is not None])
        factors = np.isin(self._columns, list(_FACTORS.values()))
        self._parts = np.where(factors, self._z, 0.0) if factors.any() else None  # columns of models and efforts
        self._expected = {name: np.array([arm.expected.get(name, np.nan) for arm in arms]) for name in priors}
        self._choices = Choices.from_bytes(beginning.choices, blocks=len(beginning.blocks))
        self._choices_bytes = beginning.choices if self._choices.made else None
        self._outcomes = outcomes_due(self._choices.made)
        self._next_choice = outcomes_due(self._choices.made + 1)
        super().__init__(spec=spec, beginning=beginning)
        # A belief that forgets may have fewer outcomes left than the last choice used.
        self._outcomes = max(float(self._n.sum(axis=1).max(initial=0.0)), self._outcomes)
        if self._outcomes >= self._next_choice:
            self._derive_all()

    @property
    def choices(self) -> bytes | None:
        """The learned relevance of each feature block, as bytes; None: not learned yet."""
        return self._choices_bytes

    @property
    def relevance(self) -> Mapping[str, Relevance]:
        """Objective -> how much its feature blocks matter, as chosen from the outcomes."""
        return self._choices.relevance

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
        self._outcomes += weight
        if self._outcomes >= self._next_choice:
            self._whole = False  # a choice changes everything
        super().update(arm, x, values, decided_at=decided_at, ordinal=ordinal, weight=weight)

    def predict(self, x: Vector) -> Prediction:
        """Predict mean and standard deviation of every arm at context ``x (d,)``: each ``(m, K)``."""
        means, variances = self._means_and_variances(x)
        if not self._explores_contexts:
            return Prediction(means, np.sqrt(variances, out=variances), self._average.copy())
        averages = self._explored_shares * variances
        averages += self._unexplored_variances
        return Prediction(means, np.sqrt(variances, out=variances), np.sqrt(averages, out=averages))

    def _derives_all_at(self, observation: Observation) -> bool:
        due = self._outcomes + observation.weight >= self._next_choice
        return due or super()._derives_all_at(observation)

    def _choose(self) -> None:
        """Learn the relevance of each block, as there are enough outcomes for another choice."""
        count = choices_due(self._outcomes)
        if count > self._choices.made and self._blocks and self._spec.feature_precision is None:
            found = {name: self._chosen(name) for name in self.objectives if name not in self._known_noise}
            relevance = {name: each[0] for name, each in found.items() if each is not None}
            nats = {name: each[1] for name, each in found.items() if each is not None}
            self._choices = Choices(count, relevance, nats)
            self._choices_bytes = self._choices.to_bytes()
        self._next_choice = outcomes_due(max(count, self._choices.made) + 1)

    def _chosen(self, objective: str) -> tuple[Relevance, tuple[float, float]] | None:
        """Return the relevance of each block to an objective and its evidence, or None if it was never observed."""
        evidence = self.evidence(objective)
        if evidence is None:
            return None
        usual = self._usual_precision(objective)
        shared = self._usual_shared(usual)
        found = choose(evidence, usual, shared, self._blocks)
        return found, gains(evidence, found, usual, shared, self._blocks)

    def _evidence_nats(self, objective: str) -> tuple[float, float] | None:
        return self._choices.nats.get(objective)

    def evidence(self, objective: str) -> Evidence | None:
        """Return the sums of an objective relative to each arm's size, or None if it was never observed."""
        positions = [arm.group_position(objective) for arm in self._statistics]
        observed = [k for k, position in enumerate(positions) if position >= 0]
        if not observed:
            return None
        n, squares = self._totals(objective)
        observed = sorted(observed, key=lambda k: -n[k])[:MOST_ARMS]
        sizes = np.ones(len(self._arms)) if self._known_size(objective) else self._size(objective, n, squares)
        sizes[sizes <= 0.0] = 1.0
        groups = [self._statistics[k].groups[positions[k]] for k in observed]
        fades = [self._statistics[k].weight(self._statistics[k].clock, self._clock) for k in observed]
        rows = [group.objectives.index(objective) for group in groups]
        parts = list(zip(groups, fades, rows, sizes[observed], strict=True))
        return Evidence(
            s=np.array([fade * group.s for group, fade, _, _ in parts]),
            b=np.array([fade / size * group.b[row] for group, fade, row, size in parts]),
            yy=sum(float(fade * group.yy[row]) / (size * size) for group, fade, row, size in parts),
            n=float(n[observed].sum()),
            z=self._z[observed],
            begin=self._shared_prior_mean(self.objectives.index(objective)),
            noise=self._priors.get(objective, _NO_PRIOR).noise or 1.0,
            strength=self._spec.noise_strength,
        )

    def _totals(self, objective: str) -> tuple[Vector, Vector]:
        """Return the weight of an objective's outcomes, and the sum of their squares, for each arm: each ``(K,)``."""
        n, squares = np.zeros(len(self._arms)), np.zeros(len(self._arms))
        for k, arm in enumerate(self._statistics):
            if (position := arm.group_position(objective)) >= 0:
                group, fade = arm.groups[position], arm.weight(arm.clock, self._clock)
                n[k], squares[k] = fade * group.n, fade * group.yy[group.objectives.index(objective)]
        return n, squares

    def _usual_precision(self, objective: str) -> Vector:
        """Return the diagonal of ``Lambda`` before relevance is learned ``(d,)``."""
        intercept = _AVERAGE_PRECISION
        if self._z[:, self._columns == objective].any():
            intercept = STATED_OUTCOMES
        if self._parts is not None:  # the parts of model and effort have the wide prior instead
            intercept = _INTERACTION_PRECISION
        return self._precision_of_blocks(per_column=64.0 if self._known_size(objective) else 4.0, intercept=intercept)

    def _usual_shared(self, precision: Vector) -> Vector:
        """Return the diagonals of ``Lambda_s`` and ``Lambda_z`` before relevance is learned ``(p,)``."""
        given = self._spec.shared_precision
        shared = precision / 32.0 if given is None else np.full(self._dimension, float(given))
        shared[-1] = _PRIOR_MEAN_OBSERVATIONS
        columns = np.where(self._columns == "", precision[-1], _EXPECTED_SLOPE_PRECISION)
        columns[np.isin(self._columns, list(_FACTORS.values()))] = _AVERAGE_PRECISION
        return np.concatenate([shared, columns])

    def precisions(self, objective: str) -> tuple[Vector, Vector]:
        """Return the diagonals of ``Lambda (d,)``, and of ``Lambda_s`` and ``Lambda_z`` ``(p,)``."""
        precision = self._usual_precision(objective)
        shared = self._usual_shared(precision)
        found = self._choices.relevance.get(objective)
        if found is not None:
            found.scale(precision, shared, self._columns_of_blocks)
        return precision, shared

    def _prior_precision(self, objective: str) -> Vector:
        return self.precisions(objective)[0]

    def _settings_key(self, objective: str) -> bytes:
        return b"".join(each.tobytes() for each in self.precisions(objective)) + self._stated_key(objective)

    def _known_size(self, objective: str) -> bool:
        """Return True if outcomes are modelled in their own unit, not relative to each arm's size."""
        return self._priors.get(objective, _NO_PRIOR).noise is not None

    def _derive(self) -> None:
        if self._outcomes >= self._next_choice:
            self._choose()
        self._shared: dict[int, Vector] = {}  # P^-1 (p, p) by group; derived when needed
        super()._derive()
        known = [self._choices.relevance.get(name) for name in self.objectives]
        shares = [0.0 if each is None else each.explored_share(self._blocks) for each in known]
        self._explored_shares = np.array(shares)[:, None]
        self._explores_contexts = bool(self._explored_shares.any())

    def _solve(self, g: int, arms: Sequence[int]) -> None:
        super()._solve(g, arms)
        self._shared.pop(g, None)  # the information of these arms about the shared weights has changed

    def _share(self, g: int, k: int, gain: Vector, scale: float) -> None:
        if g in self._shared:
            u = (self._pulls[g] if self._pulls[g].ndim == 1 else self._pulls[g][k]) * gain
            if len(self._columns):
                u = np.concatenate([u, u[-1] * self._z[k]])
            reach = self._shared[g].dot(u)
            add_rank_one(self._shared[g], -scale / (1.0 + scale * float(reach.dot(u))), reach)

    def _statements(self, beginning: Beginning) -> dict[str, Stated]:
        ranged = [name for name in beginning.priors if self._known_size(name)]
        return stated(beginning.arms, beginning.blocks, ranged)

    def _prior_means(self, members: Sequence[int], arms: Sequence[int]) -> Vector:
        return self._stated_means(members, arms)  # _pool() adds the shared part

    def _make(self, groups: int, m: int, k: int, d: int) -> None:
        super()._make(groups, m, k, d)
        self._pulls = [self._pull_of(g) for g in range(groups)]
        self._bias_pulls = [pulls.item(-1) if pulls.ndim == 1 else pulls[:, -1] for pulls in self._pulls]
        self._theta = np.empty((m, k, d))
        self._theta_rows = self._theta.reshape(m * k, d)
        self._unexplored_variances = np.zeros((m, k))
        self._shared_precision = [self.precisions(self.objectives[members[0]])[1] for members in self._members]
        # For each objective, the prior mean of the shared weights times their prior precision.
        self._weighted_prior_mean = {
            j: self._shared_precision[g] * self._shared_prior_mean(j)
            for g, members in enumerate(self._members)
            for j in members
        }

    def _pool(self, g: int, x: Vector) -> Vector:
        """Derive the shared weights of one group of objectives, and from them the weights and noise of all arms.

        Return ``A^-1 x`` of every arm ``(K, d)``, which comes in the same pass over the matrices as the rest.
        """
        pulls, bias, d = self._pulls[g], self._bias_pulls[g], self._dimension
        if g not in self._shared:
            self._shared[g] = self._solve_shared(g)
        shared, inverse = self._shared[g], self._inverse[g]
        of_average = inverse[:, -1, -1]
        np.multiply(of_average, of_average * (bias * bias * shared.item(d - 1, d - 1)), out=self._common[g])
        of_parts = None
        if self._parts is not None:
            passed_on = np.square(bias * of_average)  # of what is shared, in an arm's average
            of_parts = passed_on * np.einsum("kp,pq,kq->k", self._parts, shared[d:, d:], self._parts)
            self._common[g] += of_parts + 2.0 * passed_on * self._parts.dot(shared[d:, d - 1])
        reach: Vector | None = None
        for j in self._members[g]:
            own, rss, size = self._relative(j)
            stated = self._stated_relative(j, size)
            weights = shared.dot(self._right_hand_side(g, j, own if stated is None else own - stated))
            beta = weights[:d]
            pull = pulls * beta  # Lambda beta_k = pull + offset_k e_bias
            if reach is not None:
                toward = _times(inverse, pull)
            elif pull.ndim == 1:
                toward, reach = multiply_both(inverse, pull, x)
            else:
                toward, reach = _times(inverse, pull), multiply_all(inverse, x)
            theta = np.add(own, toward, out=self._theta[j])
            both = theta + own  # 2 theta_0 + A^-1 Lambda beta_k
            if stated is not None:
                both -= 2.0 * stated
            twice = pull.dot(beta) - _dot(both, pull)
            if len(self._columns):
                effect = self._z @ weights[d:]
                offset = bias * effect
                moved = offset[:, None] * inverse[:, :, -1]
                theta += moved
                twice += offset * (2.0 * beta[-1] + effect) - _dot(moved, pull) - offset * (both + moved)[:, -1]
            if size is not None:
                theta *= size[:, None]
            guess = self._priors.get(self.objectives[j], _NO_PRIOR).noise or 1.0
            self._scatter(j, rss + twice, guess, self._own_precision[g][..., -1], size)
            if of_parts is not None:
                self._average[j] = np.sqrt(np.square(self._average[j]) + self._noise2[j] * of_parts)
            if self._explores_contexts:
                unexplored = np.multiply(self._average[j], self._average[j], out=self._unexplored_variances[j])
                unexplored *= 1.0 - self._explored_shares[j]
        assert reach is not None
        return reach

    def _shared_prior_mean(self, j: int) -> Vector:
        """Return the prior mean of the shared weights of an objective ``(p,)``."""
        d = self._dimension
        prior = self._priors.get(self.objectives[j], _NO_PRIOR)
        begin = np.zeros(d + len(self._columns))
        begin[d - 1] = 1.0 if prior.noise is None else prior.mean or 0.0
        begin[d:] = self._columns == self.objectives[j]
        return begin

    def _right_hand_side(self, g: int, j: int, own: Vector) -> Vector:
        """Return ``r (p,)``, which ``P^-1`` turns into the shared weights of an objective, from ``own (K, d)``."""
        pulls = self._pulls[g]
        # A product with ones is faster than sum().
        information: Vector = self._ones.dot(own) * pulls if pulls.ndim == 1 else self._ones.dot(pulls * own)
        if len(self._columns):
            information = np.concatenate([information, (pulls[..., -1] * own[:, -1]) @ self._z])
        information += self._weighted_prior_mean[j]
        return information

    def _solve_shared(self, g: int) -> Vector:
        """Return ``P^-1`` of a group, from the information of every arm."""
        pulls, inverse, z = self._pulls[g], self._inverse[g], self._z
        k, d = len(inverse), self._dimension
        p = np.diag(self._shared_precision[g])
        if pulls.ndim == 1:
            total = np.ones(k).dot(inverse.reshape(k, d * d)).reshape(d, d)
            p[:d, :d] += k * np.diag(pulls) - pulls[:, None] * total * pulls  # sum_k M_k
        else:
            p[:d, :d] += np.diag(pulls.sum(axis=0)) - np.einsum("ki,kij,kj->ij", pulls, inverse, pulls)
        if len(self._columns):
            rows = pulls[..., -1:] * (np.eye(d)[-1] - inverse[:, :, -1] * pulls)  # M_k e_bias (K, d)
            p[:d, d:] += rows.T @ z
            p[d:, :d] = p[:d, d:].T
            p[d:, d:] += (z.T * rows[:, -1]) @ z
        least = float(self._shared_precision[g].min())
        shared, _, _ = invert(p, np.zeros((0, len(p))), least=least)
        return shared

    def _pull_of(self, g: int) -> Vector:
        """Return the diagonal of ``Lambda`` ``(d,)``, or of each ``Lambda F_k`` ``(K, d)`` where arms state weights."""
        given = self._stated.get(self.objectives[self._members[g][0]])
        return self._precision[g] if given is None else np.where(given.known, 0.0, self._precision[g])

    def _stated_relative(self, j: int, size: Vector | None) -> Vector | None:
        """Return the weights that arms state, in the units of ``_relative``; None: they state nothing."""
        given = self._stated.get(self.objectives[j])
        if given is None or size is None:
            return None if given is None else given.means
        means: Vector = given.means / np.where(size > 0.0, size, 1.0)[:, None]
        return means

    def _relative(self, j: int) -> tuple[Vector, Vector, Vector | None]:
        """Return ``theta_0 (K, d)`` and ``rss_0 (K,)`` relative to each arm's size, and the sizes, or None."""
        own, rss = self._own[j], self._rss[j]
        if self._known_size(self.objectives[j]):
            return own, rss, None
        size = self._size(self.objectives[j], self._n[j], self._squares[j])
        unit = np.where(size > 0.0, size, 1.0)
        return own / unit[:, None], rss / (unit * unit), size

    def _size(self, name: str, n: Vector, squares: Vector) -> Vector:
        """Return each arm's root mean square so far ``(K,)``: outcomes are relative to it.

        ``n`` and ``squares`` are the weight of an objective's outcomes, and the sum of their squares, each ``(K,)``.
        """
        guess = self._priors.get(name, _NO_PRIOR).mean
        weight = 0.0 if guess is None else _PRIOR_MEAN_OBSERVATIONS
        known = weight + float((n / (n + 1.0)).sum())
        mean_squares = weight * (guess or 0.0) ** 2 + float((squares / (n + 1.0)).sum())
        typical = mean_squares / known if known > 0.0 else 0.0
        begin = np.where(np.isnan(self._expected[name]), typical, np.square(self._expected[name]))
        size: Vector = np.sqrt((squares + begin) / (n + 1.0))
        return size


def _times(inverse: Vector, pull: Vector) -> Vector:
    """Return the product of each matrix ``(K, d, d)`` with its vector, or with the one of all; ``(K, d)``."""
    if pull.ndim == 1:
        return multiply_all(inverse, pull)
    products: Vector = np.matmul(inverse, pull[:, :, None])[:, :, 0]
    return products


def _dot(rows: Vector, pull: Vector) -> Vector:
    """Return the scalar product of each row ``(K, d)`` with its vector, or with the one of all; ``(K,)``."""
    products: Vector = rows.dot(pull) if pull.ndim == 1 else np.einsum("kd,kd->k", rows, pull)
    return products


def descriptors(arms: Sequence[Arm], objectives: Collection[str] = ()) -> tuple[Vector, Vector]:
    """Return the arms' centred descriptors ``(K, q)``, and the objective that each column expects ``(q,)``.

    Descriptors are scaled to unit variance. Positive numbers that span more than a factor of ten enter as logarithms.
    Their columns have no objective (""). ``expected`` outcomes give a column only for the ``objectives``, and keep
    their unit. A missing number of an arm is replaced by the average of the other arms. Each model and each effort of
    factored arms has a column that says which arms are of it, under the name of the factor.

    Examples
    --------
    >>> arms = [Arm(name=str(size), descriptors={"size_billions": size}) for size in (1.0, 10.0, 100.0)]
    >>> descriptors(arms)[0].round(2).tolist()
    [[-1.22], [0.0], [1.22]]
    """
    columns: list[Vector] = []
    expected: list[str] = []
    for name in sorted({name for arm in arms for name in arm.descriptors}):
        column = np.array([arm.descriptors.get(name, np.nan) for arm in arms], dtype=np.float64)
        if np.nanmin(column) > 0.0 and np.nanmax(column) > 10.0 * np.nanmin(column):
            column = np.log(column)
        std = float(np.nanstd(column))
        if std > 0.0:
            columns.append((column - np.nanmean(column)) / std)
            expected.append("")
    for name in sorted({name for arm in arms for name in arm.expected if name in objectives}):
        column = np.array([arm.expected.get(name, np.nan) for arm in arms])
        columns.append(column - np.nanmean(column))
        expected.append(name)
    if any(arm.model is not None for arm in arms):
        models = [arm.model or arm.name for arm in arms]  # an arm by itself is the only one of its model
        for factor, of_arms in (("model", models), ("effort", [arm.effort for arm in arms])):
            levels = sorted({level for level in of_arms if level is not None})
            for level in levels if len(levels) > 1 else ():
                column = np.array([float(each == level) for each in of_arms])
                columns.append(column - column.mean())
                expected.append(_FACTORS[factor])
    if not columns:
        return np.zeros((len(arms), 0)), np.empty(0, dtype=str)
    return np.nan_to_num(np.stack(columns, axis=1)), np.array(expected)
