"""Token prices: of one arm, from tables, and the cost of a call."""

from banditroute.pricing.model_price import ModelPrice, Usage
from banditroute.pricing.price_tables import genai_price, read_litellm_prices, read_prices
from banditroute.pricing.token_prices import TokenPrices

__all__ = ["ModelPrice", "TokenPrices", "Usage", "genai_price", "read_litellm_prices", "read_prices"]
