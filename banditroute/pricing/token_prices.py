"""Token prices: tokens are learned, dollars are computed, so that a new price acts on the next request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.token_costs import TokenCosts


class TokenPrices:
    """Prices of the K arms of a router, as arrays.

    Parameters
    ----------
    arms
        The arms; those without prices keep the cost that was learned for them.

    Attributes
    ----------
    priced : (K,) bool
        Whether each arm has token prices.

    Examples
    --------
    >>> prices = TokenPrices(
    ...     arms=[Arm(name="a", input_usd_per_million_tokens=1.0, output_usd_per_million_tokens=4.0)]
    ... )
    >>> mean, std = prices.cost_usd(1000, np.array([500.0]), np.array([10.0]))
    >>> round(float(mean[0]), 9), round(float(std[0]), 9)  # 1000 x 1e-6 + 500 x 4e-6; 10 x 4e-6
    (0.003, 4e-05)
    """

    def __init__(self, *, arms: Sequence[Arm]) -> None:
        self.priced: Vector = np.array([arm.priced for arm in arms])
        self._input = np.array([(arm.input_usd_per_million_tokens or 0.0) / 1e6 for arm in arms])
        self._output = np.array([(arm.output_usd_per_million_tokens or 0.0) / 1e6 for arm in arms])
        self._arms = arms

    def cost_usd(self, input_tokens: float, output_tokens: Vector, std_tokens: Vector) -> tuple[Vector, Vector]:
        """Return the expected cost in dollars and its standard deviation, each ``(K,)``; 0 for arms without prices.

        Parameters
        ----------
        input_tokens
            Tokens of the request.
        output_tokens, std_tokens
            Expected output tokens of each arm ``(K,)``, and the standard deviation of that expectation.
        """
        mean = input_tokens * self._input + np.maximum(output_tokens, 0.0) * self._output
        return mean, std_tokens * self._output

    def by_tokens(self, k: int, input_tokens: float, extra_usd: float = 0.0) -> TokenCosts | None:
        """Return what the tokens of a call of the k-th arm cost; None without prices.

        Parameters
        ----------
        input_tokens
            Tokens of the request.
        extra_usd
            What the input is expected to cost beyond the usual price, with the prompt cache as it is.
        """
        arm = self._arms[k]
        usual, written, read = (
            arm.input_usd_per_million_tokens,
            arm.cache_write_usd_per_million_tokens,
            arm.cached_input_usd_per_million_tokens,
        )
        if usual is None:
            return None
        if written is None or input_tokens < (arm.cache_min_tokens or 0):  # so short an input is not written
            written = usual
        return TokenCosts(
            float(input_tokens * self._input[k]) + extra_usd,
            float(self._output[k]),
            uncached_usd=input_tokens * written / 1e6,
            cached_usd=input_tokens * (usual if read is None else read) / 1e6,
            input_tokens=float(input_tokens),
        )
