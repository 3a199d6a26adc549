"""Rewards: from measured outcomes to one utility."""

from banditroute.rewards.objectives import STANDARD_OBJECTIVES, Objective
from banditroute.rewards.presets import CHEAPEST, JOULES_PER_TOKEN, equal_worth, greenserv, willingness_to_pay
from banditroute.rewards.prices import TokenPrices
from banditroute.rewards.scaling import Scaled

__all__ = [
    "CHEAPEST",
    "JOULES_PER_TOKEN",
    "STANDARD_OBJECTIVES",
    "Objective",
    "Scaled",
    "TokenPrices",
    "equal_worth",
    "greenserv",
    "willingness_to_pay",
]
