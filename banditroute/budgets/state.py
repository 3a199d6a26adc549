"""One budget at work: its allowance, its reservations, its shadow price and, if it is hard, its slices."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from banditroute.budgets.allowance import FIRST_GRANT_REQUESTS, PerPeriod, PerRequest, PerSession, SessionSteps
from banditroute.budgets.budget import Budget, BudgetStatus
from banditroute.budgets.periods import PERIODS, period_number
from banditroute.budgets.reservations import Reservations
from banditroute.budgets.shadow_price import ShadowPrice
from banditroute.budgets.slices import AddTotal, Slices
from banditroute.budgets.spend_forecast import SpendForecast
from banditroute.core.arrays import Vector
from banditroute.core.shared_total import SharedTotal
from banditroute.core.token_costs import CACHED_TOKENS, TokenCosts

Reserved: TypeAlias = tuple[float, ...]
"""The amount that a request reserves; then, where they are known, the entries of ``TokenCosts``."""

_RARELY = 0.9  # -log(1e-3) / 8: the stock falls below what is kept once in a thousand times
_MOST_KEPT_CALLS = 4.0  # of the safe arm, at its upper bound
_WANTED_CALLS = 1.5  # of the arms that the budget is for: their bounds are to be covered most of the time
_WANTED_SHARE = 0.05  # of the calls that are planned: from it on, the budget is for an arm
_AVERAGED_PLANS = 100.0  # requests over which the shares of the plans are averaged
_UNLUCKY_STDS = 2.5  # by which its calls until the next grant may cost more than expected
_HORIZON_CALLS = 100  # over which that arm is compared with the others, besides those until the next grant
_MOST_RESERVED_REQUESTS = 40.0  # worth, of a hard budget per request
_FEW_REQUESTS = 10  # of this process: before, it takes the number of processes to be usual
_USUAL_PROCESSES = 4.0
_FIRST_SLICE = 0.1  # of a period's amount, or of the first grant: what a process draws when it starts
_FIRST_SLICE_OF_KEY = 0.5  # the same of one session, user, ...: mostly a single process serves it
_KEPT_SLICES = 3  # periods whose slices are held: the last, the present and the next


class BudgetState:
    """Keeps one budget, together with the other processes that keep it. Not thread-safe: the engine holds a lock.

    Parameters
    ----------
    budget
        What may be spent.
    price
        The shadow price; budgets of one kind with different keys share it.
    forecast
        What the arms are expected to spend.
    steps
        How many steps sessions take.
    state
        What ``state()`` returned before, in any process.
    totals
        What all processes have counted so far, one total for each period.
    add
        Adds to what all processes count.
    add_drawn
        Adds to what all processes have drawn of a hard budget.
    """

    def __init__(
        self,
        *,
        budget: Budget,
        price: ShadowPrice,
        forecast: SpendForecast,
        steps: SessionSteps,
        state: Mapping[str, Any],
        totals: Sequence[SharedTotal],
        add: Callable[[SharedTotal], SharedTotal | None],
        add_drawn: AddTotal,
    ) -> None:
        self.budget: Budget = budget
        self.uncovered: int = 0
        self.above_bound: int = 0
        self._price = price
        self._forecast = forecast
        self._reservations = Reservations(settle_seconds=budget.settle_seconds)
        self._allowance: PerRequest | PerPeriod | PerSession
        if budget.per == "request":
            self._allowance = PerRequest(
                amount=budget.amount, total=max(totals, default=SharedTotal()), hard=budget.hard
            )
        elif budget.per == "session":
            self._allowance = PerSession(amount=budget.amount, total=max(totals, default=SharedTotal()), steps=steps)
        else:
            self._allowance = PerPeriod(amount=budget.amount, per=budget.per, totals=totals, state=state)
        self._add = add
        self._add_drawn = add_drawn
        self._unmerged: dict[int, SharedTotal] = {}  # by period: added here, and not yet in the sum of all
        self._slices: dict[int, Slices] = {}  # by period
        self._planned_shares = np.zeros(0)  # of the arms, under a hard budget
        self._begun_at = self._allowance.total.requests
        self._own_requests = 0
        self._alone = False  # whether totals are known at once, as no other process adds to them

    def set_budget(self, budget: Budget) -> None:
        """Keep a budget that differs by its amount alone from now on."""
        self.budget = budget
        self._allowance.amount = budget.amount

    def price(self, utilities: Vector, stds: Vector, expected: Vector, positions: Sequence[int], now: float) -> float:
        """Return the shadow price for a request whose arms are worth ``utilities (K,)`` and spend ``expected (K,)``."""
        self._begin(now)
        target = self._allowance.target(now, self._reservations.slack)
        self._price.observe(utilities, stds, expected, positions, target)
        return self._price.at(target) if self.budget.keyed else self._price.price

    def affordable(self, at_risk: Vector, positions: Sequence[int], now: float) -> list[int]:
        """Return those of ``positions`` that the budget can bear if the arms spend ``at_risk (K,)``; at least one."""
        left = self._price.afford(at_risk, positions, self._allowance.most(now, self._reservations.slack))
        if self.budget.hard:
            self._follow_plan(len(at_risk))
        return left

    def _follow_plan(self, arms: int) -> None:
        """Average the shares of the arms in the plans, whether or not the budget covers them."""
        if len(self._planned_shares) != arms:
            self._planned_shares = np.zeros(arms)
        shares = np.bincount(self._price.planned_arms, minlength=arms) / len(self._price.planned_arms)
        self._planned_shares += (shares - self._planned_shares) / _AVERAGED_PLANS

    def target(self, now: float) -> float:
        """Return what each of the next requests may spend on average."""
        return self._allowance.target(now, self._reservations.slack)

    def covered(
        self, bounds: Vector, at_risk: Vector, positions: Sequence[int], affordable: Sequence[int], now: float
    ) -> list[int]:
        """Return those of ``positions`` whose upper ``bounds (K,)`` the drawn slices cover, drawing more if needed.

        One arm is the safe one: it needs least to go on for long, by its bound and by ``at_risk (K,)``. Any other must
        leave enough for its calls, up to the next grant and for an unlucky series after it.

        Parameters
        ----------
        affordable
            Those of ``positions`` that pacing has left: slices are drawn for them.
        """
        self._begin(now)
        slices = self._present(now)
        finite = [k for k in positions if np.isfinite(bounds[k])]
        if not finite:
            return []
        ungranted = 0
        if self.budget.per == "request":
            ungranted = max(FIRST_GRANT_REQUESTS - self._allowance.total.requests, 0)
        mean = self._forecast.cautious(at_risk)
        safe = min(finite, key=lambda k: _MOST_KEPT_CALLS * bounds[k] + (ungranted + _HORIZON_CALLS) * mean[k])
        kept = self._kept(float(bounds[safe]), float(mean[safe]), now)
        # A cost between 0 and b with the mean m has a variance of at most m b; a quarter of it is usual.
        later = max(float(mean[safe]), self._forecast.guarded(safe, float(bounds[safe])))
        unlucky = _UNLUCKY_STDS * math.sqrt(0.25 * ungranted * later * bounds[safe])
        if isinstance(self._allowance, PerRequest):
            most = _MOST_RESERVED_REQUESTS * self.budget.amount
            of_all = kept * self._processes
            wanted = [
                of_all + _WANTED_CALLS * float(bounds[k]) for k in finite if self._planned_shares[k] > _WANTED_SHARE
            ]
            self._allowance.reserve = max((each for each in wanted if each <= most), default=min(of_all, most))
        largest = max((float(bounds[k]) for k in affordable if np.isfinite(bounds[k])), default=0.0)
        fair = self._fair_share()
        least = kept + float(bounds[safe])
        self._draw(now, max(least, min(kept + largest, fair)))
        slices.keep(max(least, fair))
        stock, left = slices.stock, slices.stock + slices.undrawn - ungranted * later - unlucky
        # An arm with as low a bound is as safe, however much its first calls happened to cost.
        return [
            k
            for k in finite
            if (bounds[k] <= stock if bounds[k] <= bounds[safe] else bounds[k] + kept <= min(stock, left))
        ]

    def _kept(self, bound: float, mean: float, now: float) -> float:
        """Return what is kept for the safe arm, whose calls cost up to ``bound``, and ``mean`` on average.

        What is granted for each request exceeds the mean by some d, so the stock drifts up, and rarely falls far: by
        more than x with a probability of ``exp(-2 d x / variance)``, where the variance is about ``mean bound / 4``.
        """
        drift = self._allowance.target(now, self._reservations.slack) - mean
        calls = _RARELY * mean / drift if drift > 0.0 else _MOST_KEPT_CALLS
        return bound * (1.0 + min(calls, _MOST_KEPT_CALLS))

    @property
    def _processes(self) -> float:
        """About how many processes keep the budget, each with a stock of its own: requests of all for each of this."""
        if self._alone or (self.budget.keyed and not self._own_requests):
            return 1.0
        if self._own_requests < _FEW_REQUESTS and not self.budget.keyed:
            return _USUAL_PROCESSES
        return max((self._allowance.total.requests - self._begun_at) / self._own_requests, 1.0)

    def prepare(self, now: float) -> None:
        """Draw the first slices of a hard budget, large enough for the first requests to find something."""
        self._begin(now)
        requests = FIRST_GRANT_REQUESTS if self.budget.per == "request" else 1.0
        part = _FIRST_SLICE_OF_KEY if self.budget.keyed else _FIRST_SLICE
        self._draw(now, part * requests * self.budget.amount)

    def awaits_first_slice(self, now: float) -> bool:
        """Return whether the first slice of the present period is still on its way, after asking for it if need be."""
        if self._number(now) not in self._slices:
            self.prepare(now)
        return self._present(now).waiting and not self._present(now).stock

    def reserve(self, id: str, reserved: Reserved, expected: float, planned: float, now: float, *, again: bool) -> None:
        """Enter a request, or a further call of one that was entered (``again``).

        Parameters
        ----------
        id
            Of the decision.
        reserved
            What it reserves: what it is expected to spend, or an upper bound under a hard budget.
        expected, planned
            What it is expected to spend with the chosen arm, and averaged over the probabilities of all.
        """
        self._begin(now)
        self._price.learn(planned)
        self._reservations.reserve(id, reserved[0], now, expected=expected)
        self.enter(reserved[0], now, again=again)

    def enter(self, reserved: float, now: float, *, again: bool) -> None:
        """Count a request that reserves so much, or a further call of one that was counted (``again``)."""
        self._begin(now)
        if self.budget.hard:
            slices = self._present(now)
            if self.budget.per == "request" and not again and self._allowance.total.requests >= FIRST_GRANT_REQUESTS:
                # Before the request is counted: a process that knows of the request must know that its grant is taken.
                slices.grant(self.budget.amount)
            slices.use(reserved)
        if again:
            self._count(self._allowance.correct(reserved))
        else:
            self._own_requests += 1
            self._count(self._allowance.enter(reserved, float(self._forecast.average.min()), now))

    def settle(
        self,
        id: str,
        arm: str,
        reserved: Reserved,
        values: Mapping[str, float],
        known: Collection[str],
        decided_at: float,
        now: float,
    ) -> None:
        """Enter what a request spent, if the outcomes ``values`` say so first; those ``known`` were reported before."""
        self._begin(now)
        settling = [self.budget.objective, "output_tokens"][: len(reserved)]
        first = next((name for name in settling if name in values), None)
        if first is None or any(name in known for name in settling):
            return
        spent = values[first]
        if first != self.budget.objective:
            costs = TokenCosts(*reserved[1:])
            spent = costs.cost_usd(spent, values.get(CACHED_TOKENS), at_most=self.budget.hard)
        self._forecast.learn(arm, spent)
        if now >= decided_at + self.budget.settle_seconds or not self._allowance.holds(decided_at):
            return
        self._reservations.release(id)
        self._count(self._allowance.correct(spent - reserved[0]))
        if self.budget.hard:
            self.above_bound += spent > reserved[0] * (1.0 + 1e-9)
            self._present(now).use(spent - reserved[0])

    def merge(self, joint: SharedTotal, added: SharedTotal) -> None:
        """Take over what all processes have counted, this one's ``added`` included."""
        waiting = self._unmerged.get(joint.period, SharedTotal(period=joint.period))
        if added.period == joint.period:
            waiting += SharedTotal(added.period, -added.requests, -added.spent, -added.balance)
            self._unmerged[joint.period] = waiting
        self._allowance.merge(joint + waiting)

    def merge_drawn(self, joint: SharedTotal, added: SharedTotal) -> None:
        """Take over what all processes have drawn of a hard budget, this one's ``added`` included."""
        if joint.period in self._slices:
            self._slices[joint.period].merge(joint, added)

    def status(self, now: float) -> BudgetStatus:
        """Return how the budget stands."""
        self._begin(now)
        total, reserved, granted = self._allowance.total, self._reservations.reserved, self._allowance.granted(now)
        return BudgetStatus(
            budget=self.budget,
            requests=total.requests,
            spent=total.spent - reserved,
            reserved=reserved,
            granted=self.budget.amount if self.budget.hard and self.budget.per != "request" else granted,
            shadow_price=self._price.price,
            expected_requests=self._allowance.expected_requests(now),
            above_bound=self.above_bound,
            uncovered=self.uncovered,
        )

    def state(self) -> dict[str, Any]:
        """Return what the next process begins with, besides the total."""
        return {"price": self._price.price, **self._allowance.state()}

    def close(self) -> None:
        """Give back the slices that are left of a hard budget."""
        for slices in self._slices.values():
            slices.close()

    def _fair_share(self) -> float:
        """Return what each process may hold if all hold alike; the whole of what is left where this one is alone."""
        return max(self._limit() - self._allowance.total.spent, 0.0) / self._processes

    def _limit(self) -> float:
        """Return what all processes may use together, in this period or until now."""
        if self.budget.per != "request":
            return self.budget.amount
        return self.budget.amount * max(self._allowance.total.requests, FIRST_GRANT_REQUESTS)

    def _draw(self, now: float, need: float) -> None:
        """Draw slices of the present period, and one of the next, which then begins with a stock."""
        present = self._number(now)
        amount = self._limit()
        self._present(now).draw(limit=amount, need=max(need, amount / FIRST_GRANT_REQUESTS), now=now)
        if self.budget.per in PERIODS and not self.budget.keyed and present + 1 not in self._slices:
            following = self._slices[present + 1] = Slices(add=self._add_drawn, period=present + 1)
            following.draw(limit=amount, need=max(need, amount / FIRST_GRANT_REQUESTS), now=now)

    def _present(self, now: float) -> Slices:
        number = self._number(now)
        if number not in self._slices:
            self._slices[number] = Slices(add=self._add_drawn, period=number)
            for old in sorted(self._slices, key=lambda period: abs(period - number))[_KEPT_SLICES:]:
                del self._slices[old]
        return self._slices[number]

    def _number(self, now: float) -> int:
        return period_number(self.budget.per, now) if self.budget.per in PERIODS else 0

    def _count(self, total: SharedTotal) -> None:
        waiting = self._unmerged.get(total.period, SharedTotal(period=total.period))
        self._unmerged[total.period] = waiting + total
        joint = self._add(total)
        self._alone = joint is not None
        if joint is not None:  # nobody else adds: it is merged already
            del self._unmerged[total.period]

    def _begin(self, now: float) -> None:
        if self._allowance.begin(now):
            self._reservations.clear()
            period = self._allowance.total.period
            self._unmerged = {at: waiting for at, waiting in self._unmerged.items() if abs(at - period) < _KEPT_SLICES}
        self._reservations.expire(now)
