"""The price of one model's tokens, the tokens of one call, and its cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from banditroute.core.arm import Arm
from banditroute.core.validation import number, plain_numbers, whole
from banditroute.errors import InvalidConfigurationError, InvalidInputError

RATES = (
    "input_usd_per_million_tokens",
    "output_usd_per_million_tokens",
    "cached_input_usd_per_million_tokens",
    "cache_write_usd_per_million_tokens",
    "reasoning_usd_per_million_tokens",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens of one call, as the provider counted them.

    Parameters
    ----------
    input_tokens
        All tokens of the prompt, including those of the cache. (Anthropic's ``input_tokens`` leaves the cache out: add
        ``cache_read_input_tokens`` and ``cache_creation_input_tokens``.)
    output_tokens
        All tokens of the answer, including those of the reasoning.
    cached_input_tokens, cache_write_tokens
        Parts of the input: read from the provider's prompt cache, and written to it.
    reasoning_tokens
        Part of the output: spent on reasoning.

    Raises
    ------
    InvalidInputError
        If a count is not a number of at least 0, or parts are more than the whole.

    Examples
    --------
    >>> Usage(input_tokens=1000, output_tokens=200, cached_input_tokens=800).cached_input_tokens
    800
    """

    input_tokens: float
    output_tokens: float
    cached_input_tokens: float = 0
    cache_write_tokens: float = 0
    reasoning_tokens: float = 0

    def __post_init__(self) -> None:
        plain_numbers(self)
        for each in fields(self):
            number(getattr(self, each.name), name=each.name, low=0.0)
        cached = self.cached_input_tokens + self.cache_write_tokens
        if cached > self.input_tokens:
            raise InvalidInputError(
                f"{cached} tokens of the cache are more than input_tokens={self.input_tokens}; give input_tokens with "
                "the cached ones"
            )
        if self.reasoning_tokens > self.output_tokens:
            raise InvalidInputError(
                f"reasoning_tokens={self.reasoning_tokens} are more than output_tokens={self.output_tokens}; give "
                "output_tokens with the reasoning"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """The price of one model's tokens, in US dollars per million. A rate that is None is not known; it is never 0.

    Parameters
    ----------
    input_usd_per_million_tokens, output_usd_per_million_tokens
        Rates of the prompt and of the answer, at least 0.
    cached_input_usd_per_million_tokens, cache_write_usd_per_million_tokens
        Rates of the prompt's tokens that are read from the provider's cache, or written to it; None: as all input.
    reasoning_usd_per_million_tokens
        Rate of the tokens spent on reasoning; None: as all output.
    above_tokens
        Input tokens -> the price of a whole request whose input is longer than that.
    cache_seconds, cache_min_tokens
        How long the provider keeps a prompt in its cache after its last use, and the shortest prefix that it keeps;
        None: not known.
    retired
        Whether the source says that the model is no longer offered.
    source
        Where the price comes from.

    Raises
    ------
    InvalidConfigurationError
        If a rate is not a number of at least 0, or a threshold is not a whole number above 0.

    Examples
    --------
    >>> price = ModelPrice(
    ...     input_usd_per_million_tokens=2.0,
    ...     output_usd_per_million_tokens=8.0,
    ...     cached_input_usd_per_million_tokens=0.5,
    ... )
    >>> usage = Usage(input_tokens=1000, output_tokens=100, cached_input_tokens=800)
    >>> price.cost_usd(usage)  # (200 x 2 + 800 x 0.5 + 100 x 8) / 1e6
    0.0016
    >>> price.arm("large").priced
    True
    """

    input_usd_per_million_tokens: float | None = None
    output_usd_per_million_tokens: float | None = None
    cached_input_usd_per_million_tokens: float | None = None
    cache_write_usd_per_million_tokens: float | None = None
    reasoning_usd_per_million_tokens: float | None = None
    above_tokens: Mapping[int, ModelPrice] = field(default_factory=dict, hash=False)
    cache_seconds: float | None = None
    cache_min_tokens: int | None = None
    retired: bool = False
    source: str = "given"

    def __post_init__(self) -> None:
        plain_numbers(self)
        for name in (*RATES, "cache_seconds", "cache_min_tokens"):
            if (rate := getattr(self, name)) is not None:
                number(rate, name=name, low=0.0, error=InvalidConfigurationError)
        for threshold in self.above_tokens:
            whole(threshold, name="a number of tokens in above_tokens", error=InvalidConfigurationError)
        object.__setattr__(self, "above_tokens", dict(sorted(self.above_tokens.items())))

    def cost_usd(self, usage: Usage) -> float | None:
        """Return the cost of a call in US dollars; None if it used tokens whose price is not known.

        Fees that are not for text tokens (per request, image, second of audio, web search) are left out.
        """
        price = self
        for threshold, longer in self.above_tokens.items():
            if usage.input_tokens > threshold:
                price = longer
        input_rate, output_rate = price.input_usd_per_million_tokens, price.output_usd_per_million_tokens
        plain_input = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
        charges = (
            (plain_input, input_rate),
            (usage.cached_input_tokens, _first(price.cached_input_usd_per_million_tokens, input_rate)),
            (usage.cache_write_tokens, _first(price.cache_write_usd_per_million_tokens, input_rate)),
            (usage.output_tokens - usage.reasoning_tokens, output_rate),
            (usage.reasoning_tokens, _first(price.reasoning_usd_per_million_tokens, output_rate)),
        )
        if any(tokens and rate is None for tokens, rate in charges):
            return None
        return math.fsum(tokens * rate for tokens, rate in charges if rate is not None) / 1e6

    def arm(self, name: str, **settings: Any) -> Arm:
        """Return an arm with these prices of tokens and of the prompt cache.

        ``settings`` are the other parameters of :class:`banditroute.Arm`.

        Raises
        ------
        InvalidConfigurationError
            If only one of the two prices is known, and as :class:`banditroute.Arm`.
        """
        return Arm(
            name=name,
            input_usd_per_million_tokens=self.input_usd_per_million_tokens,
            output_usd_per_million_tokens=self.output_usd_per_million_tokens,
            **{**self._cache_settings(), **settings},
        )

    def _cache_settings(self) -> dict[str, float | None]:
        if self.input_usd_per_million_tokens is None or self.cached_input_usd_per_million_tokens is None:
            return {}
        return {
            "cached_input_usd_per_million_tokens": self.cached_input_usd_per_million_tokens,
            "cache_write_usd_per_million_tokens": self.cache_write_usd_per_million_tokens,
            "cache_seconds": self.cache_seconds,
            "cache_min_tokens": self.cache_min_tokens,
        }


def _first(rate: float | None, otherwise: float | None) -> float | None:
    return otherwise if rate is None else rate
