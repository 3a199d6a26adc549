"""A budget at work: its ledger, its allowance and its pacer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from banditroute.limits.allowance import PerPeriod, PerRequest
from banditroute.limits.budget import Budget, Spend
from banditroute.limits.ledger import Ledger
from banditroute.limits.pacer import Pacer, rearranged
from banditroute.types import Vector

_AVERAGED = 300  # requests over which what an arm is expected to take is averaged
_LEAST_SHARE = 1.0 / 3.0  # of that average: a linear belief can expect less than nothing of single requests


class Account:
    """Keeps one budget. Not thread-safe: the chooser holds a lock.

    Parameters
    ----------
    budget
        What may be spent.
    arms
        K, how many there are.
    state
        What ``state`` gave before.
    """

    def __init__(self, *, budget: Budget, arms: int, state: Mapping[str, Any] | None = None) -> None:
        state = {"spent": 0.0, "price": None, "allowance": {}} if state is None else state
        self.budget = budget
        self._ledger = Ledger(settle_seconds=budget.settle_seconds, spent=state["spent"])
        self._pacer = Pacer(arms=arms, price=state["price"])
        self._allowance: PerRequest | PerPeriod
        if budget.seconds is None:
            self._allowance = PerRequest(amount=budget.amount, **state["allowance"])
        else:
            self._allowance = PerPeriod(amount=budget.amount, seconds=budget.seconds, **state["allowance"])
        self._expected = np.zeros(arms)
        self._averages = np.zeros(arms)
        self._seen = 0

    def set_arms(self, kept: Sequence[int | None]) -> None:
        """Price other arms from now on, given the positions that they had before, None for a new one."""
        self._expected = rearranged(self._expected, kept, 0.0)
        self._averages = rearranged(self._averages, kept, 0.0)
        self._pacer.set_arms(kept)

    def counts(self, tags: Collection[str]) -> bool:
        """Whether it counts a request with these tags."""
        return self.budget.tag is None or self.budget.tag in tags

    @property
    def price(self) -> float:
        """Points of utility for one unit of spend."""
        return self._pacer.price

    def expect(self, spends: Vector) -> Vector:
        """What each arm is expected to take ``(K,)``, made plausible: no less than a third of its average."""
        self._seen += 1
        expected: Vector = np.maximum(spends, _LEAST_SHARE * self._averages)
        self._averages += (expected - self._averages) / min(self._seen, _AVERAGED)
        self._expected = expected
        return expected

    def pace(self, utilities: Vector, spreads: Vector, positions: Sequence[int], now: float) -> None:
        """See a request whose arms are worth ``utilities (K,)`` and take what ``expect`` said."""
        self._begin(now)
        self._pacer.observe(utilities, spreads, self._expected, positions, self._allowance.target(now))

    def afford(self, positions: Sequence[int], now: float) -> list[int]:
        """Those of ``positions`` that the budget can bear for this request, at least the cheapest."""
        # A call may turn out dearer than expected of it: what is at risk is at least the arm's average.
        at_risk = np.maximum(self._expected, self._averages)
        return self._pacer.afford(at_risk, positions, self._allowance.most(now))

    def reserve(
        self,
        id: str,
        chosen: int,
        positions: Sequence[int],
        probabilities: Vector,
        now: float,
        by_tokens: tuple[float, float] | None,
    ) -> None:
        """Enter a request for the ``chosen``-th of ``positions``, with what was expected last."""
        self._begin(now)
        expected = self._expected[positions]
        spend = float(expected[chosen])
        self._pacer.learn(float(probabilities @ expected))
        self._ledger.reserve(id, spend, now, by_tokens if self.budget.usd is not None else None)
        self._allowance.enter(spend, float(expected.min()), now)

    def settle(self, id: str, values: Mapping[str, float], now: float) -> None:
        """Enter what a request took, if the outcomes ``values`` say so."""
        self._begin(now)
        amount = values.get(self.budget.objective)
        if amount is None and "output_tokens" in values:
            amount = self._ledger.cost(id, values["output_tokens"])
        if amount is not None:
            self._allowance.correct(self._ledger.settle(id, amount))

    def spend(self, now: float) -> Spend:
        """How the budget stands."""
        self._begin(now)
        return Spend(
            budget=self.budget,
            requests=self._allowance.requests,
            spent=self._ledger.spent,
            reserved=self._ledger.reserved,
            granted=self._allowance.granted(now),
            shadow_price=self.price,
        )

    def state(self) -> dict[str, Any]:
        """What to begin with another time; by then, what is not settled is settled as expected."""
        return {"spent": self._ledger.committed, "price": self.price, "allowance": self._allowance.state()}

    def _begin(self, now: float) -> None:
        if self._allowance.begin(now):
            self._ledger.clear()
        self._ledger.expire(now)
