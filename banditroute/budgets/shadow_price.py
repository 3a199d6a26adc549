"""The pacer: the price at which requests like the latest ones take what they may.

Of the latest requests it keeps what each arm was worth and expected to take, and looks by bisection for the price at
which choosing the arms with the highest ``utility - price x spend`` takes the target on average (a model-predictive
form of the dual of a budget; its step-by-step form, as in Balseiro and Gur 2019, "Learning in repeated auctions with
budgets", needs a step size and wanders).

What an arm was worth is drawn once from what was believed of it, as in Thompson sampling: exploration takes its part of
a budget too, the more the dearer the arm. What a policy that explores otherwise takes beyond that, or leaves, is
averaged and taken off the target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from banditroute.core.arrays import Vector

_WINDOW = 300  # requests
_FIRST = 1e-3  # points of utility for the largest spend: where a search begins
_NOTHING = 1e-12  # dollars or joules: what no price can tell from a gift
_BIASED = 100.0  # requests over which it is averaged what they take beyond the plan
_DRAWS = 64  # of what the arms of a request are worth
_EVERY = 10  # requests from one search to the next
_STEPS = 10  # of a bisection within a factor of 4: to a thousandth
_LEAST = 1.02  # of what the cheapest arms take: below it there is no price, only the cheapest arm
_SAME = 1.1  # of what the cheapest arm is expected to take: as cheap


class ShadowPrice:
    """The price of one budget.

    Parameters
    ----------
    arms
        K, how many there are.
    price
        To begin with, until enough requests were seen.

    Attributes
    ----------
    price
        Points of utility for one unit of spend, at least 0.
    strict
        Whether no price is high enough: only what is as cheap as the cheapest arm may be chosen.

    Examples
    --------
    >>> pacer = ShadowPrice(arms=2)
    >>> for gain in (0.1, 0.3):  # of the second arm, which takes 10 instead of 1
    ...     worth, spends = np.array([0.5, 0.5 + gain]), np.array([1.0, 10.0])
    ...     pacer.observe(worth, np.zeros(2), spends, [0, 1], target=5.5)
    >>> 0.1 / 9 < pacer.price < 0.3 / 9  # dear enough for the first request, not for the second
    True
    """

    def __init__(self, *, arms: int, price: float | None = None) -> None:
        self.price = price or 0.0
        self.strict = False
        self._bias = self._planned = 0.0
        self._draws = np.random.default_rng(0).standard_normal((_DRAWS, arms))
        self._utilities = np.empty((_WINDOW, arms))
        self._spends = np.empty((_WINDOW, arms))
        self._seen = 0
        self._trusted = 0 if price is None else _WINDOW // _EVERY  # requests for which the price is taken as it is

    def set_arms(self, kept: Sequence[int | None]) -> None:
        """Price other arms from now on, given the positions that they had before, None for a new one."""
        self._draws = np.random.default_rng(0).standard_normal((_DRAWS, len(kept)))
        self._utilities = rearranged(self._utilities, kept, -np.inf)
        self._spends = rearranged(self._spends, kept, 0.0)

    def observe(self, utilities: Vector, stds: Vector, spends: Vector, positions: Sequence[int], target: float) -> None:
        """See a request.

        Parameters
        ----------
        utilities, stds
            What each of all arms is worth, less what other budgets price, and the standard deviation of that
            expectation ``(K,)``.
        spends
            What each of them is expected to take ``(K,)``, at least 0.
        positions
            Of the arms that may be chosen, at least one.
        target
            What the next requests may take, each on average.
        """
        row = self._seen % _WINDOW
        self._drawn = utilities + stds * self._draws
        self._utilities[row] = self._drawn[self._seen % _DRAWS]
        if len(positions) < len(utilities):
            self._utilities[row, [k for k in range(len(utilities)) if k not in positions]] = -np.inf
        self._spends[row] = spends
        self._seen += 1
        if self._seen > self._trusted and (self._seen <= 2 * _EVERY or self._seen % _EVERY == 0):
            self._search(target)

    def afford(self, spends: Vector, positions: Sequence[int], most: float) -> list[int]:
        """Those of ``positions`` that the request just seen may choose: they take at most ``most``, or little more than
        the cheapest of them.
        """
        least = _SAME * min(spends[k] for k in positions)
        most = least if self.strict else max(most, least)
        left = [k for k in positions if spends[k] <= most]
        drawn, expected = self._drawn, self._spends[(self._seen - 1) % _WINDOW]
        if len(left) < len(expected):
            drawn, expected = drawn[:, left], expected[left]
        self._planned = float(expected[(drawn - self.price * expected).argmax(axis=1)].sum()) / _DRAWS
        return left

    def learn(self, spend: float) -> None:
        """Learn what the request just seen takes on average over the probabilities of its arms."""
        self._bias += (spend - self._planned - self._bias) / _BIASED

    def _search(self, target: float) -> None:
        count = min(self._seen, _WINDOW)
        utilities, spends, rows = self._utilities[:count], self._spends[:count], np.arange(count)

        def taken(price: float) -> float:
            chosen = (utilities - price * spends).argmax(axis=1)
            return float(spends[rows, chosen].mean())

        least = _LEAST * float(np.where(np.isinf(utilities), np.inf, spends).min(axis=1).mean())
        self.strict = target < least
        target = max(target - self._bias, least)
        low, high = 0.0, max(self.price, _FIRST / max(float(spends.max()), _NOTHING))
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
    """The columns of ``array`` that are ``kept``, filled with ``new`` where None is.

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
