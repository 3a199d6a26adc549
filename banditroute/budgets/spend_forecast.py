"""Expected spend of every arm: from the belief, from what its calls really cost, and upper bounds of one call."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from banditroute.budgets.shadow_price import rearranged
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.request import Request

_AVERAGED_REQUESTS = 300  # over which the expected spend of an arm is averaged
_AVERAGED_CALLS = 50.0  # over which the spend of an arm's calls is averaged: prices change
_WITHIN_FACTOR = 3.0  # of an arm's average: a linear belief can expect less than nothing of a single request
_CALLS_UNTIL_TRUSTED = 20.0  # until then, what a belief expects of an arm comes from the other arms
_GUESS_FACTOR = 4.0  # of the most expensive known arm: what a first call of an unknown arm may cost
_GUESS_OF_BOUND = 0.25  # of its upper bound, where it has one
_GUESSED_CALLS = 4.0  # that spend so much, besides an arm's own, where few cheap calls must not promise too much
_TOKENS_PER_MESSAGE = 16.0  # that a provider adds to each, at most


class SpendForecast:
    """Expected spend of each of K arms in one objective, and the most that a call can cost.

    Parameters
    ----------
    objective
        ``"cost_usd"`` or ``"energy_joules"``.
    arms
        All K arms.
    state
        What ``state()`` returned before. Default: nothing is known.

    Attributes
    ----------
    now
        Expected spend of each arm for the latest request ``(K,)``.
    hopeful
        The same, as low as it may well be where few calls of an arm were seen ``(K,)``: 0 of one never called. What is
        not known well is priced by it, or an arm whose first call was expensive is never asked again.
    average
        Expected spend of each arm, averaged over about 300 requests ``(K,)``.
    """

    def __init__(self, *, objective: str, arms: Sequence[Arm], state: Mapping[str, Any] | None = None) -> None:
        self._objective = objective
        self._requests = 0
        self._arms: list[str] = []
        self.now: Vector = np.zeros(0)
        self.average: Vector = self.now
        self.hopeful: Vector = self.now
        self._known = np.zeros(0, dtype=bool)
        self._calls = {str(arm): (float(n), float(mean)) for arm, (n, mean) in (state or {}).items()}  # of each arm
        self.set_arms(arms)

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Forecast these arms from now on."""
        names = [arm.name for arm in arms]
        kept = [self._arms.index(name) if name in self._arms else None for name in names]
        self.now, self.average, self.hopeful = (
            rearranged(array, kept, 0.0) for array in (self.now, self.average, self.hopeful)
        )
        self._arms = names
        cost = self._objective == "cost_usd"
        self._informed = np.array(
            [self._objective in arm.expected or (cost and arm.priced) for arm in arms], dtype=bool
        )
        self._priced = np.array([cost and arm.priced for arm in arms], dtype=bool)
        self._known = self._informed.copy()
        self._max_cost = np.array([arm.max_cost_usd if cost and arm.max_cost_usd else np.inf for arm in arms])
        free = [cost and arm.max_cost_usd == 0.0 for arm in arms]
        self._max_cost[free] = 0.0
        prices = [
            (
                max(arm.input_usd_per_million_tokens or 0.0, arm.cache_write_usd_per_million_tokens or 0.0),
                arm.output_usd_per_million_tokens or 0.0,
            )
            if arm.priced
            else (np.inf, np.inf)
            for arm in arms
        ]
        self._token_prices = np.array(prices).reshape(len(arms), 2) / 1e6
        self._max_output = np.array([arm.max_output_tokens or np.inf for arm in arms], dtype=float)
        self._derive()

    def see(self, spends: Vector, outcomes: Vector) -> None:
        """Take in what the belief expects each arm to spend at a request, and on how many outcomes, each ``(K,)``."""
        self._requests += 1
        self.now = np.maximum(spends, self.average / _WITHIN_FACTOR)
        # Token prices say more than earlier calls, and so does a belief that rests on more calls than were seen here.
        own = (self._n > 0.0) & ~self._priced & (2.0 * self._n >= np.minimum(outcomes, _AVERAGED_CALLS))
        if own.any():
            within = 1.0 + (_WITHIN_FACTOR - 1.0) * np.minimum(self._n / _CALLS_UNTIL_TRUSTED, 1.0)
            self.now = np.where(own, np.clip(self.now, self._mean / within, self._mean * within), self.now)
        self._known = self._informed | (outcomes > 0) | (self._n > 0.0)
        self.average += (self.now - self.average) / min(self._requests, _AVERAGED_REQUESTS)
        if own.any():
            self.average = np.where(own, self._mean, self.average)
        calls = np.maximum(self._n, outcomes)
        sure = self._informed | (calls >= _CALLS_UNTIL_TRUSTED)
        self.hopeful = np.where(sure, self.now, self.now * (1.0 - 1.0 / (calls + 1.0)))

    def learn(self, arm: str, spent: float) -> None:
        """Take in what a call of ``arm`` really spent."""
        n, mean = self._calls.get(arm, (0.0, 0.0))
        n = min(n + 1.0, _AVERAGED_CALLS)
        self._calls[arm] = n, mean + (spent - mean) / n
        if arm in self._arms:
            k = self._arms.index(arm)
            self._n[k], self._mean[k] = self._calls[arm]

    def known(self, position: int) -> bool:
        """Return whether anything is known of the spend of an arm."""
        return bool(self._known[position])

    def at_risk(self, target: float) -> Vector:
        """Return what the latest request may spend with each arm ``(K,)``.

        It is at least the arm's average, since a call may cost more than is expected of it. Of an arm that was never
        called nothing is known: it is guessed to cost a quarter of its upper bound; without one, four times the most
        expensive known arm if a known arm keeps the ``target``, and else as little as the cheapest.
        """
        risk: Vector = np.maximum(self.now, self.average)
        if not self._known.all():
            means = self.average[self._known]
            certain = 1.0 + 1.0 / np.sqrt(np.maximum(self._n[self._known], 1.0))
            bounded = np.isfinite(self._max_cost)
            if len(means) and (means / certain).min() <= target:
                guess = np.full(len(risk), _GUESS_FACTOR * means.max())
            else:
                guess = np.full(len(risk), means.min() if len(means) else 0.0)
            guess[bounded] = _GUESS_OF_BOUND * self._max_cost[bounded]
            risk = np.where(self._known, risk, guess)
        return risk

    def cautious(self, at_risk: Vector) -> Vector:
        """Return ``at_risk (K,)`` plus its error where few calls of an arm were seen: as much again after one call."""
        cautious: Vector = np.where(self._known, at_risk * (1.0 + 1.0 / np.sqrt(np.maximum(self._n, 1.0))), at_risk)
        return cautious

    def guarded(self, position: int, bound: float) -> float:
        """Return the average spend of an arm's calls, with four more calls that spend a quarter of its ``bound``.

        A few cheap first calls then do not promise that the later ones are as cheap.
        """
        n, mean = float(self._n[position]), float(self._mean[position])
        return (n * mean + _GUESSED_CALLS * _GUESS_OF_BOUND * bound) / (n + _GUESSED_CALLS)

    def bounds(self, request: Request) -> Vector:
        """Return the most that a call of each arm can cost in dollars ``(K,)``; infinite where nothing bounds it."""
        if not self._by_tokens:
            return self._max_cost
        output = self._max_output
        if request.max_output_tokens is not None:
            output = np.minimum(output, request.max_output_tokens)
        tokens = most_input_tokens(request)
        if tokens is None:
            return self._max_cost
        with np.errstate(invalid="ignore"):  # a price of 0 for tokens without a bound
            cost = tokens * self._token_prices[:, 0] + output * self._token_prices[:, 1]
        bound: Vector = np.fmin(self._max_cost, cost)
        return bound

    def state(self) -> dict[str, list[float]]:
        """Return what is to be kept: of each arm the number of its calls, up to 50, and what they spent on average."""
        return {arm: list(pair) for arm, pair in self._calls.items()}

    def _derive(self) -> None:
        pairs = np.array([self._calls.get(arm, (0.0, 0.0)) for arm in self._arms]).reshape(len(self._arms), 2)
        self._n, self._mean = pairs[:, 0].copy(), pairs[:, 1].copy()
        self._by_tokens = bool(np.isfinite(self._token_prices).any())


def most_input_tokens(request: Request) -> float | None:
    """Return the most tokens that a request can have; None for ready features that nobody counted.

    A token is at least one byte of UTF-8.
    """
    if request.input_tokens is not None or request.text is None:
        return request.input_tokens
    texts = [text for _, text in request.messages] or [request.text]
    return math.fsum(len(text.encode("utf-8", "surrogatepass")) + _TOKENS_PER_MESSAGE for text in texts)
