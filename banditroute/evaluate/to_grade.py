"""Choose the answers to grade next: those whose grades would change decisions, or the verdict on a baseline, most.

The model is a Bayesian ridge regression of the utility for each arm: ``theta ~ N(m, v S)``. Which arm is best for a
context is uncertain as far as the difference of two predictions is. For context ``x_j``, its best arm b and another arm
a at distance ``gap``, knowing both exactly would gain ``E max(0, N(-gap, s^2))``, with ``s^2 = v x' (S_a + S_b) x``.
That falls with s^2 at the rate ``phi(gap / s) / (2 s)``. An answer of arm a at context x reduces the variance at x_j by
``v (x_j' S_a x)^2 / (1 + x' S_a x)``. Its score is the sum of reduction times rate over all contexts. Rows are taken
one after the other, and S follows; it does not depend on the grades.

Source: the reduction of the expected value of perfect information, as in Chick, Branke, Schmidt 2010, "Sequential
sampling to myopically maximize the expected value of information", INFORMS Journal on Computing 22(1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.core.validation import whole
from banditroute.errors import InvalidInputError
from banditroute.evaluate.contexts import Features, with_contexts
from banditroute.evaluate.utility import utility_of
from banditroute.logs import DecisionLog, open_log, read_log
from banditroute.objectives.objective import Objective

_MOST_CONTEXTS = 500  # of the log, at equal distances: those that the gain is averaged over
_MOST_CANDIDATES = 20_000  # ungraded answers of the log, at equal distances, that are compared
_DRAWS = 200  # of the posterior, for the gain that is left


@dataclass(frozen=True, slots=True, kw_only=True)
class ToGrade:
    """The answers to grade next; made by :func:`to_grade`. Its ``str`` is a table with one row for each.

    Attributes
    ----------
    rows
        Their positions in the log, the most useful first.
    ids
        Their decision ids, for ``router.feedback(id, quality=...)``; empty where the log was given as an object.
    arms
        The arm that gave each answer.
    gain_left, gain_after
        Mean utility per request that perfect knowledge of the arms would add to today's choices, now and once these
        answers are graded; both are expectations under the model.
    graded, ungraded
        How many decisions have a utility, and how many do not.
    """

    rows: tuple[int, ...]
    ids: tuple[str, ...]
    arms: tuple[str, ...]
    gain_left: float
    gain_after: float
    graded: int
    ungraded: int

    def __str__(self) -> str:
        names = self.ids or tuple(f"row {row}" for row in self.rows)
        lines = [f"{name}  {arm}" for name, arm in zip(names, self.arms, strict=True)]
        said = (
            f"{self.graded:,} decisions are graded, {self.ungraded:,} are not. Left to gain: {self.gain_left:.4f} a "
            f"request; after these {len(self.rows):,} grades about {self.gain_after:.4f}."
        )
        return "\n".join([*lines, "", said])


def to_grade(
    log: DecisionLog | Any,
    n: int = 20,
    *,
    baseline: str | None = None,
    preference: Preference | None = None,
    objectives: Sequence[Objective] = (),
    features: Features = "auto",
) -> ToGrade:
    """Return the ungraded answers of a log whose grades would change decisions most, and what is left to gain.

    Parameters
    ----------
    log
        Decisions, some of them graded, or anything that :func:`banditroute.logs.read_log` reads: a database's URL.
    n
        How many answers to grade, at least 1. Fewer come back where fewer are ungraded.
    baseline
        An arm, such as that of a guard: choose the answers that would best settle whether today's choices beat it.
        Default: those that would best settle which arm each request should get.
    preference, objectives, features
        As in :func:`evaluate`.

    Raises
    ------
    InvalidInputError
        If the baseline is not an arm of the log, the log has no such outcome, or ``n`` is below 1.

    Examples
    --------
    Arm b is known to be bad; a third arm that was hardly ever graded may be better than the first.

    >>> chosen = np.concatenate([np.repeat([0, 1, 2], [100, 100, 2]), [0, 1, 2, 2]])
    >>> quality = np.array([0.7, 0.1, 0.6])[chosen]
    >>> quality[-4:] = np.nan
    >>> log = DecisionLog(
    ...     arms=("a", "b", "c"),
    ...     chosen=chosen,
    ...     eligible=np.ones((206, 3), dtype=bool),
    ...     outcomes={"quality": quality},
    ...     decided_at=np.arange(206.0),
    ... )
    >>> to_grade(log, 2).arms
    ('c', 'c')
    """
    n = whole(n, name="n", low=1, error=InvalidInputError)
    address = None if isinstance(log, DecisionLog) else log
    log = log if isinstance(log, DecisionLog) else read_log(log)
    if baseline is not None and baseline not in log.arms:
        raise InvalidInputError(f"unknown baseline {baseline!r:.80}; known arms: {', '.join(log.arms)}")
    log, _ = with_contexts(log, features)
    worth, _ = utility_of(log, preference, objectives)
    if len(log.arms) < 2:
        raise InvalidInputError(f"the log has only the arm {log.arms[0]!r}; there is nothing to decide by grades")
    x = _standardised(log)
    model = _Model(x, log.chosen, worth, arms=len(log.arms))
    traffic = x[_some(np.arange(len(x)), _MOST_CONTEXTS)]
    eligible = np.zeros(len(x), dtype=bool)
    eligible[_some(np.flatnonzero(np.isnan(worth)), _MOST_CANDIDATES)] = True
    question = _Decisions(model, traffic) if baseline is None else _Contest(model, traffic, log.arms.index(baseline))
    now = model.inverses.copy()
    rows: list[int] = []
    while len(rows) < n and eligible.any():
        scores = question.scores(x, log.chosen, eligible)
        rows.append(int(scores.argmax()))
        eligible[rows[-1]] = False
        model.grade(int(log.chosen[rows[-1]]), x[rows[-1]])
    left, gained = model.gains(traffic, before=now)
    return ToGrade(
        rows=tuple(rows),
        ids=() if address is None else _ids(address, rows),
        arms=tuple(log.arms[log.chosen[row]] for row in rows),
        gain_left=left,
        gain_after=max(left - gained, 0.0),
        graded=int((~np.isnan(worth)).sum()),
        ungraded=int(np.isnan(worth).sum()),
    )


class _Model:
    """One Bayesian ridge regression for each arm, on contexts that are standardised and end in 1.

    Each of d coefficients is penalised by d, so that all together are expected to explain as much as the noise; the
    prior of an arm's average is one row at the mean of all.
    """

    def __init__(self, x: Vector, chosen: NDArray[np.intp], worth: Vector, *, arms: int) -> None:
        known = ~np.isnan(worth)
        d = x.shape[1]
        penalty = np.diag([*[float(d)] * (d - 1), 1.0])
        mean = float(worth[known].mean()) if known.any() else 0.0
        self.inverses = np.empty((arms, d, d))
        thetas = np.empty((arms, d))
        squares = 0.25  # of one row more, the variance of quality that may be anything
        for arm in range(arms):
            rows = known & (chosen == arm)
            y = worth[rows] - mean
            self.inverses[arm] = np.linalg.inv(penalty + x[rows].T @ x[rows])
            thetas[arm] = self.inverses[arm] @ (x[rows].T @ y)
            squares += float(((y - x[rows] @ thetas[arm]) ** 2).sum() + thetas[arm] @ penalty @ thetas[arm])
        self.variance = squares / (known.sum() + 1.0)
        self._mean, self._thetas = mean, thetas

    def means(self, x: Vector) -> Vector:
        """Return the expected utility of every arm ``(n, K)``."""
        means: Vector = self._mean + x @ self._thetas.T
        return means

    def variances(self, x: Vector, inverses: Vector) -> Vector:
        """Return the variance of every expectation ``(n, K)``."""
        of_arms = [((x @ inverse) * x).sum(axis=1) for inverse in inverses]
        variances: Vector = self.variance * np.maximum(np.stack(of_arms, axis=1), 0.0)
        return variances

    def grade(self, arm: int, x: Vector) -> None:
        """Count one more grade of an arm at a context; its value does not matter for the variances."""
        seen = self.inverses[arm] @ x
        self.inverses[arm] -= np.outer(seen, seen) / (1.0 + seen @ x)

    def gains(self, traffic: Vector, *, before: Vector) -> tuple[float, float]:
        """Return what perfect knowledge would have added before, and what the grades since then are expected to."""
        means = self.means(traffic)
        known = self.variances(traffic, before)
        draws = np.random.default_rng(0).standard_normal((_DRAWS, *means.shape))
        won = known - self.variances(traffic, self.inverses)
        left, gained = (
            float((means + draws * np.sqrt(np.maximum(each, 0.0))).max(axis=2).mean() - means.max(axis=1).mean())
            for each in (known, won)
        )
        return max(left, 0.0), max(gained, 0.0)


class _Decisions:
    """The question which arm each request should get."""

    def __init__(self, model: _Model, traffic: Vector) -> None:
        self._model, self._traffic = model, traffic
        means = model.means(traffic)
        self._best = means.argmax(axis=1)
        self._gaps = means.max(axis=1)[:, None] - means

    def scores(self, x: Vector, chosen: NDArray[np.intp], eligible: NDArray[np.bool_]) -> Vector:
        """Return by how much a grade of each row would reduce the gain that is left ``(n,)``."""
        at, best = np.arange(len(self._traffic)), self._best
        variances = self._model.variances(self._traffic, self._model.inverses)
        stds = np.sqrt(np.maximum(variances + variances[at, best][:, None], 1e-300))
        rates = np.exp(-0.5 * (self._gaps / stds) ** 2) / (np.sqrt(8.0 * np.pi) * stds)
        rates[at, best] = 0.0
        rates[at, best] = rates.sum(axis=1)
        weighed = [(self._traffic * rate[:, None]).T @ self._traffic for rate in rates.T]
        return _scores(self._model.inverses, weighed, x, chosen, eligible)


class _Contest:
    """The question whether today's choices beat the baseline on average."""

    def __init__(self, model: _Model, traffic: Vector, baseline: int) -> None:
        self._model = model
        ours = np.eye(len(model.inverses))[model.means(traffic).argmax(axis=1)]
        ours[:, baseline] -= 1.0
        self._sums = ours.T @ traffic / len(traffic)  # the difference of means is their product with theta

    def scores(self, x: Vector, chosen: NDArray[np.intp], eligible: NDArray[np.bool_]) -> Vector:
        """Return by how much a grade of each row would reduce the variance of the mean difference ``(n,)``."""
        weighed = [np.outer(each, each) for each in self._sums]
        return _scores(self._model.inverses, weighed, x, chosen, eligible)


