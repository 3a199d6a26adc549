"""Replay a Router over a table of known outcomes, on a virtual clock."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banditroute.adapters.cache import AdapterCache
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.feature_block import FeatureBlock
from banditroute.core.preference import Preference
from banditroute.errors import InvalidInputError
from banditroute.features.given import GivenFeatures
from banditroute.learners import Learner
from banditroute.logs import OutcomeTable
from banditroute.objectives.objective import Objective
from banditroute.objectives.scaling import Scaled
from banditroute.objectives.utility import PreferenceLike, check_preference, merge_objectives
from banditroute.router import Router
from banditroute.router.settings import RouterSettings
from banditroute.simulate import fast_path
from banditroute.simulate.conditions import Conditions
from banditroute.store.memory import MemoryStore

_AS_LOGGED = Conditions.as_logged()

Expected: TypeAlias = Mapping[str, Mapping[str, float]]
"""Arm -> objective -> expected outcome."""

_NOTHING_EXPECTED: Expected = MappingProxyType({})

Log: TypeAlias = Sequence[tuple[Vector, Mapping[str, Mapping[str, float]]]]
"""Rows of a warm start: context, and arm -> objective -> outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Choices of one router for one order of the requests.

    Attributes
    ----------
    policy, seed
        Which learner, and which seed of the order and of the choices.
    rows : (n,)
        Row of the table at each step.
    chosen : (n,)
        Position of the chosen arm at each step.
    paged_seconds : (n,)
        Seconds waited for its adapter at each step; None without adapters.
    """

    policy: str
    seed: int
    rows: NDArray[np.intp]
    chosen: NDArray[np.intp]
    paged_seconds: Vector | None = None

    def outcome(self, values: Vector) -> Vector:
        """Return the value of the chosen arm at each step ``(n,)``, from ``values (n, K)``."""
        chosen: Vector = values[self.rows, self.chosen]
        return chosen


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
    blocks: Sequence[FeatureBlock] | None = None,
    expected: Expected = _NOTHING_EXPECTED,
    conditions: Conditions = _AS_LOGGED,
) -> Trace:
    """Route every row of the table once.

    In a partial log, each row is routed among the arms whose quality is known there.

    Parameters
    ----------
    x
        Features of each row ``(n, d - 1)``, without bias.
    blocks
        The blocks of the features; None: one.
    expected
        Arm -> objective -> what is known before the first request, as in ``Arm(expected=...)``.
    policy
        Name of the learner in the trace.
    objectives
        The user's own objectives, if the table has any.
    warm
        Number of rows, the first of the order, that are a warm start: the outcomes of all their arms are learned
        before, and they are not routed.
    conditions
        Delays, outages and other conditions of the pass.

    Raises
    ------
    InvalidInputError
        If ``warm`` leaves no row to route, or the conditions are for another table or leave a row without an arm.

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
        preference=check_preference(preference, merge_objectives(objectives)),
        objectives=objectives,
        conditions=conditions,
        seed=seed,
        blocks=blocks,
        expected=expected,
    )
    chosen, paged = None if warm else run.by_fast_path(), None
    if chosen is None:
        chosen, paged = run.by_router([(x[row], table.known(row)) for row in known])
    return Trace(policy=policy, seed=seed, rows=rows, chosen=chosen, paged_seconds=paged)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One pass over the requests: everything but the choices."""

    met: OutcomeTable
    x: Vector
    arrivals: Sequence[float]
    learner: Learner
    preference: Preference | Scaled
    objectives: Sequence[Objective]
    conditions: Conditions
    seed: int
    blocks: Sequence[FeatureBlock] | None
    expected: Expected

    def arms(self) -> list[Arm]:
        """Return the arms with what is known of them."""
        names, paging = self.met.arms, self.conditions.paging
        made = [Arm(name=name) for name in names] if paging is None else paging.arms(names)
        return [replace(arm, expected=self.expected.get(arm.name, {})) for arm in made] if self.expected else made

    def settings(self, cache: AdapterCache | None = None) -> dict[str, Any]:
        """Return what a router of this pass is made with, but the store and the clock."""
        return {
            "arms": self.arms(),
            "features": GivenFeatures(dimension=self.x.shape[1], blocks=self.blocks),
            "learner": self.learner,
            "preference": self.preference,
            "objectives": self.objectives,
            "adapters": cache,
            "seed": self.seed,
        }

    def by_fast_path(self) -> NDArray[np.intp] | None:
        """Return the choices of a router by the fast path; None where it does not apply."""
        given = self.conditions
        if given.feedback or given.outages or given.absences or given.paging:
            return None
        settings = RouterSettings.checked(**self.settings())
        if not fast_path.applies(self.met.outcomes, self.x, settings):
            return None
        return fast_path.choices(self.met.outcomes, self.x, self.arrivals, settings)

    def by_router(self, warm: Log) -> tuple[NDArray[np.intp], Vector | None]:
        """Return the choices of a router, and the seconds waited for adapters."""
        n, arms, met = len(self.x), self.met.arms, self.met.outcomes
        there, failing = self.conditions.there(n, arms), self.conditions.failing(n, arms)
        among = [None if row.all() else [arms[k] for k in np.flatnonzero(row)] for row in ~np.isnan(met["quality"])]
        ranges = merge_objectives(self.objectives)
        late = {
            name: [each.tolist() for each in channel.reports(met[name], ranges[name], seed=self.seed)]
            for name, channel in self.conditions.feedback.items()
        }
        at_once = {name: values.tolist() for name, values in met.items() if name not in late}
        index = {arm: k for k, arm in enumerate(arms)}
        paging = self.conditions.paging
        cache = None if paging is None else paging.cache()
        settings = self.settings(cache)
        made = settings.pop("arms")
        chosen, paged = np.empty(n, dtype=np.intp), np.zeros(n)
        loaded = np.full(len(arms), -np.inf)  # when each adapter's last load is over
        waiting: list[tuple[float, int, str, dict[str, Any]]] = []  # due, count, decision, outcome
        numbers = count()
        changes = set((np.flatnonzero((there[1:] != there[:-1]).any(axis=1)) + 1).tolist())
        outcome: dict[str, Any]
        now = 0.0
        with Router(
            arms=[arm for arm, here in zip(made, there[0], strict=True) if here],
            store=MemoryStore(capacity=n if late or cache else 1),
            **settings,
            clock=lambda: now,
        ) as router:
            if warm:
                router.warm_start(warm)
            for step, x in enumerate(self.x):
                while waiting and waiting[0][0] <= self.arrivals[step]:
                    now, _, id, outcome = heapq.heappop(waiting)
                    router.feedback(id, **outcome)
                now = self.arrivals[step]
                _settle(cache)
                if step in changes:
                    _change(router, made, there[step - 1], there[step])
                    _settle(cache)
                lease = router.lease(chosen_by_policy(router.route(x, arms=among[step])))
                with lease as decision:
                    k = chosen[step] = index[decision.arm]
                if lease.seconds:
                    loaded[k] = now + lease.seconds
                paged[step] = lease.seconds or max(loaded[k] - now, 0.0)
                if failing[step, k]:
                    outcome = {"failed": True}
                else:
                    outcome = {name: value for name, column in at_once.items() if (value := column[step][k]) == value}
                    for name, (reported, delays) in late.items():
                        if (value := reported[step][k]) == value:
                            due = now + paged[step] + delays[step]
                            heapq.heappush(waiting, (due, next(numbers), decision.id, {name: value}))
                if outcome and paged[step]:
                    heapq.heappush(waiting, (now + paged[step], next(numbers), decision.id, outcome))
                elif outcome:
                    router.feedback(decision.id, **outcome)
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
        raise fast_path.no_choice(decision.reason)
    return decision


def _settle(cache: AdapterCache | None) -> None:
    """Wait for the loads that the controller asked for: the order of threads must not decide what comes next."""
    if cache is not None:
        cache.wait()


def _change(router: Router, arms: Sequence[Arm], before: NDArray[np.bool_], after: NDArray[np.bool_]) -> None:
    """Add arms, then remove others, so that there is always one."""
    for k in np.flatnonzero(after & ~before).tolist():
        router.add_arm(arms[k])
    for k in np.flatnonzero(before & ~after).tolist():
        router.remove_arm(arms[k].name)
