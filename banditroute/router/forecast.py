"""Predict the outcomes of every arm at one request: beliefs, token prices and availability together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from banditroute.beliefs.base import Belief
from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.pricing.token_prices import TokenPrices

_CHARACTERS_PER_TOKEN = 4.0

Availability: TypeAlias = Callable[[], tuple[Vector, Vector]]
"""Gives the expected availability of every arm and its standard deviation, each ``(K,)``."""


def predict_outcomes(
    belief: Belief,
    x: Vector,
    *,
    context_variance_share: Vector | None,
    prices: TokenPrices | None,
    tokens: float | None,
    availability: Availability,
) -> tuple[Vector, Vector, Vector, Callable[[str], Vector]]:
    """Return what every arm is expected to do at context ``x (d,)``.

    Parameters
    ----------
    context_variance_share
        The share of the variance that the context adds to an arm's average that is explored, in [0, 1]; an array
        without a dimension, or None for all of it.
    prices, tokens
        Token prices, and tokens of the request; None where they are not known.
    availability
        Asked once any arm has failed.

    Returns
    -------
    means, stds : (m, K)
        Expected outcome, and the standard deviation of that expectation.
    explored_variances : (m, K)
        The part of the variance ``stds ** 2`` that is explored.
    counts
        Gives, for an objective, the number of outcomes that its prediction rests on ``(K,)``; infinite where it is
        computed from token prices.
    """
    means, stds, averages = belief.predict(x)
    explored = stds * stds
    if context_variance_share is not None:
        averages *= averages
        explored -= averages
        explored *= context_variance_share
        explored += averages
    objectives = belief.objectives
    counts = belief.counts
    if prices is not None and tokens is not None:
        cost, output = objectives.index("cost_usd"), objectives.index("output_tokens")
        # An arm that reported dollars and never tokens is better known by its dollars.
        computed = prices.priced & ((counts("output_tokens") > 0) | (counts("cost_usd") == 0))
        mean, std = prices.cost_usd(tokens, means[output], stds[output])
        means[cost] = np.where(computed, mean, means[cost])
        stds[cost] = np.where(computed, std, stds[cost])
        _, std = prices.cost_usd(tokens, means[output], np.sqrt(explored[output]))
        explored[cost] = np.where(computed, std * std, explored[cost])
        counts = partial(_counts, belief, computed)
    if "availability" in objectives:
        j = objectives.index("availability")
        means[j], stds[j] = availability()
        explored[j] = stds[j] * stds[j]
    return means, stds, explored, counts


def token_count(request: Request) -> float | None:
    """Return the tokens of a request, counted or estimated; None for ready features without a count."""
    if request.input_tokens is not None or request.text is None:
        return request.input_tokens
    return (sum(len(text) for _, text in request.messages) or len(request.text)) / _CHARACTERS_PER_TOKEN


def _counts(belief: Belief, computed: NDArray[np.bool_], objective: str) -> Vector:
    """Return how many outcomes a prediction rests on; a computed cost is known without any."""
    counts = belief.counts(objective)
    return np.where(computed, np.inf, counts) if objective == "cost_usd" else counts
