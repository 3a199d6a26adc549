"""Budgets: what may be spent, and how a budget stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from banditroute.budgets.periods import PERIODS
from banditroute.core.arm import Arm
from banditroute.core.request import Request
from banditroute.core.validation import flag, label, number, plain_numbers, shown
from banditroute.errors import InvalidConfigurationError

_JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Money or energy that requests may spend, counted by what they really spent.

    Each request counts from the moment it is routed: first with what it is expected to spend, then with what feedback
    reports. What nobody reports in time stays counted as expected. A *shadow price* keeps the budget: the router takes
    ``shadow price x expected spend`` off the utility of each arm. Where every arm is too expensive, the cheapest is
    used.

    Parameters
    ----------
    usd, joules, grams
        How much, above 0; exactly one of them. Grams are of CO2 equivalent, counted from the joules that are reported.
    per
        ``"request"``: on average over the requests. ``"hour"``, ``"day"``, ``"week"`` (from Monday), ``"month"``: in
        each of them, in UTC; what is left of one is not carried into the next. ``"session"``: for each session, a
        wallet for one task.
    hard
        Whether the spend must never exceed what was granted. Then each open decision reserves an upper bound of its
        cost (``Arm(max_cost_usd=...)``, or token prices with ``max_output_tokens``), and an arm is eligible only if
        its bound is covered. In dollars.
    tag
        Counts only requests with this tag. Default: all.
    arm
        Counts only requests that this arm serves. Default: all.
    each
        Gives every value of this name in a request's ``metadata``, such as ``"tenant"`` or ``"user"``, a budget of its
        own. Requests without it are not counted.
    settle_seconds
        How long feedback is waited for, above 0. Later reports are learned from, and no longer change the spend.
    grams_per_kwh
        Carbon intensity of the grid, above 0; with ``grams`` only, and then needed.

    Raises
    ------
    InvalidConfigurationError
        If several amounts are given or none, if a value is unusable, or if ``hard`` cannot be kept.

    Examples
    --------
    >>> Budget(usd=20.0, per="day", tag="batch").objective
    'cost_usd'
    >>> Budget(grams=100.0, grams_per_kwh=400.0, per="day").amount  # a quarter of a kWh, in joules
    900000.0
    """

    usd: float | None = None
    joules: float | None = None
    per: Literal["request", "hour", "day", "week", "month", "session"] = "request"
    hard: bool = False
    tag: str | None = None
    arm: str | None = None
    each: str | None = None
    settle_seconds: float = 600.0
    grams: float | None = None
    grams_per_kwh: float | None = None

    def __post_init__(self) -> None:
        error = InvalidConfigurationError
        plain_numbers(self)
        if sum(each is not None for each in (self.usd, self.joules, self.grams)) != 1:
            carbon = "" if self.grams is None else f" and grams={self.grams!r}"
            raise error(
                f"a budget is in money or in energy, got usd={self.usd!r} and joules={self.joules!r}{carbon}; give one "
                "of them"
            )
        if (self.grams is None) != (self.grams_per_kwh is None):
            raise error(
                f"a budget of carbon needs both, got grams={self.grams!r} and grams_per_kwh={self.grams_per_kwh!r}; "
                "give the intensity of your grid too"
            )
        for name in ("usd", "joules", "settle_seconds", "grams", "grams_per_kwh"):
            value = getattr(self, name)
            if value is not None and number(value, name=name, error=error) <= 0.0:
                raise error(f"{name} of a budget is {value!r}; give a number above 0")
        if self.per not in ("request", "session", *PERIODS):
            raise error(
                f"per of a budget is {shown(self.per)}; give 'request', 'hour', 'day', 'week', 'month' or 'session'"
            )
        for name in ("tag", "arm", "each"):
            if getattr(self, name) is not None:
                label(getattr(self, name), name=f"{name} of a budget", error=error)
        flag(self.hard, name="hard of a budget", error=error)
        if self.hard and self.usd is None:
            raise error("a hard budget is in dollars: arms have no upper bound of their energy; give usd=...")
        if self.each is not None and self.per == "session":
            raise error("a budget per session has one key; leave out each=")

    @property
    def amount(self) -> float:
        """How much, in dollars or joules."""
        if self.grams is not None and self.grams_per_kwh is not None:
            return self.grams / self.grams_per_kwh * _JOULES_PER_KWH
        return float(self.usd if self.usd is not None else self.joules or 0.0)

    def of(self, amount: float) -> Budget:
        """Return this budget of another amount, in its own unit: dollars, joules or grams.

        Examples
        --------
        >>> Budget(usd=20.0, per="day").of(30.0).usd
        30.0
        """
        unit = next(name for name in ("usd", "joules", "grams") if getattr(self, name) is not None)
        changed: dict[str, Any] = {unit: amount}
        return replace(self, **changed)

    @property
    def objective(self) -> str:
        """The objective that is counted: ``cost_usd`` or ``energy_joules``."""
        return "cost_usd" if self.usd is not None else "energy_joules"

    @property
    def name(self) -> str:
        """The name that it is recorded under: a budget with another amount continues it."""
        parts = [self.objective, "per", self.per, *([] if self.tag is None else [self.tag])]
        parts += [f"{name}={value}" for name in ("arm", "each") if (value := getattr(self, name)) is not None]
        return " ".join(parts)

    @property
    def keyed(self) -> bool:
        """True if every session, tenant, user, ... has a budget of its own."""
        return self.per == "session" or self.each is not None

    def key(self, request: Request) -> str | None:
        """Return whose budget a request counts in: ``""`` where there is one for all; None if it counts in none."""
        if self.tag is not None and self.tag not in request.tags:
            return None
        if self.per == "session":
            return request.session
        if self.each is not None:
            value = request.metadata.get(self.each)
            return None if value is None else str(value)
        return ""


