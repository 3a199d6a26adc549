"""Rewards: from measured outcomes to one utility."""

from banditroute.rewards.objectives import STANDARD_OBJECTIVES, Objective
from banditroute.rewards.prices import TokenPrices

__all__ = ["STANDARD_OBJECTIVES", "Objective", "TokenPrices"]
