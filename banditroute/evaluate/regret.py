"""Regret: utility lost, request by request, against references that know more."""

from __future__ import annotations

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.logs import OutcomeTable
from banditroute.simulate.metrics import utilities
from banditroute.simulate.replay import Trace


def cumulative_regret(table: OutcomeTable, preference: Preference, trace: Trace) -> dict[str, Vector]:
    """Return the utility lost so far after each step of a pass ``(n,)``, against three references; negative: gained.

    ``"best arm"`` always takes the arm that is best on this table, ``"best arm per task"`` the one that is best on the
    request's task, ``"oracle"`` the best one for each request, which is lucky too where outcomes are noisy.

    Examples
    --------
    >>> table = OutcomeTable(name="toy", prompts=("a", "b"), tasks=("s", "t"), arms=("x", "y"), outcomes={
    ...     "quality": np.array([[1.0, 0.0], [0.5, 0.75]])})
    >>> trace = Trace(policy="y", seed=0, rows=np.array([0, 1]), chosen=np.array([1, 1]))
    >>> cumulative_regret(table, Preference(quality=1.0), trace)["best arm"]  # that is x: 1 - 0, then .5 - .75 more
    array([1.  , 0.75])
    """
    value = utilities(table, preference)
    every = np.arange(len(table))
    _, task = np.unique(np.array(table.tasks), return_inverse=True)
    by_task = np.zeros((task.max(initial=-1) + 1, len(table.arms)))
    np.add.at(by_task, task, value)
    references = {
        "best arm": value[:, value.mean(axis=0).argmax()],
        "best arm per task": value[every, by_task.argmax(axis=1)[task]],
        "oracle": value.max(axis=1),
    }
    reward = trace.outcome(value)
    return {name: np.cumsum(best[trace.rows] - reward) for name, best in references.items()}
