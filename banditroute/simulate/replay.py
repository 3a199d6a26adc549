"""Replay: drives the very Router code over a table of known outcomes, on a virtual clock."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from banditroute.errors import InvalidInputError
from banditroute.learners import Learner
from banditroute.rewards.objectives import Objective
from banditroute.rewards.utility import Prefer
from banditroute.router import Router
from banditroute.simulate.logs import OutcomeTable
from banditroute.store.memory import MemoryStore
from banditroute.types import Vector

_SECONDS_BETWEEN_REQUESTS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What one router did with one order of the requests.

    Attributes
    ----------
    policy, seed
        Which learner, and which seed of the order and of the choices.
    rows : (n,)
        Row of the table at each step.
    chosen : (n,)
        Position of the chosen arm at each step.
    """

    policy: str
    seed: int
    rows: NDArray[np.intp]
    chosen: NDArray[np.intp]

    def outcome(self, values: Vector) -> Vector:
        """What was had of ``values (n, K)`` at each step ``(n,)``."""
        had: Vector = values[self.rows, self.chosen]
        return had


def replay(
    table: OutcomeTable,
    x: Vector,
    *,
    learner: Learner,
    prefer: Prefer,
    seed: int,
    policy: str = "",
    objectives: Sequence[Objective] = (),
    warm: int = 0,
) -> Trace:
    """Route every row of the table once, in an order drawn from ``seed``, with feedback at once.

    Of a partial log, each row is routed among the arms whose quality is known there.

    Parameters
    ----------
    x
        Features of each row ``(n, d - 1)``, without bias.
    policy
        Name of the learner in the trace.
    objectives
        The user's own objectives, if the table has any.
    warm
        Of how many rows, the first of the order, the outcomes of all arms are known before: they are a warm start, and
        not routed.

    Raises
    ------
    InvalidInputError
        If ``warm`` leaves no row to route.

    Examples
    --------
    >>> from banditroute.learners import EpsilonGreedy
    >>> from banditroute.types import Preference
    >>> table = OutcomeTable(
    ...     name="toy",
    ...     prompts=("",) * 99,
    ...     tasks=("",) * 99,
    ...     arms=("bad", "good"),
    ...     outcomes={"quality": np.tile([0.0, 1.0], (99, 1))},
    ... )
    >>> trace = replay(table, np.zeros((99, 0)), learner=EpsilonGreedy(), prefer=Preference(quality=1), seed=0)
    >>> bool(trace.outcome(table.outcomes["quality"]).mean() > 0.9)
    True
    """
    if not 0 <= warm < len(table):
        raise InvalidInputError(f"warm is {warm}, and the table has {len(table)} rows; leave at least one to route")
    known, order = np.split(np.random.default_rng(seed).permutation(len(table)), [warm])
    columns = {name: values.tolist() for name, values in table.outcomes.items()}
    index = {arm: k for k, arm in enumerate(table.arms)}
    answered = ~np.isnan(table.outcomes["quality"])
    among = [None if row.all() else [table.arms[k] for k in np.flatnonzero(row)] for row in answered]
    chosen = np.empty(len(order), dtype=np.intp)
    now = 0.0
    with Router(
        arms=table.arms,
        features=x.shape[1],
        learner=learner,
        prefer=prefer,
        objectives=objectives,
        store=MemoryStore(capacity=1),
        seed=seed,
        clock=lambda: now,
    ) as router:
        if warm:
            router.warm_start((x[row], table.known(row)) for row in known)
        for step, row in enumerate(order):
            now += _SECONDS_BETWEEN_REQUESTS
            decision = router.route(x[row], arms=among[row])
            k = chosen[step] = index[decision.arm]
            values = {name: column[row][k] for name, column in columns.items()}
            router.feedback(decision.id, **{name: value for name, value in values.items() if value == value})
    return Trace(policy=policy, seed=seed, rows=order, chosen=chosen)


def sweep(
    table: OutcomeTable,
    x: Vector,
    *,
    learners: Mapping[str, Learner],
    prefer: Prefer,
    seeds: Sequence[int],
    objectives: Sequence[Objective] = (),
    warm: int = 0,
) -> Iterator[Trace]:
    """``replay`` for every learner and seed, on all cores; traces come as they are done, in any order."""
    cells = [(policy, seed) for seed in seeds for policy in learners]
    with ProcessPoolExecutor(
        max_workers=min(len(cells), os.cpu_count() or 1),
        initializer=_begin,
        initargs=(table, x, dict(learners), prefer, objectives, warm),
    ) as pool:
        for done in as_completed([pool.submit(_cell, policy, seed) for policy, seed in cells]):
            yield done.result()


_job: tuple[OutcomeTable, Vector, dict[str, Learner], Prefer, Sequence[Objective], int]


def _begin(
    table: OutcomeTable,
    x: Vector,
    learners: dict[str, Learner],
    prefer: Prefer,
    objectives: Sequence[Objective],
    warm: int,
) -> None:
    global _job  # the table is sent to each worker once, not with every cell
    _job = (table, x, learners, prefer, objectives, warm)


def _cell(policy: str, seed: int) -> Trace:
    table, x, learners, prefer, objectives, warm = _job
    return replay(
        table, x, learner=learners[policy], prefer=prefer, seed=seed, policy=policy, objectives=objectives, warm=warm
    )
