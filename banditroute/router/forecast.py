"""The outlook: what is expected of every arm at one request, from beliefs, token prices and availability together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from banditroute.beliefs.base import Belief
from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.limits.constraints import Excess, Limits, excess
from banditroute.pricing.token_prices import TokenPrices

_CHARACTERS_PER_TOKEN = 4.0


class Forecast(NamedTuple):
    """What is expected of K arms and m objectives.

    Attributes
    ----------
    objectives
        Names of the m objectives.
    means, stds : (m, K)
        Expected outcome, and the standard deviation of that expectation.
    explored : (m, K)
        The part of ``stds`` that is explored.
    computed : (K,)
        Whether the arm's cost was computed from token prices; None where no arm's was.
    """

    objectives: tuple[str, ...]
    means: Vector
    stds: Vector
    explored: Vector
    computed: NDArray[np.bool_] | None

    def excess(self, limits: Limits, counts: Callable[[str], Vector]) -> Excess:
        """How far every arm is beyond ``limits``, ``counts`` being what each objective rests on.

        A computed cost is known without any outcome.
        """
        row = {name: self.objectives.index(name) for name in limits.objectives.values()}
        known = {name: counts(name) for name in row}
        if self.computed is not None and "cost_usd" in known:
            known["cost_usd"] = np.where(self.computed, np.inf, known["cost_usd"])
        means, stds = ({name: array[j] for name, j in row.items()} for array in (self.means, self.stds))
        return excess(limits, means, stds, known)


def look(
    belief: Belief,
    x: Vector,
    *,
    of_context: float,
    prices: TokenPrices | None,
    tokens: float | None,
    availability: Callable[[], tuple[Vector, Vector]],
) -> Forecast:
    """What is expected at context ``x (d,)``.

    Parameters
    ----------
    of_context
        How much of what the context adds to an arm's variance is explored, in [0, 1].
    prices, tokens
        Token prices, and tokens of the request; None where there are none, or they are not known.
    availability
        Expected availability and its standard deviation, each ``(K,)``; asked for once any failure is known.
    """
    means, stds, averages = belief.predict(x)
    explored = np.hypot(math.sqrt(of_context) * stds, math.sqrt(1.0 - of_context) * averages)
    objectives = belief.objectives
    computed = None
    if prices is not None and tokens is not None:
        cost, output = objectives.index("cost_usd"), objectives.index("output_tokens")
        # An arm that reported dollars and never tokens is better known by its dollars.
        computed = prices.priced & ((belief.counts("output_tokens") > 0) | (belief.counts("cost_usd") == 0))
        mean, std = prices.cost_usd(tokens, means[output], stds[output])
        means[cost] = np.where(computed, mean, means[cost])
        stds[cost] = np.where(computed, std, stds[cost])
        _, std = prices.cost_usd(tokens, means[output], explored[output])
        explored[cost] = np.where(computed, std, explored[cost])
    if "availability" in objectives:
        j = objectives.index("availability")
        means[j], stds[j] = availability()
        explored[j] = stds[j]
    return Forecast(objectives, means, stds, explored, computed)


def tokens_of(request: Request) -> float | None:
    """Tokens of a request, as counted or estimated; None for ready features that nobody counted."""
    if request.input_tokens is not None or request.text is None:
        return request.input_tokens
    return (sum(len(text) for _, text in request.messages) or len(request.text)) / _CHARACTERS_PER_TOKEN