def _scores(
    inverses: Vector, weighed: Sequence[Vector], x: Vector, chosen: NDArray[np.intp], eligible: NDArray[np.bool_]
) -> Vector:
    scores = np.full(len(x), -1.0)
    for arm, (inverse, weights) in enumerate(zip(inverses, weighed, strict=True)):
        rows = np.flatnonzero(eligible & (chosen == arm))
        seen = x[rows] @ inverse
        scores[rows] = ((seen @ weights) * seen).sum(axis=1) / (1.0 + (seen * x[rows]).sum(axis=1))
    return scores


def _some(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Return ``most`` of the rows at equal distances, or all if there are fewer."""
    some: NDArray[np.intp] = rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]
    return some


def _standardised(log: DecisionLog) -> Vector:
    """Return the contexts with mean 0 and mean square 1 in each column, and a last column of ones."""
    ones = np.ones((len(log), 1))
    if log.contexts is None:
        return ones
    x = log.contexts[:, :-1]
    known = ~np.asarray(np.isnan(x).any(axis=1))
    mean, std = (x[known].mean(axis=0), x[known].std(axis=0)) if known.any() else (0.0, np.ones(x.shape[1]))
    x = np.where(known[:, None], (x - mean) / np.where(std > 0.0, std, 1.0), 0.0)
    return np.concatenate([x, ones], axis=1)


def _ids(address: Any, rows: Sequence[int]) -> tuple[str, ...]:
    """Return the decision ids of some rows of a log, read once more; empty where the log has none."""
    wanted, found, begin = set(rows), {}, 0
    for table in open_log(address).tables():
        column = table["id"]
        found.update({row: column[row - begin].as_py() for row in wanted if begin <= row < begin + len(table)})
        begin += len(table)
    return tuple(found[row] for row in rows) if all(found.get(row) for row in rows) else ()
