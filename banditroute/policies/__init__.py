"""Policies: from expected utilities and their spread to a probability for every eligible arm."""

from banditroute.policies.base import Policy
from banditroute.policies.baselines import Mixture, Uniform
from banditroute.policies.greedy import Greedy
from banditroute.policies.inverse_gap import InverseGap
from banditroute.policies.thompson import Thompson
from banditroute.policies.ucb import UCB

__all__ = ["UCB", "Greedy", "InverseGap", "Mixture", "Policy", "Thompson", "Uniform"]
