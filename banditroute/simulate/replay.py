"""Replay: drives the very Router code over a table of known outcomes, on a virtual clock."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banditroute.adapters.cache import AdapterCache
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.preference import Preference
from banditroute.errors import InvalidInputError
from banditroute.learners import Learner
from banditroute.logs import OutcomeTable
from banditroute.objectives.objective import Objective
from banditroute.objectives.scaling import Scaled
from banditroute.objectives.utility import PreferenceLike, check_preference
from banditroute.objectives.utility import table as objective_table
from banditroute.router import Router
from banditroute.simulate import fast_path
from banditroute.simulate.conditions import Conditions
from banditroute.store.memory import MemoryStore

_AS_LOGGED = Conditions.as_logged()

Log: TypeAlias = Sequence[tuple[Vector, Mapping[str, Mapping[str, float]]]]
"""What a warm start knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The choices of one router on one order of the requests.

    Attributes
    ----------
    policy, seed
        Which learner, and which seed of the order and of the choices.
    rows : (n,)
        Row of the table at each step.
    chosen : (n,)
        Position of the chosen arm at each step.
    paged_seconds : (n,)
        How long its adapter was waited for at each step; None where there is no paging.
    """

    policy: str
    seed: int
    rows: NDArray[np.intp]
    chosen: NDArray[np.intp]
    paged_seconds: Vector | None = None

    def outcome(self, values: Vector) -> Vector:
        """Return the value of the chosen arm at each step ``(n,)``, from ``values (n, K)``."""
        reward: Vector = values[self.rows, self.chosen]
        return reward


def replay(
    table: OutcomeTable,
    x: Vector,
    *,
    learner: Learner,
    preference: PreferenceLike,
    seed: int,
    policy: str = "",
    objectives: Sequence[Objective] = (),
    warm: int = 0,
    conditions: Conditions = _AS_LOGGED,
) -> Trace:
    """Route every row of the table once.

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
    conditions
        What the pass goes through: delays, outages and the like.

    Raises
    ------
    InvalidInputError
        If ``warm`` leaves no row to route, the conditions are of another table, or leave a row no arm.

    Examples
    --------
    >>> from banditroute.learners import EpsilonGreedy
    >>> from banditroute.core.preference import Preference
    >>> table = OutcomeTable(
    ...     name="toy",
    ...     prompts=("",) * 99,
    ...     tasks=("",) * 99,
    ...     arms=("bad", "good"),
    ...     outcomes={"quality": np.tile([0.0, 1.0], (99, 1))},
    ... )
    >>> trace = replay(table, np.zeros((99, 0)), learner=EpsilonGreedy(), preference=Preference(quality=1), seed=0)
    >>> bool(trace.outcome(table.outcomes["quality"]).mean() > 0.9)
    True
    """
    if not 0 <= warm < len(table):
        raise InvalidInputError(f"warm is {warm}, and the table has {len(table)} rows; leave at least one to route")
    conditions.check(table)
    known, rows = conditions.order(table.tasks, seed=seed, warm=warm)
    run = _Run(
        met=conditions.met(table, rows),
        x=x[rows],
        arrivals=conditions.arrivals(len(rows), seed=seed).tolist(),
        learner=learner,
        preference=check_preference(preference, objective_table(objectives)),
        objectives=objectives,
        conditions=conditions,
        seed=seed,
    )
    chosen, paged = None if warm else run.lean(), None
    if chosen is None:
        chosen, paged = run.routed([(x[row], table.known(row)) for row in known])
    return Trace(policy=policy, seed=seed, rows=rows, chosen=chosen, paged_seconds=paged)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A pass, all of it known but what is chosen."""

    met: OutcomeTable
    x: Vector
    arrivals: Sequence[float]
    learner: Learner
    preference: Preference | Scaled
    objectives: Sequence[Objective]
    conditions: Conditions
    seed: int

    def lean(self) -> NDArray[np.intp] | None:
        """Return the choices of a router by the fast path; None where only a router can say."""
        objectives, arms, outcomes = objective_table(self.objectives), self.met.arms, self.met.outcomes
        given = self.conditions
        if given.feedback or given.outages or given.absences or given.paging:
            return None
        if not isinstance(self.preference, Preference) or not fast_path.applies(
            outcomes, self.x, arms=arms, preference=self.preference, objectives=objectives
        ):
            return None
        with suppress(Exception):  # whatever it is, a router knows what to do
            return fast_path.choices(
                outcomes,
                self.x,
                self.arrivals,
                arms=arms,
                learner=self.learner,
                preference=self.preference,
                objectives=objectives,
                seed=self.seed,
            )
        return None

    def routed(self, warm: Log) -> tuple[NDArray[np.intp], Vector | None]:
        """Return the choices of a router, and how long requests waited for adapters."""
        n, arms, met = len(self.x), self.met.arms, self.met.outcomes
        there, failing = self.conditions.there(n, arms), self.conditions.failing(n, arms)
        among = [None if row.all() else [arms[k] for k in np.flatnonzero(row)] for row in ~np.isnan(met["quality"])]
        ranges = objective_table(self.objectives)
        late = {
            name: [each.tolist() for each in channel.reports(met[name], ranges[name], seed=self.seed)]
            for name, channel in self.conditions.feedback.items()
        }
        at_once = {name: values.tolist() for name, values in met.items() if name not in late}
        index = {arm: k for k, arm in enumerate(arms)}
        paging = self.conditions.paging
        cache = None if paging is None else paging.cache()
        made = [Arm(name=arm) for arm in arms] if paging is None else paging.arms(arms)
        chosen, paged = np.empty(n, dtype=np.intp), np.zeros(n)
        loaded = np.full(len(arms), -np.inf)  # when each adapter's last load is over
        waiting: list[tuple[float, int, str, dict[str, Any]]] = []  # due, count, decision, outcome
        numbers = count()
        changes = set((np.flatnonzero((there[1:] != there[:-1]).any(axis=1)) + 1).tolist())
        told: dict[str, Any]
        now = 0.0
        with Router(
            arms=[arm for arm, here in zip(made, there[0], strict=True) if here],
            features=self.x.shape[1],
            learner=self.learner,
            preference=self.preference,
            objectives=self.objectives,
            adapters=cache,
            store=MemoryStore(capacity=n if late or cache else 1),
            seed=self.seed,
            clock=lambda: now,
        ) as router:
            if warm:
                router.warm_start(warm)
            for step, x in enumerate(self.x):
                while waiting and waiting[0][0] <= self.arrivals[step]:
                    now, _, id, told = heapq.heappop(waiting)
                    router.feedback(id, **told)
                now = self.arrivals[step]
                _settle(cache)
                if step in changes:
                    _change(router, made, there[step - 1], there[step])
                    _settle(cache)
                lease = chosen_by_policy(router.route(x, arms=among[step])).lease()
                with lease as decision:
                    k = chosen[step] = index[decision.arm]
                if lease.seconds:
                    loaded[k] = now + lease.seconds
                paged[step] = lease.seconds or max(loaded[k] - now, 0.0)
                if failing[step, k]:
                    told = {"failed": True}
                else:
                    told = {name: value for name, column in at_once.items() if (value := column[step][k]) == value}
                    for name, (reported, delays) in late.items():
                        if (value := reported[step][k]) == value:
                            due = now + paged[step] + delays[step]
                            heapq.heappush(waiting, (due, next(numbers), decision.id, {name: value}))
                if told and paged[step]:
                    heapq.heappush(waiting, (now + paged[step], next(numbers), decision.id, told))
                elif told:
                    router.feedback(decision.id, **told)
            _settle(cache)
        return chosen, None if paging is None else paged


def chosen_by_policy(decision: Decision) -> Decision:
    """Return the decision if the policy made it.

    A router in service answers with its fallback arm if the policy fails; a replay of that would judge another policy.

    Raises
    ------
    InvalidInputError
        If the router fell back.
    """
    if decision.fell_back:
        raise InvalidInputError(
            f"the policy made no choice ({decision.reason:.300}); repair it: banditroute.testing.check_policy finds "
            "what is wrong"
        )
    return decision


def _settle(cache: AdapterCache | None) -> None:
    """Have the loads done that the controller asked for: what threads do first must not decide what comes next."""
    if cache is not None:
        cache.wait()


def _change(router: Router, arms: Sequence[Arm], before: NDArray[np.bool_], after: NDArray[np.bool_]) -> None:
    """Let arms come, then others go, so that one is always there."""
    for k in np.flatnonzero(after & ~before).tolist():
        router.add_arm(arms[k])
    for k in np.flatnonzero(before & ~after).tolist():
        router.remove_arm(arms[k].name)
