"""Learners: named pairs of a belief and a policy, and the text form that command lines use."""

from banditroute.learners.learners import EpsilonGreedy, Learner, LinUCB, SquareCB, ThompsonSampling
from banditroute.learners.profiles import profile
from banditroute.learners.specs import learner_of

__all__ = ["EpsilonGreedy", "Learner", "LinUCB", "SquareCB", "ThompsonSampling", "learner_of", "profile"]
