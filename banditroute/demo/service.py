"""Simulate a service from a log: a real router serves real prompts, and logged answers come back as feedback."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.worker_processes import Submit
from banditroute.errors import InvalidInputError
from banditroute.logs.outcome_table import OutcomeTable
from banditroute.router import Router
from banditroute.store import MemoryStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The requests of one pass: contexts `(n, d - 1)`, quality and dollars `(n, K)` of every arm.

    Attributes
    ----------
    judge_errors
        Share of answers that the judge gets wrong, in [0, 1]; None without a judge.
    """

    arms: tuple[str, ...]
    x: Vector
    quality: Vector
    cost_usd: Vector
    judge_errors: float | None = None

    @classmethod
    def of(cls, table: OutcomeTable, x: Vector, *, judge_errors: float | None = None) -> Traffic:
        """Return the traffic of a table.

        Raises
        ------
        InvalidInputError
            If the quality or the cost of an arm is not known for every prompt.
        """
        for name in ("quality", "cost_usd"):
            if np.isnan(table.outcomes.get(name, np.array(np.nan))).any():
                raise InvalidInputError(
                    f"{table.name} does not have the {name} of every arm for every prompt, which the story needs; "
                    "try banditroute simulate"
                )
        return cls(
            arms=table.arms,
            x=x,
            quality=table.outcomes["quality"],
            cost_usd=table.outcomes["cost_usd"],
            judge_errors=judge_errors,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Changes of the arms during a pass.

    Attributes
    ----------
    worse_from, worse_arm, worse_by
        From request ``worse_from`` on, the quality of arm ``worse_arm`` is multiplied by ``worse_by``. The router is
        not informed.
    arrives_at, arrival
        At request ``arrives_at`` the application adds the arm ``arrival``. The traffic has its outcomes from the start.
    """

    worse_from: int
    worse_arm: int
    worse_by: float
    arrives_at: int
    arrival: Arm


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One pass, in the order of its requests.

    Attributes
    ----------
    arm : (n,)
        Position of the arm that gave the final answer.
    quality : (n,)
        Quality of the final answer.
    cost_usd : (n,)
        Dollars of all calls of the request.
    """

    arm: NDArray[np.intp]
    quality: Vector
    cost_usd: Vector


def point(passes: Sequence[Served]) -> tuple[float, float]:
    """Return the mean dollars and the mean quality of a request."""
    cost = float(np.mean([each.cost_usd.mean() for each in passes]))
    return cost, float(np.mean([each.quality.mean() for each in passes]))


class Service:
    """Serves passes of traffic, side by side on all cores.

    Parameters
    ----------
    seeds
        Number of passes, each with another order of the requests.
    submit
        Calls a function in a process of its own.
    """

    def __init__(self, *, seeds: int, submit: Submit) -> None:
        self._seeds = seeds
        self._submit = submit

    def serve(
        self, traffic: Traffic, *, settings: Sequence[dict[str, Any]], change: Change | None = None
    ) -> list[list[Served]]:
        """Return the passes of a router with each of these settings.

        Parameters
        ----------
        settings
            Further arguments of `Router`, for each router.
        change
            Changes of the arms during the pass.
        """
        passes = [
            [self._submit(_pass, traffic, seed, each, change) for seed in range(self._seeds)] for each in settings
        ]
        return [[each.result() for each in of_router] for of_router in passes]


def keep_warnings_out_of_the_story() -> None:
    """Log no warnings in this process."""
    logging.getLogger("banditroute").setLevel(logging.ERROR)  # that an arm has changed is what chapter 3 tells


def _pass(traffic: Traffic, seed: int, settings: dict[str, Any], change: Change | None) -> Served:
    rng = np.random.default_rng([seed, len(traffic.x)])
    order = rng.permutation(len(traffic.x))
    quality, cost = traffic.quality[order], traffic.cost_usd[order]
    arms = list(traffic.arms)
    if change is not None:
        quality[change.worse_from :, change.worse_arm] *= change.worse_by
        arms.remove(change.arrival.name)
    judge_is_wrong = rng.random(quality.shape) < (traffic.judge_errors or 0.0)
    arm = np.empty(len(order), dtype=np.intp)
    paid = np.zeros(len(order))
    given: dict[str, Any] = {"arms": arms, "features": traffic.x.shape[1], "store": MemoryStore(), "seed": seed}
    with Router(**{**given, **settings}) as router:
        for i, row in enumerate(order):
            if change is not None and i == change.arrives_at:
                router.add_arm(change.arrival)
            decision = router.route(traffic.x[row])
            k = traffic.arms.index(decision.arm)
            paid[i] = cost[i, k]
            if traffic.judge_errors is None:
                router.feedback(decision.id, cost_usd=cost[i, k], quality=quality[i, k])
            while traffic.judge_errors is not None:
                router.feedback(decision.id, cost_usd=cost[i, k])
                looks_good = 1.0 - quality[i, k] if judge_is_wrong[i, k] else quality[i, k]
                another = router.escalate(decision.id, signal=looks_good)
                if another is None:
                    router.feedback(decision.id, quality=quality[i, k])
                    break
                decision = another
                k = traffic.arms.index(decision.arm)
                paid[i] += cost[i, k]
            arm[i] = k
    return Served(arm=arm, quality=quality[np.arange(len(order)), arm], cost_usd=paid)