def check_budgets(budgets: Sequence[Budget], arms: Sequence[Arm]) -> None:
    """Raise InvalidConfigurationError unless the budgets count different things, and hard ones can be kept."""
    if not isinstance(budgets, Sequence) or not all(isinstance(budget, Budget) for budget in budgets):
        raise InvalidConfigurationError(f"budgets is {budgets!r}; give a list, [Budget(usd=20.0)]")
    names = [budget.name for budget in budgets]
    for budget in budgets:
        if names.count(budget.name) > 1:
            raise InvalidConfigurationError(
                f"two budgets count {budget.objective} per {budget.per} with tag {budget.tag!r}; give one of them"
            )
        if budget.hard and not any(arm.max_cost_usd is not None or arm.priced for arm in arms):
            raise InvalidConfigurationError(
                f"budget {budget.name!r} is hard, and no arm has an upper bound of its cost; give "
                "Arm(max_cost_usd=...), or token prices and max_output_tokens"
            )
        if budget.arm is not None and budget.arm not in [arm.name for arm in arms]:
            known = ", ".join(arm.name for arm in arms)
            raise InvalidConfigurationError(f"a budget names the unknown arm {budget.arm!r}; known arms: {known}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """How a budget stands; amounts in dollars or joules.

    Attributes
    ----------
    budget
        Which budget. Of one with keys, such as a budget per session, all keys of this process together.
    requests
        How many requests were counted: in this period, or ever.
    spent
        What the settled requests spent, and what requests of other processes are expected to spend.
    reserved
        What the open requests of this process are expected to spend; under a hard budget, their upper bounds.
    granted
        What was granted until now: the amount for each request, or for the part of the period that is over. A hard
        budget grants a period's amount at its beginning, and the first 200 requests' worth at once.
    shadow_price
        Points of utility that one more dollar or joule must buy; 0 where the budget does not bind.
    expected_requests
        How many more requests are expected in this period; None where that is unknown.
    above_bound
        Hard budgets: calls that cost more than their own upper bound, or were made although they were not granted, in
        this process.
    uncovered
        Hard budgets: requests for which no arm was covered, in this process. Their decisions are not ``granted``.

    Examples
    --------
    >>> from banditroute import Router
    >>> router = Router(arms=["small", "large"], features=1, budgets=[Budget(usd=0.01)], seed=0)
    >>> _ = router.feedback(router.route([0.5]).id, cost_usd=0.005)
    >>> (status,) = router.status().budgets
    >>> status.requests, status.spent, status.pace
    (1, 0.005, 0.5)
    """

    budget: Budget
    requests: int
    spent: float
    reserved: float
    granted: float
    shadow_price: float
    expected_requests: float | None = None
    above_bound: int = 0
    uncovered: int = 0

    @property
    def pace(self) -> float:
        """Share of what was granted that is spent or reserved; above 1 where the budget is overdrawn."""
        return (self.spent + self.reserved) / self.granted if self.granted > 0.0 else 0.0
