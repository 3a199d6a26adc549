"""Budgets: how much may be spent, and what a user sees of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from banditroute.core.validation import label, number, plain_numbers
from banditroute.errors import InvalidConfigurationError

_SECONDS = {"hour": 3600.0, "day": 86400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Money or energy that requests may take, on what they really took.

    Each request counts from the moment it is routed: first with what it is expected to take, then with what feedback
    reports, or for good as expected where nothing is reported in time. It is kept by a *shadow price*: what the request
    is expected to take, times that price, is taken off the utility of each arm. Where even the cheapest arm is too dear
    for it, the cheapest arm is used.

    Parameters
    ----------
    usd, joules
        How much, above 0; exactly one of them.
    per
        ``"request"``: on average over the requests. ``"hour"``, ``"day"``: in each hour or day of Unix time; what is
        left of one is not carried into the next.
    tag
        Counts only requests with this tag; None: all.
    settle_seconds
        How long feedback is waited for, above 0; later reports are learned from, and change the spend no more.

    Raises
    ------
    InvalidConfigurationError
        For both amounts or neither, and for a number, period or tag that cannot be.

    Examples
    --------
    >>> Budget(usd=20.0, per="day", tag="batch").objective
    'cost_usd'
    """

    usd: float | None = None
    joules: float | None = None
    per: Literal["request", "hour", "day"] = "request"
    tag: str | None = None
    settle_seconds: float = 600.0

    def __post_init__(self) -> None:
        plain_numbers(self)
        if (self.usd is None) == (self.joules is None):
            raise InvalidConfigurationError(
                f"a budget is in money or in energy, got usd={self.usd!r} and joules={self.joules!r}; give one of them"
            )
        for name in ("usd", "joules", "settle_seconds"):
            value = getattr(self, name)
            if value is not None and number(value, name=name, error=InvalidConfigurationError) <= 0.0:
                raise InvalidConfigurationError(f"{name} of a budget is {value!r}; give a number above 0")
        if self.per != "request" and self.per not in _SECONDS:
            raise InvalidConfigurationError(f"per of a budget is {self.per!r}; give 'request', 'hour' or 'day'")
        if self.tag is not None:
            label(self.tag, name="tag of a budget", error=InvalidConfigurationError)

    @property
    def amount(self) -> float:
        """How much, in dollars or joules."""
        return float(self.usd if self.usd is not None else self.joules or 0.0)

    @property
    def objective(self) -> str:
        """What is counted: ``cost_usd`` or ``energy_joules``."""
        return "cost_usd" if self.usd is not None else "energy_joules"

    @property
    def name(self) -> str:
        """What it is recorded under: another amount continues it."""
        return " ".join([self.objective, "per", self.per, *([] if self.tag is None else [self.tag])])

    @property
    def seconds(self) -> float | None:
        """Length of the period; None where requests are counted."""
        return _SECONDS.get(self.per)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """How a budget stands; amounts in dollars or joules.

    Attributes
    ----------
    budget
        Which budget.
    requests
        How many requests were counted: in this hour or day, or ever.
    spent
        What those of them took that are settled, and what those that other processes made are expected to take.
    reserved
        What those are expected to take that this process made and nobody has reported yet.
    granted
        What the budget allowed until now: its amount for each request, or for the part of the hour or day that is over.
    shadow_price
        Points of utility that one more dollar or joule must buy; 0 where the budget does not bind.

    Examples
    --------
    >>> from banditroute import Router
    >>> router = Router(arms=["small", "large"], features=1, budgets=[Budget(usd=0.01)], seed=0)
    >>> router.feedback(router.route([0.5]).id, cost_usd=0.005)
    >>> (spend,) = router.budgets
    >>> spend.requests, spend.spent, spend.pace
    (1, 0.005, 0.5)
    """

    budget: Budget
    requests: int
    spent: float
    reserved: float
    granted: float
    shadow_price: float

    @property
    def pace(self) -> float:
        """Share of what was granted that is spent or reserved; above 1 where the budget is overdrawn."""
        return (self.spent + self.reserved) / self.granted if self.granted > 0.0 else 0.0
