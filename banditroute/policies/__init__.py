"""Policies: turn expected utilities and their standard deviations into a probability for every eligible arm."""

from banditroute.policies.adaptive import Adaptive
from banditroute.policies.base import LearningPolicy, Policy, PolicyState, SharedPolicyState
from banditroute.policies.baselines import Mixture, Uniform
from banditroute.policies.greedy import Greedy
from banditroute.policies.inverse_gap import InverseGap
from banditroute.policies.river_policy import RiverPolicy
from banditroute.policies.thompson import Thompson
from banditroute.policies.ucb import UCB

__all__ = [
    "UCB",
    "Adaptive",
    "Greedy",
    "InverseGap",
    "LearningPolicy",
    "Mixture",
    "Policy",
    "PolicyState",
    "RiverPolicy",
    "SharedPolicyState",
    "Thompson",
    "Uniform",
]
