"""What is evaluated: any policy as weights of a log's rows."""

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
from banditroute.evaluate.estimators import doubly_robust, snips
from banditroute.evaluate.rejection import frozen, replay_by_rejection
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
class Subject:
    """A policy as weights of a log's rows ``(n,)``, and its probabilities ``(n, K)``.

    Those are None of what was logged, where all weights are 1, and of a replay, where they are 0 or 1.
    """

    weights: Vector
    target: Vector | None = None
    replayed: bool = False

    def take(self, rows: NDArray[np.intp]) -> Subject:
        """The policy on some rows, in their order."""
        at = rows if len(rows) < len(self.weights) else slice(None)
        return replace(self, weights=self.weights[at], target=None if self.target is None else self.target[at])

    def terms(self, y: Vector, log: DecisionLog, predicted: Vector) -> Vector:
        """The headline estimator's, one for each row."""
        if self.target is None:
            return snips(y, self.weights)
        return doubly_robust(y, self.weights, log.chosen, self.target, predicted)

    def diagnose(self, log: DecisionLog, groups: NDArray[np.intp] | None) -> Diagnostics:
        """Whether the rows suffice."""
        if self.target is None:
            taken = self.weights > 0.0
            chosen, groups = log.chosen[taken], None if groups is None else groups[taken]
            found = diagnose(np.ones(len(chosen)), chosen, np.eye(len(log.arms))[chosen], groups=groups)
            few = (f"{len(chosen)} decisions are ones that the learner would have made too, {_TOO_FEW}",)
            return replace(found, refusals=few) if self.replayed and found.refusals else found
        return diagnose(self.weights, log.chosen, self.target, probabilities=log.probabilities, groups=groups)

    def pseudo_outcomes(
        self, y: Vector, log: DecisionLog, predicted: Vector, low: float, high: float
    ) -> tuple[Vector, Vector, float]:
        """What bounds the mean from below and from above, and how far each may go beyond the range."""
        if self.target is None:
            return y, y, 0.0
        truncation, logged = _TRUNCATION, log.probabilities
        if logged is None:  # of the chosen arms alone, which suffices without predictions
            assert log.propensities is not None
            truncation, logged = 0.0, np.repeat(log.propensities[:, None], len(log.arms), axis=1)
        settings: dict[str, Any] = {"low": low, "high": high, "truncation": truncation}
        pair = pseudo_outcomes(y, log.chosen, target=self.target, logged=logged, predicted=predicted, **settings)
        return *pair, truncation


def subject(
    log: DecisionLog,
    policy: Policy,
    preference: Preference,
    objectives: Sequence[Objective],
    taught: int,
    learning: bool,
    seed: int,
) -> Subject:
    """The policy as weights of all rows but the first, by which it was ``taught``."""
    n, arms = log.eligible.shape
    if isinstance(policy, Learner):
        options: dict[str, Any] = {"learner": policy, "preference": preference, "objectives": objectives, "seed": seed}
        if learning:
            return Subject(weights=replay_by_rejection(log, **options).astype(np.float64), replayed=True)
        target = frozen(log, taught=taught, **options)
    elif isinstance(policy, np.ndarray):
        target = policy[taught:]
    elif policy == "logged":
        return Subject(weights=np.ones(n - taught))
    elif policy == "uniform":
        target = (log.eligible / log.eligible.sum(axis=1, keepdims=True))[taught:]
    else:
        target = np.zeros((n - taught, arms))
        target[:, log.arms.index(policy)] = 1.0
    assert log.propensities is not None
    return Subject(weights=importance_weights(log.chosen[taught:], log.propensities[taught:], target), target=target)


def checked(policy: Policy, log: DecisionLog) -> Policy:
    """A policy for this log, a spec turned into its learner; raises InvalidInputError for what is none."""
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
    return "the given probabilities" if isinstance(policy, np.ndarray) else str(policy)
