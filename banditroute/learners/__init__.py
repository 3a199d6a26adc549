"""Learners: named pairs of belief and policy, and how a command line names them."""

from banditroute.learners.learners import EpsilonGreedy, Learner, LinUCB, SquareCB, ThompsonSampling
from banditroute.learners.specs import learner_of

__all__ = ["EpsilonGreedy", "Learner", "LinUCB", "SquareCB", "ThompsonSampling", "learner_of"]
