"""A budget at work: its ledger, its allowance and its pacer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

from banditroute.budgets.allowance import PerPeriod, PerRequest
from banditroute.budgets.budget import Budget, BudgetStatus
from banditroute.budgets.reservations import Reservations
from banditroute.budgets.shadow_price import ShadowPrice
from banditroute.core.arrays import Vector
from banditroute.core.shared_total import SharedTotal

Reserved: TypeAlias = tuple[float, ...]
"""What a request is expected to take; then, where that is known, what its input costs, and each token of its output."""


class BudgetState:
    """Keeps one budget, together with the other processes that keep it. Not thread-safe: the chooser holds a lock.

    Parameters
    ----------
    budget
        What may be spent.
    arms
        K, how many there are.
    state
        What ``state`` gave before, in whichever process.
    tally
        What all processes have counted so far.
    add
        Adds to what all processes count.
    """

    def __init__(
        self,
        *,
        budget: Budget,
        arms: int,
        state: Mapping[str, float],
        tally: SharedTotal,
        add: Callable[[SharedTotal], object],
    ) -> None:
        self.budget = budget
        self._ledger = Reservations(settle_seconds=budget.settle_seconds)
        self._pacer = ShadowPrice(arms=arms, price=state.get("price"))
        self._allowance: PerRequest | PerPeriod
        if budget.seconds is None:
            self._allowance = PerRequest(amount=budget.amount, tally=tally)
        else:
            self._allowance = PerPeriod(
                amount=budget.amount, seconds=budget.seconds, tally=tally, gap=state.get("gap", 0.0)
            )
        self._add = add
        self._unheard = SharedTotal(period=tally.period)  # added here, and not yet in what was heard

    def set_arms(self, kept: Sequence[int | None]) -> None:
        """Price other arms from now on, given the positions that they had before, None for a new one."""
        self._pacer.set_arms(kept)

    def counts(self, tags: Collection[str]) -> bool:
        """Whether it counts a request with these tags."""
        return self.budget.tag is None or self.budget.tag in tags

    @property
    def price(self) -> float:
        """Points of utility for one unit of spend."""
        return self._pacer.price

    def pace(self, utilities: Vector, stds: Vector, expected: Vector, positions: Sequence[int], now: float) -> None:
        """See a request whose arms are worth ``utilities (K,)`` and expected to take ``expected (K,)``."""
        self._begin(now)
        self._pacer.observe(utilities, stds, expected, positions, self._allowance.target(now))

    def afford(self, at_risk: Vector, positions: Sequence[int], now: float) -> list[int]:
        """Those of ``positions`` that the budget can bear if the arms take ``at_risk (K,)``, at least the cheapest."""
        return self._pacer.afford(at_risk, positions, self._allowance.most(now))

    def reserve(
        self, id: str, reserved: Reserved, expected: Vector, probabilities: Vector, now: float, *, again: bool
    ) -> None:
        """Enter a request, or a further call of one that was entered, in which it is asked ``again``.

        Its arms are expected to take ``expected`` and chosen with ``probabilities``.
        """
        self._begin(now)
        self._pacer.learn(float(probabilities @ expected))
        self._ledger.reserve(id, reserved[0], now)
        if again:
            self._count(self._allowance.correct(reserved[0]))
        else:
            self._count(self._allowance.enter(reserved[0], float(expected.min()), now))

    def settle(
        self,
        id: str,
        reserved: Reserved,
        values: Mapping[str, float],
        known: Collection[str],
        decided_at: float,
        now: float,
    ) -> None:
        """Enter what a request took, if the outcomes ``values`` say so first; those ``known`` were reported before."""
        self._begin(now)
        settling = [self.budget.objective, "output_tokens"][: len(reserved)]
        first = next((name for name in settling if name in values), None)
        late = now >= decided_at + self.budget.settle_seconds
        if first is None or late or any(name in known for name in settling) or self._is_over(decided_at):
            return
        took = values[first] if first == self.budget.objective else reserved[1] + values[first] * reserved[2]
        self._ledger.strike(id)
        self._count(self._allowance.correct(took - reserved[0]))

    def hear(self, joint: SharedTotal, added: SharedTotal) -> None:
        """Go on from what all processes have counted, this one's ``added`` included."""
        if joint.period != self._allowance.tally.period:
            return
        if added.period == joint.period:
            self._unheard += SharedTotal(added.period, -added.requests, -added.spent, -added.balance)
        self._allowance.hear(joint + self._unheard)

    def spend(self, now: float) -> BudgetStatus:
        """How the budget stands."""
        self._begin(now)
        tally = self._allowance.tally
        return BudgetStatus(
            budget=self.budget,
            requests=tally.requests,
            spent=tally.spent - self._ledger.reserved,
            reserved=self._ledger.reserved,
            granted=self._allowance.granted(now),
            shadow_price=self.price,
        )

    def state(self) -> dict[str, float]:
        """What to begin with another time, beside the tally."""
        gap = self._allowance.gap if isinstance(self._allowance, PerPeriod) else 0.0
        return {"price": self.price, "gap": gap}

    def _count(self, tally: SharedTotal) -> None:
        self._unheard += tally
        self._add(tally)

    def _is_over(self, decided_at: float) -> bool:
        """Whether the period of a request made at that time is over."""
        return self.budget.seconds is not None and int(decided_at // self.budget.seconds) < self._allowance.tally.period

    def _begin(self, now: float) -> None:
        if self._allowance.begin(now):
            self._ledger.clear()
            self._unheard = SharedTotal(period=self._allowance.tally.period)
        self._ledger.expire(now)
