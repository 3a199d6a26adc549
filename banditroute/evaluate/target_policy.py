"""The target policy of an evaluation, as weights of a log's rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import blocks, computed, give_back, large_array, mean_of, rows_of
from banditroute.core.preference import Preference
from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.evaluate.diagnostics import Diagnostics, diagnose
from banditroute.evaluate.estimators import direct_method, snips
from banditroute.evaluate.rejection import alongside, frozen, replay_by_rejection
from banditroute.evaluate.reward_model import RewardModel
from banditroute.evaluate.rows import taken
from banditroute.evaluate.uncertainty import Terms
from banditroute.evaluate.weights import importance_weights
from banditroute.learners import Learner
from banditroute.learners.specs import learner_of
from banditroute.objectives.objective import Objective
from banditroute.statistics.confidence_sequences import pseudo_outcomes

if TYPE_CHECKING:
    from banditroute.logs import DecisionLog

Policy: TypeAlias = "str | Learner | Vector"
"""``"logged"``, ``"uniform"``, an arm's name, a learner or its spec, or the probability of every arm for every row."""

Learning: TypeAlias = Literal[True, False, "progressive"]
"""How a learner learns: by a replay of its own choices, not at all, or from every row of the log."""

_TRUNCATION = 4.0
_TOO_FEW = (
    "at least 100 are needed; replay from a log whose least propensity is larger, or judge the learner frozen "
    "(learning=False) or as a challenger (learning='progressive')"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPolicy:
    """A policy on a log's rows.

    Attributes
    ----------
    weights : (n,)
        Importance weight of each row: 1 for the logged policy, 0 or 1 for a replay.
    target : (n, K) or None
        Probability of every arm. None for the logged policy and for a replay.
    replayed
        Whether the weights say which rows a replay accepted.
    """

    weights: Vector
    target: Vector | None = None
    replayed: bool = False

    def take(self, rows: NDArray[np.intp]) -> TargetPolicy:
        """Return the policy on some rows, in their order."""
        return replace(self, weights=taken(self.weights, rows), target=taken(self.target, rows))

    def reweighed(self, reporting: Vector) -> TargetPolicy:
        """Return the policy with each row's weight multiplied by its ``reporting`` weight ``(n,)``."""
        return replace(self, weights=self.weights * reporting)

    def terms(self, y: Vector, logged: Vector, under: Vector | None) -> Terms:
        """Return the terms of the headline estimator.

        Parameters
        ----------
        y
            Outcome of each row ``(n,)``.
        logged, under
            Expected outcome of the logged arm, and under this policy, of each row ``(n,)``; see :func:`expected`.
        """
        if self.replayed:
            return Terms(values=snips(y, self.weights), slopes=self.weights / self.weights.mean())
        n, w = len(y), self.weights
        if under is None and w.strides[0] == 0:  # every outcome is known
            return Terms(values=y, slopes=w)
        base = logged if under is None else under
        values = computed(n, lambda at: base[at] + w[at] * (y[at] - logged[at]), base, w, y, logged)
        return Terms(values=values, slopes=w)

    def estimates(self, y: Vector, logged: Vector, under: Vector | None) -> Iterator[tuple[str, Terms]]:
        """Yield the terms of every estimator, the headline first; none for the logged policy and for a replay."""
        if under is None:
            return
        n, w = len(y), self.weights
        mean = mean_of(w)
        normalised = computed(n, lambda at: w[at] / mean, w)
        yield "DR", self.terms(y, logged, under)
        corrected = _self_normalised(computed(n, lambda at: y[at] - logged[at], y, logged), w)
        values = computed(n, lambda at: under[at] + corrected[at], under, corrected)
        yield "SNDR", Terms(values=values, slopes=normalised)
        yield "SNIPS", Terms(values=_self_normalised(y, w), slopes=normalised)
        yield "DM", Terms(values=under, slopes=np.broadcast_to(0.0, n))

    def diagnose(self, log: DecisionLog, clusters: NDArray[np.intp] | None) -> Diagnostics:
        """Judge whether the rows suffice."""
        if self.target is None:
            chosen = log.chosen
            if self.weights.strides[0]:
                taken = self.weights > 0.0
                chosen, clusters = log.chosen[taken], None if clusters is None else clusters[taken]
            no_other = np.broadcast_to(np.zeros(len(log.arms)), (len(chosen), len(log.arms)))
            found = diagnose(np.broadcast_to(1.0, len(chosen)), chosen, no_other, clusters=clusters)
            few = (f"the learner would have made {len(chosen)} of the logged decisions too, {_TOO_FEW}",)
            return replace(found, refusals=few) if self.replayed and found.refusals else found
        return diagnose(self.weights, log.chosen, self.target, probabilities=log.probabilities, clusters=clusters)

    def truncation(self, log: DecisionLog) -> float:
        """Return how far pseudo-outcomes may leave the range, in units of the range."""
        return 0.0 if self.target is None or log.probabilities is None else _TRUNCATION

    def pseudo_outcomes(
        self, y: Vector, log: DecisionLog, at: slice, predicted: Vector, low: float, high: float
    ) -> tuple[Vector, Vector]:
        """Return what bounds the mean from below and from above, of the rows ``at``, whose outcomes are ``y``."""
        if self.target is None:
            return y, y
        if log.probabilities is not None:
            logged = rows_of(log.probabilities, at)
        else:  # of the chosen arms alone, which suffices without predictions
            assert log.propensities is not None
            logged = np.repeat(log.propensities[at, None], len(log.arms), axis=1)
        settings: dict[str, Any] = {"low": low, "high": high, "truncation": self.truncation(log)}
        target = rows_of(self.target, at)
        return pseudo_outcomes(y, log.chosen[at], target=target, logged=logged, predicted=predicted, **settings)


def target_policy(
    log: DecisionLog,
    policy: Policy,
    preference: Preference,
    objectives: Sequence[Objective],
    taught: int,
    learning: Learning,
    seed: int,
) -> TargetPolicy:
    """Return the policy on all rows but the first ``taught``, from which a frozen learner learned."""
    n = len(log)
    if isinstance(policy, Learner):
        options: dict[str, Any] = {"learner": policy, "preference": preference, "objectives": objectives, "seed": seed}
        if learning is True:
            return TargetPolicy(weights=replay_by_rejection(log, **options).astype(np.float64), replayed=True)
        target = alongside(log, **options) if learning else frozen(log, taught=taught, **options)
    elif isinstance(policy, np.ndarray):
        target = policy[taught:]
    elif policy == "logged":
        return TargetPolicy(weights=np.broadcast_to(1.0, n - taught))
    elif policy == "uniform":
        target = _uniform(log.eligible[taught:])
    else:
        target = always(policy, log.arms, n - taught)
    assert log.propensities is not None
    return TargetPolicy(
        weights=importance_weights(log.chosen[taught:], log.propensities[taught:], target), target=target
    )


def always(arm: str, arms: Sequence[str], n: int) -> Vector:
    """Return the probabilities ``(n, K)`` of the policy that takes one arm, as one row that stands for all."""
    row = np.zeros(len(arms))
    row[arms.index(arm)] = 1.0
    return np.broadcast_to(row, (n, len(arms)))


def _uniform(eligible: NDArray[np.bool_]) -> Vector:
    if len(eligible) and eligible.all():
        return np.broadcast_to(eligible[0] / eligible[0].sum(), eligible.shape)
    target = large_array(eligible.shape)
    for at in blocks(len(target)):
        target[at] = eligible[at] / eligible[at].sum(axis=1, keepdims=True)
    return target


def expected(
    model: RewardModel, chosen: NDArray[np.intp], policies: Sequence[TargetPolicy]
) -> tuple[Vector, list[Vector | None]]:
    """Return the expected outcomes ``(m, n)`` of the logged arms, and of each policy that has probabilities."""
    m, n = model.mean.shape[1], len(chosen)
    logged = large_array((m, n))
    under = [None if each.target is None else large_array((m, n)) for each in policies]
    for at in blocks(n):
        predicted = model.rows(at)
        logged[:, at] = predicted[np.arange(len(predicted)), chosen[at]].T
        for policy, means in zip(policies, under, strict=True):
            if policy.target is not None and means is not None:
                means[:, at] = direct_method(rows_of(policy.target, at), predicted).T
                give_back(means)
        give_back(logged)
    return logged, under


def _self_normalised(y: Vector, w: Vector) -> Vector:
    """Return :func:`~banditroute.evaluate.snips` of arrays that may lie in files."""
    mean = mean_of(w)
    value = mean_of(w, y) / mean
    return computed(len(y), lambda at: value + w[at] * (y[at] - value) / mean, y, w)


def checked(policy: Policy, log: DecisionLog) -> Policy:
    """Return the policy with a spec turned into its learner; raises InvalidInputError if this log cannot have it."""
    if not isinstance(policy, str | Learner | np.ndarray):
        raise InvalidInputError(
            f"policy is {policy!r:.80}; give 'logged', 'uniform', the name of an arm, a learner, or an array of "
            "probabilities"
        )
    if isinstance(policy, np.ndarray) and policy.shape != log.eligible.shape:
        raise InvalidInputError(
            f"the probabilities have shape {policy.shape}; the log has {log.eligible.shape} rows and arms"
        )
    if isinstance(policy, str) and policy not in ("logged", "uniform", *log.arms):
        try:
            return learner_of(policy)
        except InvalidConfigurationError as error:
            raise InvalidInputError(
                f"policy {policy!r} is neither 'logged', 'uniform' nor an arm ({', '.join(log.arms)}); {error}"
            ) from error
    return policy


def described(policy: Policy) -> str:
    """Return the policy's name in texts."""
    return "the given probabilities" if isinstance(policy, np.ndarray) else str(policy)
