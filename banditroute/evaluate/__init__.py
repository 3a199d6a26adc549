"""Evaluation: what another policy would have had, from a log of decisions, and figures of what a policy was worth."""

from banditroute.evaluate.estimators import (
    direct_method,
    doubly_robust,
    ips,
    self_normalized_doubly_robust,
    snips,
)
from banditroute.evaluate.evaluation import Comparison, Evaluation, evaluate
from banditroute.evaluate.gates import Diagnostics, diagnose
from banditroute.evaluate.intervals import Interval, bootstrap_interval, normal_interval
from banditroute.evaluate.rejection import frozen, replay_by_rejection
from banditroute.evaluate.reward_model import cross_fitted, progressive
from banditroute.evaluate.weights import clipped, importance_weights, shrunk, switched

__all__ = [
    "Comparison",
    "Diagnostics",
    "Evaluation",
    "Interval",
    "bootstrap_interval",
    "clipped",
    "cross_fitted",
    "diagnose",
    "direct_method",
    "doubly_robust",
    "evaluate",
    "frozen",
    "importance_weights",
    "ips",
    "normal_interval",
    "progressive",
    "replay_by_rejection",
    "self_normalized_doubly_robust",
    "shrunk",
    "snips",
    "switched",
]
