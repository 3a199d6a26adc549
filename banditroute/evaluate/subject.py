"""What is evaluated: any policy as weights of a log's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banditroute.confidence import pseudo_outcomes
from banditroute.errors import InvalidInputError
from banditroute.evaluate.estimators import doubly_robust, snips
from banditroute.evaluate.gates import Diagnostics, diagnose
from banditroute.evaluate.rejection import frozen, replay_by_rejection
from banditroute.evaluate.weights import importance_weights
from banditroute.learners import Learner
from banditroute.rewards.objectives import Objective
from banditroute.types import Preference, Vector

if TYPE_CHECKING:
    from banditroute.simulate.bandit_log import BanditLog

Policy: TypeAlias = "str | Learner | Vector"
"""``"logged"``, ``"uniform"``, an arm's name, a learner, or the probability of every arm for every row ``(n, K)``."""

_TRUNCATION = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A policy as weights of the log's rows ``(n,)``, and its probabilities ``(n, K)``.

    Those are None of what was logged, where all weights are 1, and of a replay, where they are 0 or 1.
    """

    weights: Vector
    target: Vector | None = None

    def terms(self, y: Vector, rows: NDArray[np.intp], chosen: NDArray[np.intp], predicted: Vector) -> Vector:
        if self.target is None:
            return snips(y, self.weights[rows])
        return doubly_robust(y, self.weights[rows], chosen, self.target[rows], predicted)

    def diagnose(self, rows: NDArray[np.intp], log: BanditLog) -> Diagnostics:
        if self.target is None:
            rows = rows[self.weights[rows] > 0.0]
            chosen = log.chosen[rows]
            return diagnose(np.ones(len(rows)), chosen, np.eye(len(log.arms))[chosen])
        probabilities = None if log.probabilities is None else log.probabilities[rows]
        return diagnose(self.weights[rows], log.chosen[rows], self.target[rows], probabilities=probabilities)

    def pseudo_outcomes(
        self, y: Vector, rows: NDArray[np.intp], log: BanditLog, predicted: Vector, low: float, high: float
    ) -> tuple[Vector, Vector, float]:
        """What bounds the mean from below and from above, and how far each may go beyond the range."""
        if self.target is None:
            return y, y, 0.0
        assert log.propensities is not None
        if log.probabilities is None:  # without those of the other arms, no predictions: see pseudo_outcomes
            truncation, logged = 0.0, np.repeat(log.propensities[rows, None], len(log.arms), axis=1)
        else:
            truncation, logged = _TRUNCATION, log.probabilities[rows]
        below, above = pseudo_outcomes(
            y, log.chosen[rows], target=self.target[rows], logged=logged, predicted=predicted, low=low, high=high,
            truncation=truncation,
        )  # fmt: skip
        return below, above, truncation


def subject(
    log: BanditLog,
    policy: Policy,
    prefer: Preference,
    objectives: Sequence[Objective],
    taught: int,
    learning: bool,
    seed: int,
) -> Subject:
    """The policy as weights of all rows but the first, by which it was ``taught``."""
    n, arms = log.eligible.shape
    if isinstance(policy, Learner):
        options: dict[str, Any] = {"learner": policy, "prefer": prefer, "objectives": objectives, "seed": seed}
        if learning:
            return Subject(weights=replay_by_rejection(log, **options).astype(np.float64))
        target = frozen(log, taught=taught, **options)
    elif isinstance(policy, np.ndarray):
        target = policy[taught:]
    elif policy == "logged":
        return Subject(weights=np.ones(n - taught))
    elif policy == "uniform":
        target = (log.eligible / log.eligible.sum(axis=1, keepdims=True))[taught:]
    elif policy in log.arms:
        target = np.zeros((n - taught, arms))
        target[:, log.arms.index(policy)] = 1.0
    else:
        raise InvalidInputError(
            f"policy is {policy!r}; give 'logged', 'uniform', an arm ({', '.join(log.arms)}), a learner, or the "
            f"probability of every arm for every row"
        )
    assert log.propensities is not None
    return Subject(weights=importance_weights(log.chosen[taught:], log.propensities[taught:], target), target=target)


def described(policy: Policy) -> str:
    return "the given probabilities" if isinstance(policy, np.ndarray) else str(policy)
