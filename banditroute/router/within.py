"""Prefer the cheapest of the arms that are nearly as good as the best."""

from __future__ import annotations

from banditroute.router.candidates import Candidates


def prefer_cheapest(candidates: Candidates, within: float) -> Candidates:
    """Return candidates in which the cheapest arm whose expected utility is within ``within`` of the best leads.

    Let c be that arm. Every arm that is not expected to cost more than c has ``within`` added to its utility: the loss
    that its lower cost is worth. An arm cheaper than c is further than ``within`` from the best, so c leads them all.
    How sure that is follows as ever from the standard deviations: of two arms, Thompson sampling takes the cheaper one
    with the probability that its utility is within ``within`` of the other's.

    Examples
    --------
    >>> import numpy as np
    >>> zeros = np.zeros(3)
    >>> some = Candidates(
    ...     ("poor", "good", "best"), ("quality", "cost_usd"), np.array([[0.5, 0.89, 0.9], [0.001, 0.002, 0.01]]),
    ...     np.zeros((2, 3)), np.array([0.5, 0.89, 0.9]), zeros, zeros, lambda: zeros, lambda objective: zeros,
    ... )
    >>> prefer_cheapest(some, 0.02).utilities.round(2).tolist()
    [0.52, 0.91, 0.9]
    """
    left = list(candidates.positions)
    utilities, cost = candidates.utilities, candidates.means[candidates.objectives.index("cost_usd")]
    best = utilities[left].max()
    price = min(cost[k] for k in left if utilities[k] >= best - within)
    return candidates._replace(utilities=utilities + within * (cost <= price))
