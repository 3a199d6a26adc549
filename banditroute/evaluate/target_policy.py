"""The target policy of an evaluation, as weights of a log's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.evaluate.diagnostics import Diagnostics, diagnose
from banditroute.evaluate.estimators import direct_method, doubly_robust, self_normalized_doubly_robust, snips
from banditroute.evaluate.rejection import frozen, replay_by_rejection
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

_TRUNCATION = 4.0
_TOO_FEW = (
    "at least 100 are needed; replay from a log whose least propensity is larger, or judge the learner frozen "
    "(learning=False)"
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
        at = rows if len(rows) < len(self.weights) else slice(None)
        return replace(self, weights=self.weights[at], target=None if self.target is None else self.target[at])

    def reweighed(self, reporting: Vector) -> TargetPolicy:
        """Return the policy with each row's weight multiplied by its ``reporting`` weight ``(n,)``."""
        return replace(self, weights=self.weights * reporting)

    def terms(self, y: Vector, log: DecisionLog, predicted: Vector) -> Terms:
        """Return the terms of the headline estimator."""
        if self.replayed:
            return Terms(values=snips(y, self.weights), slopes=self.weights / self.weights.mean())
        if self.target is None:
            expected = predicted[np.arange(len(y)), log.chosen]
            plain = bool((self.weights == 1.0).all())  # every outcome is known
            return Terms(values=y if plain else expected + self.weights * (y - expected), slopes=self.weights)
        values = doubly_robust(y, self.weights, log.chosen, self.target, predicted)
        return Terms(values=values, slopes=self.weights)

    def estimates(self, y: Vector, log: DecisionLog, predicted: Vector) -> dict[str, Terms]:
        """Return the terms of every estimator, the headline first; none for the logged policy and for a replay."""
        if self.target is None:
            return {}
        normalised = self.weights / self.weights.mean()
        sndr = self_normalized_doubly_robust(y, self.weights, log.chosen, self.target, predicted)
        return {
            "DR": self.terms(y, log, predicted),
            "SNDR": Terms(values=sndr, slopes=normalised),
            "SNIPS": Terms(values=snips(y, self.weights), slopes=normalised),
            "DM": Terms(values=direct_method(self.target, predicted), slopes=np.zeros(len(y))),
        }

    def diagnose(self, log: DecisionLog, clusters: NDArray[np.intp] | None) -> Diagnostics:
        """Judge whether the rows suffice."""
        if self.target is None:
            taken = self.weights > 0.0
            chosen, clusters = log.chosen[taken], None if clusters is None else clusters[taken]
            found = diagnose(np.ones(len(chosen)), chosen, np.eye(len(log.arms))[chosen], clusters=clusters)
            few = (f"the learner would have made {len(chosen)} of the logged decisions too, {_TOO_FEW}",)
            return replace(found, refusals=few) if self.replayed and found.refusals else found
        return diagnose(self.weights, log.chosen, self.target, probabilities=log.probabilities, clusters=clusters)

    def pseudo_outcomes(
        self, y: Vector, log: DecisionLog, predicted: Vector, low: float, high: float
    ) -> tuple[Vector, Vector, float]:
        """Return what bounds the mean from below and from above, and how far each may leave the range."""
        if self.target is None:
            return y, y, 0.0
        truncation, logged = _TRUNCATION, log.probabilities
        if logged is None:  # of the chosen arms alone, which suffices without predictions
            assert log.propensities is not None
            truncation, logged = 0.0, np.repeat(log.propensities[:, None], len(log.arms), axis=1)
        settings: dict[str, Any] = {"low": low, "high": high, "truncation": truncation}
        pair = pseudo_outcomes(y, log.chosen, target=self.target, logged=logged, predicted=predicted, **settings)
        return *pair, truncation


def target_policy(
    log: DecisionLog,
    policy: Policy,
    preference: Preference,
    objectives: Sequence[Objective],
    taught: int,
    learning: bool,
    seed: int,
) -> TargetPolicy:
    """Return the policy on all rows but the first ``taught``, from which a frozen learner learned."""
    n, arms = log.eligible.shape
    if isinstance(policy, Learner):
        options: dict[str, Any] = {"learner": policy, "preference": preference, "objectives": objectives, "seed": seed}
        if learning:
            return TargetPolicy(weights=replay_by_rejection(log, **options).astype(np.float64), replayed=True)
        target = frozen(log, taught=taught, **options)
    elif isinstance(policy, np.ndarray):
        target = policy[taught:]
    elif policy == "logged":
        return TargetPolicy(weights=np.ones(n - taught))
    elif policy == "uniform":
        target = (log.eligible / log.eligible.sum(axis=1, keepdims=True))[taught:]
    else:
        target = np.zeros((n - taught, arms))
        target[:, log.arms.index(policy)] = 1.0
    assert log.propensities is not None
    return TargetPolicy(
        weights=importance_weights(log.chosen[taught:], log.propensities[taught:], target), target=target
    )


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
