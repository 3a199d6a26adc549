"""All budgets of a router together."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

import numpy as np

from banditroute.budgets.allowance import SessionSteps
from banditroute.budgets.budget import Budget, BudgetStatus
from banditroute.budgets.shadow_price import ShadowPrice
from banditroute.budgets.spend_forecast import SpendForecast
from banditroute.budgets.state import BudgetState, Reserved
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import BUDGET_TROUBLE
from banditroute.core.request import Request
from banditroute.core.shared_total import SharedTotal
from banditroute.core.token_costs import TokenCosts
from banditroute.core.validation import listed, shown
from banditroute.errors import InvalidConfigurationError

_KEY = " #"  # before the hash of a session, tenant or user in the name of its budget
_DRAWN = " drawn"  # ends the name of the total that processes have drawn of a hard budget
_KEPT_KEYS = 10_000  # sessions, tenants, users, ... whose budgets a process holds at once
_FORECASTS = "spend"  # names the calls of all arms in the stored state

AddTotal: TypeAlias = Callable[[str, SharedTotal], "SharedTotal | None"]
"""Adds to the shared total of a name; returns the sum if it is known at once."""


class Priced(NamedTuple):
    """Prices and admission of a request by all budgets.

    Attributes
    ----------
    penalties : (K,)
        What the shadow prices take off the utility of every arm.
    positions
        Of the arms that the budgets can bear, at least one.
    trouble
        Why the arm that is left is not covered by a hard budget; None if it is.
    excluded
        Position of an arm that a budget ruled out -> the reason.
    """

    penalties: Vector
    positions: list[int]
    trouble: str | None = None
    excluded: Mapping[int, str] = {}


class BudgetBook:
    """Prices the arms by every budget that counts a request. Not thread-safe: the engine holds a lock.

    Parameters
    ----------
    budgets
        What may be spent.
    arms
        All K arms.
    blob
        What ``to_bytes`` returned before, in any process.
    totals
        Name -> what all processes have counted, one total for each period.
    add
        Adds to what all processes count.

    Attributes
    ----------
    objectives
        The objectives that are counted.
    """

    def __init__(
        self,
        *,
        budgets: Sequence[Budget],
        arms: Sequence[Arm],
        blob: bytes | None,
        totals: Mapping[str, Sequence[SharedTotal]],
        add: AddTotal,
    ) -> None:
        self._stored = json.loads(blob or b"{}")
        self._totals = totals
        self._add = add
        self._budgets = {budget.name: budget for budget in budgets}
        self.objectives: list[str] = sorted({budget.objective for budget in budgets})
        self._hard = [budget for budget in budgets if budget.hard]
        calls = self._stored.get(_FORECASTS, {})
        self._forecasts = {
            name: SpendForecast(objective=name, arms=arms, state=calls.get(name)) for name in self.objectives
        }
        self._arms = [arm.name for arm in arms]
        self._prices = {
            name: ShadowPrice(
                arms=len(arms), price=_price(self._stored.get(name, {}).get("state", {})), curve=budget.keyed
            )
            for name, budget in self._budgets.items()
        }
        self._steps = {name: SessionSteps() for name in self._budgets}
        self._states = {name: self._open(name) for name, budget in self._budgets.items() if not budget.keyed}
        self._keyed: OrderedDict[str, BudgetState] = OrderedDict()  # the one used last comes last

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Price these arms from now on."""
        names = [arm.name for arm in arms]
        before = {name: position for position, name in enumerate(self._arms)}
        kept = [before.get(name) for name in names]
        for price in self._prices.values():
            price.set_arms(kept)
        for forecast in self._forecasts.values():
            forecast.set_arms(arms)
        self._arms = names

    def set_amount(self, name: str, amount: float) -> None:
        """Keep another amount from now on; what was counted stays.

        Raises
        ------
        InvalidConfigurationError
            If there is no budget of that name, or the amount is unusable.
        """
        if name not in self._budgets:
            raise InvalidConfigurationError(f"unknown budget {shown(name)}; known budgets: {listed(self._budgets)}")
        budget = self._budgets[name] = self._budgets[name].of(amount)
        for each, state in (*self._states.items(), *self._keyed.items()):
            if each == name or each.startswith(name + _KEY):
                state.set_budget(budget)
        self._hard = [each for each in self._budgets.values() if each.hard]

    def counts(self, request: Request) -> bool:
        """Return whether a budget counts this request."""
        return any(budget.key(request) is not None for budget in self._budgets.values())

    @property
    def prices(self) -> tuple[float, ...]:
        """The shadow price of each budget."""
        return tuple(price.price for price in self._prices.values())

    def prepare(self, now: float) -> bool:
        """Draw the first slices of the hard budgets; return whether there are any."""
        for budget in self._hard:
            if not budget.keyed:
                self._states[budget.name].prepare(now)
        return bool(self._hard)

    @property
    def has_hard_keys(self) -> bool:
        """True if a hard budget has keys: each key's first slice is drawn when its first request comes."""
        return any(budget.keyed for budget in self._hard)

    def awaits_first_slice(self, request: Request, now: float) -> bool:
        """Return whether the first slice of a key of this request is still on its way."""
        awaited = False
        for _, state in self._counting(request):
            if state.budget.hard and state.budget.keyed:
                awaited |= state.awaits_first_slice(now)  # each is asked for
        return awaited

    def price(
        self,
        request: Request,
        utilities: Vector,
        stds: Vector,
        spends: Mapping[str, Vector],
        outcomes: Mapping[str, Vector],
        positions: Sequence[int],
        now: float,
    ) -> Priced:
        """Return what the budgets take off the utility of all arms, and which of ``positions`` they can bear.

        Parameters
        ----------
        request
            The request.
        utilities, stds
            Expected utility of each of all arms, and the standard deviation of that expectation ``(K,)``.
        spends, outcomes
            Objective -> what each arm is expected to spend, and on how many outcomes that rests ``(K,)``.
        positions
            Of the arms that may be chosen, at least one.
        """
        for objective, spend in spends.items():
            self._forecasts[objective].see(spend, outcomes[objective])
        counting = self._counting(request)
        left, penalties = list(positions), np.zeros(len(utilities))
        excluded: dict[int, str] = {}
        parts = []
        for name, state in counting:
            parts.append(self._prices[name].price * self._hopeful(state.budget))
            penalties += parts[-1]
        for (name, state), part in zip(counting, parts, strict=True):
            expected = self._expected(state.budget)
            penalties -= part  # each budget is priced as the others stand
            price = state.price(utilities - penalties, stds, expected, positions, now)
            penalties += price * self._hopeful(state.budget)
            risk = self._forecasts[state.budget.objective].at_risk(state.target(now))
            affordable = state.affordable(self._of_its_arm(state.budget, risk), left, now)
            if state.budget.hard and len(affordable) < len(left):
                affordable = self._with_least_bound(affordable, left, request)
            if len(affordable) < len(left):
                reason = f"budgets: {name!r} cannot bear it at its pace"
                excluded.update((k, reason) for k in left if k not in affordable)
            left = affordable
        trouble = None
        hard = [state for _, state in counting if state.budget.hard] if self._hard else []
        if hard:
            covered, trouble = self._cover(hard, request, left, positions, now)
            names = " and ".join(repr(state.budget.name) for state in hard)
            excluded.update((k, f"budgets: {names} does not cover it") for k in left if k not in covered)
            left = covered
        return Priced(penalties, left, trouble, excluded)

    def fallback(self, request: Request, among: Sequence[str], arm: str, now: float) -> tuple[str, str | None]:
        """Return ``arm``, or the cheapest covered arm where a hard budget does not cover ``arm``; and why none is."""
        hard = [state for _, state in self._counting(request) if state.budget.hard] if self._hard else []
        if not hard:
            return arm, None
        positions = [self._arms.index(name) for name in among]
        left, trouble = self._cover(hard, request, [self._arms.index(arm)], positions, now)
        return self._arms[left[0]], trouble

    def refuse(self, request: Request, now: float, by_tokens: TokenCosts | None) -> dict[str, Reserved]:
        """Enter a request whose call is not to be made. It spends nothing, unless a report says that it did.

        A budget per request grants its amount for this request, too: else it would never recover.
        """
        found: dict[str, Reserved] = {}
        for name, state in self._counting(request):
            budget = state.budget
            found[name if not budget.keyed else self._keyed_name(budget, request)] = (
                0.0,
                *((budget.usd and by_tokens) or ()),
            )
            state.enter(0.0, now, again=request.again)
        return found

    def reserve(
        self,
        id: str,
        chosen: int,
        among: Sequence[str],
        probabilities: Vector,
        request: Request,
        now: float,
        by_tokens: TokenCosts | None,
    ) -> dict[str, Reserved]:
        """Enter a decision for the ``chosen``-th of the arms ``among``, which were drawn with ``probabilities``.

        ``by_tokens`` is what its tokens cost; None where that is not known. Returns what each budget, by its name, has
        reserved.
        """
        positions = [self._arms.index(name) for name in among]
        at = positions[chosen]
        found = {}
        for name, state in self._counting(request):
            budget = state.budget
            expected = self._expected(budget)[positions]
            forecast = self._forecasts[budget.objective]
            spend = float(expected[chosen])
            if not forecast.known(at):  # it may cost as much as the budget was asked to bear
                spend = max(spend, float(self._of_its_arm(budget, forecast.at_risk(state.target(now)))[at]))
            if budget.hard:
                bound = float(self._of_its_arm(budget, self._forecasts["cost_usd"].bounds(request))[at])
                amount = max(bound, spend) if np.isfinite(bound) else spend
            else:
                amount = spend
            if budget.arm is None or budget.arm == among[chosen]:
                reserved = (amount, *((budget.usd and by_tokens) or ()))
                found[name if not budget.keyed else self._keyed_name(budget, request)] = reserved
            else:
                reserved = (0.0,)  # what other arms spend does not count
            state.reserve(id, reserved, spend, float(probabilities @ expected), now, again=request.again)
        return found

    def settle(
        self,
        id: str,
        arm: str,
        reserved: Mapping[str, Reserved],
        values: Mapping[str, float],
        known: Collection[str],
        decided_at: float,
        now: float,
    ) -> None:
        """Enter what a request spent, where the outcomes ``values`` say so and none of the ``known`` did before."""
        for name, amounts in reserved.items():
            state = self._state(name)
            if state is not None:
                state.settle(id, arm, amounts, values, known, decided_at, now)

    def merge(self, name: str, joint: SharedTotal, added: SharedTotal) -> None:
        """Take over what all processes have counted under ``name``, this one's ``added`` included."""
        state = self._state(name.removesuffix(_DRAWN))
        if state is not None:
            (state.merge_drawn if name.endswith(_DRAWN) else state.merge)(joint, added)

    def status(self, now: float) -> tuple[BudgetStatus, ...]:
        """Return how each budget stands."""
        return tuple(
            self._states[name].status(now) if name in self._states else self._status_of_keys(budget, now)
            for name, budget in self._budgets.items()
        )

    def to_bytes(self) -> bytes:
        """Return what the next process begins with besides the totals, as JSON."""
        kept = {
            name: {
                "budget": asdict(budget),
                "state": self._states[name].state() if name in self._states else {"price": self._prices[name].price},
            }
            for name, budget in self._budgets.items()
        }
        calls = {name: forecast.state() for name, forecast in self._forecasts.items()}
        return json.dumps({**kept, _FORECASTS: calls}).encode()

    def close(self) -> None:
        """Give back what is left of the slices of hard budgets."""
        for state in (*self._states.values(), *self._keyed.values()):
            state.close()

    def _cover(
        self, hard: Sequence[BudgetState], request: Request, left: list[int], positions: Sequence[int], now: float
    ) -> tuple[list[int], str | None]:
        """Return the arms that all hard budgets cover: of those ``left``, else the cheapest of all ``positions``.

        Where no arm is covered, the cheapest with a bound is returned, and why.
        """
        covered = list(positions)
        short = None  # the first budget that leaves no arm
        for state in hard:
            bounds, risk = self._bounds_and_risk(state, request, now)
            fit = state.covered(bounds, risk, positions, left, now)
            covered = [k for k in covered if k in fit]
            short = short or (None if covered else state)
        bounds, risk = self._bounds_and_risk(short or hard[0], request, now)
        if short is None:
            return [k for k in left if k in covered] or [min(covered, key=lambda k: risk[k])], None
        short.uncovered += 1
        why = "no arm has an upper bound of its cost: give max_output_tokens, or Arm(max_cost_usd=...)"
        if any(np.isfinite(bounds[k]) for k in positions):
            why = "what is drawn of it covers no arm; do not make the call"
        cheapest = min(positions, key=lambda k: (np.isinf(bounds[k]), risk[k]))
        return [cheapest], f"{BUDGET_TROUBLE}{short.budget.name!r}: {why}"

    def _with_least_bound(self, affordable: list[int], left: Sequence[int], request: Request) -> list[int]:
        """Return the arms ``affordable`` and the one of those ``left`` with the lowest upper bound.

        One unlucky first call must not rule out the arm that a hard budget is safest with.
        """
        bounds = self._forecasts["cost_usd"].bounds(request)
        least = min(left, key=lambda k: bounds[k])
        return affordable if least in affordable else [k for k in left if k in affordable or k == least]

    def _bounds_and_risk(self, state: BudgetState, request: Request, now: float) -> tuple[Vector, Vector]:
        """Return the most that a call of each arm can cost of a budget, and what it may well cost, each ``(K,)``."""
        forecast = self._forecasts["cost_usd"]
        bounds, risk = forecast.bounds(request), forecast.at_risk(state.target(now))
        return self._of_its_arm(state.budget, bounds), self._of_its_arm(state.budget, risk)

    def _counting(self, request: Request) -> list[tuple[str, BudgetState]]:
        """Return the budgets that count a request: the name of the budget without its key, and its state."""
        found = []
        for name, budget in self._budgets.items():
            key = budget.key(request)
            if key is not None:
                state = self._states[name] if not budget.keyed else self._state(self._keyed_name(budget, request))
                if state is not None:
                    found.append((name, state))
        return found

    def _state(self, name: str) -> BudgetState | None:
        """Return the state of a budget by its name with its key; one with a new key is opened."""
        if name in self._states:
            return self._states[name]
        base, hashed, _ = name.rpartition(_KEY)
        if not hashed or base not in self._budgets or not self._budgets[base].keyed:
            return None
        if name in self._keyed:
            self._keyed.move_to_end(name)
            return self._keyed[name]
        state = self._keyed[name] = self._open(name, base)
        if len(self._keyed) > _KEPT_KEYS:
            self._keyed.popitem(last=False)[1].close()
        return state

    def _open(self, name: str, base: str | None = None) -> BudgetState:
        base = name if base is None else base
        budget = self._budgets[base]
        return BudgetState(
            budget=budget,
            price=self._prices[base],
            forecast=self._forecasts[budget.objective],
            steps=self._steps[base],
            state=self._stored.get(base, {}).get("state", {}),
            totals=self._totals.get(name, ()),
            add=lambda total: self._add(name, total),
            add_drawn=lambda total: self._add(name + _DRAWN, total),
        )

    def _keyed_name(self, budget: Budget, request: Request) -> str:
        """Return the name of a budget with its key, which is hashed: it may name a person."""
        key = budget.key(request) or ""
        return f"{budget.name}{_KEY}{blake2b(key.encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}"

    def _expected(self, budget: Budget) -> Vector:
        return self._of_its_arm(budget, self._forecasts[budget.objective].now)

    def _hopeful(self, budget: Budget) -> Vector:
        return self._of_its_arm(budget, self._forecasts[budget.objective].hopeful)

    def _of_its_arm(self, budget: Budget, spends: Vector) -> Vector:
        """Return the spend that a budget counts: all, or of its arm alone."""
        if budget.arm is None:
            return spends
        counted: Vector = np.where([name == budget.arm for name in self._arms], spends, 0.0)
        return counted

    def _status_of_keys(self, budget: Budget, now: float) -> BudgetStatus:
        each = [state.status(now) for name, state in self._keyed.items() if name.startswith(budget.name + _KEY)]
        none = BudgetStatus(
            budget=budget,
            requests=0,
            spent=0.0,
            reserved=0.0,
            granted=0.0,
            shadow_price=self._prices[budget.name].price,
        )
        return replace(
            none,
            requests=sum(one.requests for one in each),
            spent=sum(one.spent for one in each),
            reserved=sum(one.reserved for one in each),
            granted=sum(one.granted for one in each),
            above_bound=sum(one.above_bound for one in each),
            uncovered=sum(one.uncovered for one in each),
        )


def recorded(blob: bytes, totals: Mapping[str, Sequence[SharedTotal]], now: float) -> tuple[BudgetStatus, ...]:
    """Return how a router's budgets stand, given what ``to_bytes`` returned and what all processes have counted."""
    budgets = recorded_budgets(blob)
    return BudgetBook(budgets=budgets, arms=[], blob=blob, totals=totals, add=lambda name, total: total).status(now)


def recorded_budgets(blob: bytes) -> list[Budget]:
    """Return a router's budgets, given what ``to_bytes`` returned."""
    return [Budget(**kept["budget"]) for name, kept in json.loads(blob).items() if name != _FORECASTS]


def _price(state: Mapping[str, object]) -> float | None:
    price = state.get("price")
    return None if price is None else float(price)  # type: ignore[arg-type]
