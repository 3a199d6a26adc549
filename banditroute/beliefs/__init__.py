"""Beliefs: predict the mean outcome of every arm in a context, with its standard deviation."""

from banditroute.beliefs.base import Belief, BeliefSpec, Observation, Prediction, Prior
from banditroute.beliefs.drift import PageHinkley, Reset
from banditroute.beliefs.hybrid import Hybrid
from banditroute.beliefs.linear import Linear, LinearBelief
from banditroute.beliefs.logistic import Logistic
from banditroute.beliefs.statistics import ArmStatistics

__all__ = [
    "ArmStatistics",
    "Belief",
    "BeliefSpec",
    "Hybrid",
    "Linear",
    "LinearBelief",
    "Logistic",
    "Observation",
    "PageHinkley",
    "Prediction",
    "Prior",
    "Reset",
]
