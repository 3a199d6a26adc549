"""All budgets of a router together."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from banditroute.budgets.account import BudgetState, Reserved
from banditroute.budgets.budget import Budget, BudgetStatus
from banditroute.budgets.shadow_price import rearranged
from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.core.shared_total import SharedTotal

_AVERAGED = 300  # requests over which what an arm is expected to take is averaged
_LEAST_SHARE = 1.0 / 3.0  # of that average: a linear belief can expect less than nothing of single requests


class _Expected:
    """What each arm is expected to take of one objective, made plausible: no less than a third of its average."""

    def __init__(self, arms: int) -> None:
        self.now = np.zeros(arms)
        self.average = np.zeros(arms)
        self._seen = 0

    def see(self, spends: Vector) -> None:
        self._seen += 1
        self.now = np.maximum(spends, _LEAST_SHARE * self.average)
        self.average += (self.now - self.average) / min(self._seen, _AVERAGED)

    @property
    def at_risk(self) -> Vector:
        """At least the average: a call may turn out dearer than expected of it."""
        most: Vector = np.maximum(self.now, self.average)
        return most

    def set_arms(self, kept: Sequence[int | None]) -> None:
        self.now, self.average = (rearranged(array, kept, 0.0) for array in (self.now, self.average))


class BudgetBook:
    """Prices the arms by every budget that counts a request. Not thread-safe: the chooser holds a lock.

    Parameters
    ----------
    budgets
        What may be spent.
    arms
        Names of all K arms.
    blob
        What ``to_bytes`` gave before, in whichever process.
    tallies
        Budget, by its name -> what all processes have counted for it.
    add
        Adds to what all processes count for the budget of a name.

    Attributes
    ----------
    objectives
        What is counted, by name.
    """

    def __init__(
        self,
        *,
        budgets: Sequence[Budget],
        arms: Sequence[str],
        blob: bytes | None,
        tallies: Mapping[str, SharedTotal],
        add: Callable[[str, SharedTotal], object],
    ) -> None:
        kept = json.loads(blob or b"{}")
        self._accounts = {
            budget.name: BudgetState(
                budget=budget,
                arms=len(arms),
                state={name: float(value) for name, value in kept.get(budget.name, {}).get("state", {}).items()},
                tally=tallies.get(budget.name, SharedTotal()),
                add=lambda tally, name=budget.name: add(name, tally),  # type: ignore[misc]
            )
            for budget in budgets
        }
        self._arms = list(arms)
        self.objectives = sorted({budget.objective for budget in budgets})
        self._expected = {name: _Expected(len(arms)) for name in self.objectives}

    def set_arms(self, arms: Sequence[str]) -> None:
        """Price these arms from now on."""
        kept = [self._arms.index(arm) if arm in self._arms else None for arm in arms]
        for account in self._accounts.values():
            account.set_arms(kept)
        for expected in self._expected.values():
            expected.set_arms(kept)
        self._arms = list(arms)

    def count(self, tags: Collection[str]) -> bool:
        """Whether some budget counts a request with these tags."""
        return any(account.counts(tags) for account in self._accounts.values())

    @property
    def prices(self) -> tuple[float, ...]:
        """The shadow price of each budget."""
        return tuple(account.price for account in self._accounts.values())

    def pace(
        self,
        tags: Collection[str],
        utilities: Vector,
        stds: Vector,
        spends: Mapping[str, Vector],
        positions: Sequence[int],
        now: float,
    ) -> tuple[Vector, list[int]]:
        """What the budgets take off the utility of all arms ``(K,)``, and which of ``positions`` they can bear.

        Parameters
        ----------
        tags
            Of the request.
        utilities, stds
            What each of all arms is worth, and the standard deviation of that expectation ``(K,)``.
        spends
            Objective -> what each of them is expected to take ``(K,)``.
        positions
            Of the arms that may be chosen, at least one.
        """
        for objective, spend in spends.items():
            self._expected[objective].see(spend)
        counting = [
            (account, self._expected[account.budget.objective])
            for account in self._accounts.values()
            if account.counts(tags)
        ]
        left, off = list(positions), np.zeros(len(utilities))
        for account, expected in counting:
            off += account.price * expected.now
        for account, expected in counting:
            off -= account.price * expected.now  # each is priced as the others stand
            account.pace(utilities - off, stds, expected.now, positions, now)
            off += account.price * expected.now
            left = account.afford(expected.at_risk, left, now)
        return off, left

    def reserve(
        self,
        id: str,
        chosen: int,
        among: Sequence[str],
        probabilities: Vector,
        request: Request,
        now: float,
        by_tokens: tuple[float, float] | None,
    ) -> dict[str, Reserved]:
        """Enter a decision for the ``chosen``-th of the arms ``among``, as likely as ``probabilities`` say.

        ``by_tokens`` is what its input costs, and each token of its output; None where that is not known. Returns what
        each budget, by its name, has reserved.
        """
        positions = [self._arms.index(name) for name in among]
        found = {}
        for name, account in self._accounts.items():
            if account.counts(request.tags):
                expected = self._expected[account.budget.objective].now[positions]
                reserved = (float(expected[chosen]), *((account.budget.usd and by_tokens) or ()))
                account.reserve(id, reserved, expected, probabilities, now, again=request.again)
                found[name] = reserved
        return found

    def settle(
        self,
        id: str,
        reserved: Mapping[str, Reserved],
        values: Mapping[str, float],
        known: Collection[str],
        decided_at: float,
        now: float,
    ) -> None:
        """Enter what a request took, where the outcomes ``values`` say so and none of the ``known`` did before."""
        for name, account in self._accounts.items():
            if name in reserved:
                account.settle(id, reserved[name], values, known, decided_at, now)

    def hear(self, budget: str, joint: SharedTotal, added: SharedTotal) -> None:
        """Go on from what all processes have counted for the budget of that name, this one's ``added`` included."""
        self._accounts[budget].hear(joint, added)

    def spends(self, now: float) -> tuple[BudgetStatus, ...]:
        """How each budget stands."""
        return tuple(account.spend(now) for account in self._accounts.values())

    def to_bytes(self) -> bytes:
        """What to begin with another time beside the tallies, as JSON."""
        kept = {
            name: {"budget": asdict(account.budget), "state": account.state()}
            for name, account in self._accounts.items()
        }
        return json.dumps(kept).encode()


def recorded(blob: bytes, tallies: Mapping[str, SharedTotal], now: float) -> tuple[BudgetStatus, ...]:
    """How the budgets stand that a router kept, given what ``to_bytes`` gave and what all processes have counted."""
    budgets = [Budget(**kept["budget"]) for kept in json.loads(blob).values()]
    return BudgetBook(budgets=budgets, arms=[], blob=blob, tallies=tallies, add=lambda budget, tally: None).spends(now)
