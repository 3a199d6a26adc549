"""Rewards: from measured outcomes to one utility."""

from banditroute.rewards.model_price import ModelPrice, Usage
from banditroute.rewards.objectives import STANDARD_OBJECTIVES, Objective
from banditroute.rewards.presets import CHEAPEST, JOULES_PER_TOKEN, equal_worth, greenserv, willingness_to_pay
from banditroute.rewards.price_tables import genai_price, read_litellm_prices, read_prices
from banditroute.rewards.prices import TokenPrices
from banditroute.rewards.scaling import Scaled

__all__ = [
    "CHEAPEST",
    "JOULES_PER_TOKEN",
    "STANDARD_OBJECTIVES",
    "ModelPrice",
    "Objective",
    "Scaled",
    "TokenPrices",
    "Usage",
    "equal_worth",
    "genai_price",
    "greenserv",
    "read_litellm_prices",
    "read_prices",
    "willingness_to_pay",
]
