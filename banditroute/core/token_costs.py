"""The costs of the tokens of one call, for when its outcomes name tokens instead of dollars."""

from __future__ import annotations

from typing import NamedTuple

CACHED_TOKENS = "cached tokens"
"""Names the input that the provider read from its prompt cache, among the outcomes of a decision."""


class TokenCosts(NamedTuple):
    """The costs of the tokens of one call, in dollars.

    Attributes
    ----------
    input_usd
        Expected cost of the input, with the arm's prompt cache as it may be.
    output_usd_per_token
        Cost of each token of the answer.
    uncached_usd, cached_usd
        Cost of the whole input if none of it is read from the arm's cache, and if all of it is.
    input_tokens
        Tokens of the input; 0 where the last three are not known, as in databases of earlier versions.
    """

    input_usd: float
    output_usd_per_token: float
    uncached_usd: float = 0.0
    cached_usd: float = 0.0
    input_tokens: float = 0.0

    def cost_usd(self, output_tokens: float, cached_tokens: float | None = None, *, at_most: bool = False) -> float:
        """Return the cost of the call in dollars.

        Parameters
        ----------
        output_tokens
            Tokens of the answer.
        cached_tokens
            Tokens of the input that came from the cache; None: not reported.
        at_most
            Whether a cache that nobody reported counts as cold, instead of as expected.

        Examples
        --------
        >>> costs = TokenCosts(0.5, 0.01, uncached_usd=1.0, cached_usd=0.1, input_tokens=100)
        >>> costs.cost_usd(20), costs.cost_usd(20, at_most=True), round(costs.cost_usd(20, cached_tokens=50), 9)
        (0.7, 1.2, 0.75)
        """
        input_usd = max(self.input_usd, self.uncached_usd) if at_most else self.input_usd
        if cached_tokens is not None and self.input_tokens > 0.0:
            cached = min(cached_tokens / self.input_tokens, 1.0)
            input_usd = self.uncached_usd + cached * (self.cached_usd - self.uncached_usd)
        return input_usd + output_tokens * self.output_usd_per_token
