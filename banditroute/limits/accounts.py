"""All budgets of a router together."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from banditroute.limits.account import Account
from banditroute.limits.budget import Budget, Spend
from banditroute.types import Vector


class Accounts:
    """Prices the arms by every budget that counts a request. Not thread-safe: the chooser holds a lock.

    Parameters
    ----------
    budgets
        What may be spent.
    arms
        Names of all K arms.
    blob
        What ``to_bytes`` gave before.

    Attributes
    ----------
    objectives
        What is counted, by name.
    """

    def __init__(self, *, budgets: Sequence[Budget], arms: Sequence[str], blob: bytes | None = None) -> None:
        kept = json.loads(blob or b"{}")
        self._accounts = [Account(budget=budget, arms=len(arms), state=kept.get(_key(budget))) for budget in budgets]
        self._arms = list(arms)
        self.objectives = sorted({budget.objective for budget in budgets})

    def set_arms(self, arms: Sequence[str]) -> None:
        """Price these arms from now on."""
        kept = [self._arms.index(arm) if arm in self._arms else None for arm in arms]
        for account in self._accounts:
            account.set_arms(kept)
        self._arms = list(arms)

    def count(self, tags: Collection[str]) -> bool:
        """Whether some budget counts a request with these tags."""
        return any(account.counts(tags) for account in self._accounts)

    def pace(
        self,
        tags: Collection[str],
        utilities: Vector,
        spreads: Vector,
        spends: Mapping[str, Vector],
        positions: Sequence[int],
        now: float,
    ) -> tuple[Vector, list[int]]:
        """What the budgets take off the utility of all arms ``(K,)``, and which of ``positions`` they can bear.

        Parameters
        ----------
        tags
            Of the request.
        utilities, spreads
            What each of all arms is worth, and the standard deviation of that expectation ``(K,)``.
        spends
            Objective -> what each of them is expected to take ``(K,)``.
        positions
            Of the arms that may be chosen, at least one.
        """
        accounts = [account for account in self._accounts if account.counts(tags)]
        expected = [account.expect(spends[account.budget.objective]) for account in accounts]
        left, off = list(positions), np.zeros(len(utilities))
        for account, spend in zip(accounts, expected, strict=True):
            off += account.price * spend
        for account, spend in zip(accounts, expected, strict=True):
            off -= account.price * spend  # each is priced as the others stand
            account.pace(utilities - off, spreads, positions, now)
            off += account.price * spend
            left = account.afford(left, now)
        return off, left

    def reserve(
        self,
        id: str,
        chosen: int,
        among: Sequence[str],
        probabilities: Vector,
        tags: Collection[str],
        now: float,
        by_tokens: tuple[float, float] | None,
    ) -> None:
        """Enter a decision for the ``chosen``-th of the arms ``among``, as likely as ``probabilities`` say.

        ``by_tokens`` is as in ``Ledger.reserve``.
        """
        positions = [self._arms.index(name) for name in among]
        for account in self._accounts:
            if account.counts(tags):
                account.reserve(id, chosen, positions, probabilities, now, by_tokens)

    def settle(self, id: str, values: Mapping[str, float], now: float) -> None:
        """Enter what a request took, where the outcomes ``values`` say so."""
        for account in self._accounts:
            account.settle(id, values, now)

    def spends(self, now: float) -> tuple[Spend, ...]:
        """How each budget stands."""
        return tuple(account.spend(now) for account in self._accounts)

    def to_bytes(self) -> bytes:
        """What to begin with another time, as JSON."""
        return json.dumps({_key(account.budget): account.state() for account in self._accounts}).encode()


def _key(budget: Budget) -> str:
    """What an account is kept under: another amount continues it."""
    return f"{budget.objective} per {budget.per} {budget.tag or ''}"
