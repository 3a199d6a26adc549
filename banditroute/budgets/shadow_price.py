"""The shadow price: the price of spend at which requests like the latest ones spend what they may.

It keeps the utility and the expected spend of every arm for the latest requests. By bisection it finds the price at
which choosing the arms with the highest ``utility - price x spend`` spends the target on average. This is a
model-predictive form of the dual of a budget; its step-by-step form, as in Balseiro and Gur 2019, "Learning in repeated
auctions with budgets", needs a step size and wanders.

The utility of an arm is drawn once from the belief, as in Thompson sampling: exploration pays its part of a budget,
too, and the more the more the arm costs. The spend of a policy that explores otherwise is averaged, and the difference
is taken off the target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from banditroute.core.arrays import Vector

_WINDOW = 300  # requests
_FIRST_PRICE = 1e-3  # points of utility for the largest spend: where a search begins
_LEAST_SPEND = 1e-12  # dollars or joules: less counts as nothing
_BIAS_REQUESTS = 100.0  # over which the spend beyond the plan is averaged
_DRAWS = 64  # of the utilities of a request
_SEARCH_REQUESTS = 10  # from one search to the next
_STEPS = 10  # of a bisection within a factor of 4: to a thousandth
_FEASIBLE = 1.02  # of the spend of the cheapest arms: below it there is no price, only the cheapest arm
_AS_CHEAP = 1.1  # of the expected spend of the cheapest arm
_CURVE_PRICES = 30  # of a curve from price to spend, each twice the last


class ShadowPrice:
    """The price of one budget.

    Parameters
    ----------
    arms
        K, the number of arms.
    price
        The price until enough requests were seen.
    curve
        Whether ``at()`` is used: then the spend is found for a range of prices, too.

    Attributes
    ----------
    price
        Points of utility for one unit of spend, at least 0.
    strict
        Whether no price is high enough: only what is as cheap as the cheapest arm may be chosen.

    Examples
    --------
    >>> shadow = ShadowPrice(arms=2)
    >>> for gain in (0.1, 0.3):  # of the second arm, which spends 10 instead of 1
    ...     worth, spends = np.array([0.5, 0.5 + gain]), np.array([1.0, 10.0])
    ...     shadow.observe(worth, np.zeros(2), spends, [0, 1], target=5.5)
    >>> 0.1 / 9 < shadow.price < 0.3 / 9  # too high for the first request only
    True
    """

    def __init__(self, *, arms: int, price: float | None = None, curve: bool = False) -> None:
        self.price: float = price or 0.0
        self.strict: bool = False
        self._feasible = 0.0
        self._bias = self._planned = 0.0
        self._chosen: Vector = np.zeros(0, dtype=int)
        self._left: Sequence[int] = ()
        self._draws = np.random.default_rng(0).standard_normal((_DRAWS, arms))
        self._utilities = np.empty((_WINDOW, arms))
        self._spends = np.empty((_WINDOW, arms))
        self._seen = 0
        self._curve: tuple[Vector, Vector] | None = None  # rising prices, and the spend at each
        self._wants_curve = curve
        self._trusted = (
            0 if price is None else _WINDOW // _SEARCH_REQUESTS
        )  # requests for which the price is taken as it is

    def set_arms(self, kept: Sequence[int | None]) -> None:
        """Price other arms from now on, given the positions that they had before, None for a new one."""
        self._draws = np.random.default_rng(0).standard_normal((_DRAWS, len(kept)))
        self._utilities = rearranged(self._utilities, kept, -np.inf)
        self._spends = rearranged(self._spends, kept, 0.0)

    def observe(self, utilities: Vector, stds: Vector, spends: Vector, positions: Sequence[int], target: float) -> None:
        """Take in a request, and search for the price if it is time.

        Parameters
        ----------
        utilities, stds
            Expected utility of each arm, less the prices of other budgets, and its standard deviation ``(K,)``.
        spends
            Expected spend of each arm ``(K,)``, at least 0.
        positions
            Of the arms that may be chosen, at least one.
        target
            What each of the next requests may spend on average.
        """
        row = self._seen % _WINDOW
        self._drawn = utilities + stds * self._draws
        self._utilities[row] = self._drawn[self._seen % _DRAWS]
        if len(positions) < len(utilities):
            self._utilities[row, [k for k in range(len(utilities)) if k not in positions]] = -np.inf
        self._spends[row] = spends
        self._seen += 1
        if self._seen > self._trusted and (self._seen <= 2 * _SEARCH_REQUESTS or self._seen % _SEARCH_REQUESTS == 0):
            self._search(target)

    def afford(self, spends: Vector, positions: Sequence[int], most: float) -> list[int]:
        """Return those of ``positions`` that spend at most ``most``, or little more than the cheapest of them."""
        least = _AS_CHEAP * min(spends[k] for k in positions)
        most = least if self.strict else max(most, least)
        left = [k for k in positions if spends[k] <= most]
        drawn, expected = self._drawn, self._spends[(self._seen - 1) % _WINDOW]
        if len(left) < len(expected):
            drawn, expected = drawn[:, left], expected[left]
        chosen = (drawn - self.price * expected).argmax(axis=1)
        self._planned = float(expected[chosen].sum()) / _DRAWS
        self._chosen, self._left = chosen, left
        return left

    @property
    def planned_arms(self) -> Vector:
        """Position of the arm that each draw of the latest request chooses among those that ``afford`` returned."""
        positions: Vector = np.asarray(self._left)[self._chosen]
        return positions

    def learn(self, spend: float) -> None:
        """Take in the expected spend of the latest request, averaged over the probabilities of its arms."""
        self._bias += (spend - self._planned - self._bias) / _BIAS_REQUESTS

    def at(self, target: float) -> float:
        """Return the price for another ``target``, from the curve of the last search.

        The price on the curve's next higher point is close enough: each key of a budget has few requests.
        """
        if self._curve is None:
            return self.price
        self.strict = target < self._feasible
        prices, taken = self._curve
        within = np.flatnonzero(taken <= target)
        return float(prices[within[0]] if len(within) else prices[-1])

    def _search(self, target: float) -> None:
        count = min(self._seen, _WINDOW)
        utilities, spends, rows = self._utilities[:count], self._spends[:count], np.arange(count)

        def taken(price: float) -> float:
            chosen = (utilities - price * spends).argmax(axis=1)
            return float(spends[rows, chosen].mean())

        if self._wants_curve:
            first = _FIRST_PRICE / max(float(spends.max()), _LEAST_SPEND)
            prices = np.concatenate([[0.0], first * 2.0 ** np.arange(_CURVE_PRICES)])
            self._curve = prices, np.array([taken(price) for price in prices])
        least = _FEASIBLE * float(np.where(np.isinf(utilities), np.inf, spends).min(axis=1).mean())
        self._feasible = least
        self.strict = target < least
        target = max(target - self._bias, least)
        low, high = 0.0, max(self.price, _FIRST_PRICE / max(float(spends.max()), _LEAST_SPEND))
        if taken(0.0) <= target:
            self.price = 0.0
            return
        while taken(high) > target and high < 1e15:
            low, high = high, 4.0 * high
        if low == 0.0:
            low = high / 4.0
            while taken(low) <= target:
                low, high = low / 4.0, low
        for _ in range(_STEPS):
            middle = math.sqrt(low * high)
            low, high = (low, middle) if taken(middle) <= target else (middle, high)
        self.price = high


def rearranged(array: Vector, kept: Sequence[int | None], new: float) -> Vector:
    """Return the columns of ``array`` that are ``kept``, with ``new`` in place of every None.

    Examples
    --------
    >>> rearranged(np.array([1.0, 2.0, 3.0]), [2, None, 0], 0.0)
    array([3., 0., 1.])
    """
    moved = np.full((*array.shape[:-1], len(kept)), new)
    for at, before in enumerate(kept):
        if before is not None:
            moved[..., at] = array[..., before]
    return moved
