"""Simulate a service from a log: a real router serves real prompts, and logged answers come back as feedback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
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


def serve(traffic: Traffic, *, seeds: int, settings: dict[str, Any], change: Change | None = None) -> Iterator[Served]:
    """Run one pass per seed on all cores, and yield the results; each pass has another order of the requests.

    Parameters
    ----------
    settings
        Further arguments of `Router`.
    change
        Changes of the arms during the pass.
    """
    with ProcessPoolExecutor(initializer=_keep_warnings_out_of_the_story) as pool:
        work = [pool.submit(_pass, traffic, seed, settings, change) for seed in range(seeds)]
        yield from (each.result() for each in work)


def _keep_warnings_out_of_the_story() -> None:
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
            while True:
                k = traffic.arms.index(decision.arm)
                paid[i] += cost[i, k]
                router.feedback(decision.id, cost_usd=cost[i, k])
                if traffic.judge_errors is None:
                    break
                looks_good = 1.0 - quality[i, k] if judge_is_wrong[i, k] else quality[i, k]
                another = router.escalate(decision.id, signal=looks_good)
                if another is None:
                    break
                decision = another
            router.feedback(decision.id, quality=quality[i, k])
            arm[i] = k
    return Served(arm=arm, quality=quality[np.arange(len(order)), arm], cost_usd=paid)
