"""Tell simulated routers what a call of each arm is expected to cost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from banditroute.errors import InvalidInputError
from banditroute.logs import OutcomeTable
from banditroute.pricing import ModelPrice, Usage

_CHARACTERS_PER_TOKEN = 4.0
_USUAL_OUTPUT_TOKENS = 256.0  # where the table does not know them


def expected_costs(table: OutcomeTable, prices: Mapping[str, ModelPrice] | None = None) -> dict[str, dict[str, float]]:
    """Return what a call of each arm costs on average, as ``simulate(expected=...)`` takes it.

    Parameters
    ----------
    table
        The outcomes. Without ``prices`` the cost of an arm is its mean logged cost.
    prices
        Model -> token prices. The cost follows from them, a token for every four characters of the prompts, and the
        logged output tokens of the arm; 256 where they are not known. An arm without a price has no expected cost.

    Raises
    ------
    InvalidInputError
        If no cost follows: the table has no ``cost_usd``, or the prices know no arm.

    Examples
    --------
    >>> table = OutcomeTable(
    ...     name="toy",
    ...     prompts=("12345678",) * 2,
    ...     tasks=("",) * 2,
    ...     arms=("large", "small"),
    ...     outcomes={"quality": np.ones((2, 2)), "cost_usd": np.array([[0.5, 0.1], [1.5, 0.1]])},
    ... )
    >>> expected_costs(table)
    {'large': {'cost_usd': 1.0}, 'small': {'cost_usd': 0.1}}
    """
    if prices is None:
        logged = _means(table, "cost_usd")
        costs = {arm: mean for arm, mean in zip(table.arms, logged, strict=True) if not np.isnan(mean)}
        if not costs:
            raise InvalidInputError(f"the table {table.name!r:.80} has no cost_usd; give prices, or costs of its calls")
    else:
        tokens = float(np.mean([len(prompt) for prompt in table.prompts])) / _CHARACTERS_PER_TOKEN
        answers = np.nan_to_num(_means(table, "output_tokens"), nan=_USUAL_OUTPUT_TOKENS)
        costs = {}
        for arm, answer in zip(table.arms, answers.tolist(), strict=True):
            usage = Usage(input_tokens=tokens, output_tokens=answer)
            if (price := prices.get(arm)) is not None and (cost := price.cost_usd(usage)) is not None:
                costs[arm] = cost
        if not costs:
            raise InvalidInputError(f"the prices know no arm of the table; its arms: {', '.join(table.arms)[:200]}")
    return {arm: {"cost_usd": float(cost)} for arm, cost in costs.items()}


def _means(table: OutcomeTable, objective: str) -> np.ndarray:
    """Return the mean known outcome of each arm ``(K,)``; NaN if it has no known outcome."""
    values = table.outcomes.get(objective, np.full((1, len(table.arms)), np.nan))
    known = ~np.isnan(values)
    sums, counts = np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
