"""Scores of router rankings, and the cost of a right answer.

RouterBench's hull and AIQ, in its program's form and normalised by the range of costs, are those of
:class:`banditroute.simulate.Frontier`: ``aiq(low=0, high=most)`` and ``aiq(low=least, high=most)``;
its ``cost_of(0.98 * best)`` is the least cost for 98% of the best quality.
"""

from __future__ import annotations

import math

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.validation import number
from banditroute.errors import InvalidInputError

_MAX_USD, _MIN_USD = 200.0, 0.0044  # dollars per 1,000 requests


def router_arena_score(*, accuracy: float, cost_usd_per_1000: float, beta: float = 0.1) -> float:
    """Return RouterArena's score in [0, 1]: a mean of accuracy and cheapness that leans to accuracy.

    ``S = (1 + beta) A C / (beta A + C)`` with ``C = log2(200 / cost) / log2(200 / 0.0044)``, the cost taken into
    [0.0044, 200] first.

    Source: Lu et al. 2025, "RouterArena: an open platform for comprehensive comparison of LLM routers".

    Parameters
    ----------
    accuracy
        Mean quality, in [0, 1].
    cost_usd_per_1000
        Dollars per 1,000 requests, at least 0.
    beta
        Weight of cheapness, above 0.

    Raises
    ------
    InvalidInputError
        If a number is out of range.

    Examples
    --------
    >>> round(router_arena_score(accuracy=0.6688, cost_usd_per_1000=0.15), 4)  # MIRT-BERT: published as 66.89
    0.669
    """
    accuracy = number(accuracy, name="accuracy", low=0.0, high=1.0)
    cost = number(cost_usd_per_1000, name="cost_usd_per_1000", low=0.0)
    if number(beta, name="beta", low=0.0) == 0.0:
        raise InvalidInputError("beta is 0; give a weight above 0, such as 0.1")
    cost = min(max(cost, _MIN_USD), _MAX_USD)
    cheapness = math.log2(_MAX_USD / cost) / math.log2(_MAX_USD / _MIN_USD)
    return (1.0 + beta) * accuracy * cheapness / (beta * accuracy + cheapness) if accuracy else 0.0


def cost_of_pass(quality: Vector, costs: Vector) -> float:
    """Return ``sum of costs / sum of quality``: the cost of a right answer, wrong ones included; infinite without any.

    Requests whose quality or cost is unknown are left out.

    Source: Erol et al. 2025, "Cost-of-Pass: an economic framework for evaluating language models".

    Parameters
    ----------
    quality
        Quality of each request ``(n,)``, in [0, 1]; NaN where it is unknown.
    costs
        What each request cost ``(n,)``, in any unit: dollars, joules, tokens; NaN where it is unknown.

    Raises
    ------
    InvalidInputError
        If they are not numbers, or not one of each request.

    Examples
    --------
    >>> import numpy as np
    >>> cost_of_pass(np.array([1.0, 0.0, 1.0]), np.array([10.0, 20.0, 30.0]))
    30.0
    """
    try:
        quality, costs = np.asarray(quality, dtype=np.float64), np.asarray(costs, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInputError("quality and costs must hold numbers; give NaN for one that is not known") from None
    if quality.ndim != 1 or quality.shape != costs.shape:
        raise InvalidInputError(
            f"quality has shape {quality.shape} and costs {costs.shape}; give one number of each request in both"
        )
    known = ~(np.isnan(quality) | np.isnan(costs))
    right = float(quality[known].sum())
    return float(costs[known].sum()) / right if right > 0.0 else math.inf
