"""Objectives, and the preference that turns them into one utility."""

from banditroute.objectives.objective import STANDARD_OBJECTIVES, Objective
from banditroute.objectives.presets import CHEAPEST, JOULES_PER_TOKEN, equal_worth, greenserv, willingness_to_pay
from banditroute.objectives.scaling import Scaled

__all__ = [
    "CHEAPEST",
    "JOULES_PER_TOKEN",
    "STANDARD_OBJECTIVES",
    "Objective",
    "Scaled",
    "equal_worth",
    "greenserv",
    "willingness_to_pay",
]
