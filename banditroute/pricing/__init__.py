"""Token prices: of one arm, from tables, and the cost of a call."""

from banditroute.pricing.model_price import ModelPrice, Usage
from banditroute.pricing.price_tables import (
    GENAI_RETIRED,
    GENAI_UNKNOWN,
    PriceTable,
    genai_price,
    read_litellm_prices,
    read_prices,
)
from banditroute.pricing.prompt_caches import PROMPT_CACHES, PromptCache
from banditroute.pricing.token_prices import TokenPrices

__all__ = [
    "GENAI_RETIRED",
    "GENAI_UNKNOWN",
    "PROMPT_CACHES",
    "ModelPrice",
    "PriceTable",
    "PromptCache",
    "TokenPrices",
    "Usage",
    "genai_price",
    "read_litellm_prices",
    "read_prices",
]
