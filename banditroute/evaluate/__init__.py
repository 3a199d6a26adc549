"""Evaluation: judge another policy from a log of decisions, and measure what a policy was worth."""

from banditroute.evaluate.arm_use import ArmUse, arm_use
from banditroute.evaluate.clusters import clusters_of
from banditroute.evaluate.contexts import with_contexts
from banditroute.evaluate.diagnostics import Diagnostics, diagnose
from banditroute.evaluate.estimators import (
    direct_method,
    doubly_robust,
    ips,
    self_normalized_doubly_robust,
    snips,
)
from banditroute.evaluate.evaluation import Comparison, Evaluation
from banditroute.evaluate.off_policy import evaluate
from banditroute.evaluate.regret import cumulative_regret
from banditroute.evaluate.rejection import frozen, replay_by_rejection
from banditroute.evaluate.reporting import Reporting, reporting, reporting_weights, with_answers
from banditroute.evaluate.residency import demand_of_log, demand_of_table
from banditroute.evaluate.reward_model import cross_fitted, progressive
from banditroute.evaluate.robustness import Robustness, read_pairs, read_prompts, robustness
from banditroute.evaluate.savings import Savings, dollars, savings
from banditroute.evaluate.scores import cost_of_pass, router_arena_score
from banditroute.evaluate.to_grade import ToGrade, to_grade
from banditroute.evaluate.weights import clipped, importance_weights, shrunk, switched
from banditroute.evaluate.winner import Winner, winner
from banditroute.statistics.asymptotic import asymptotic_sequence
from banditroute.statistics.calibration import Calibration, calibration
from banditroute.statistics.intervals import Interval, bootstrap_interval, normal_interval

__all__ = [
    "ArmUse",
    "Calibration",
    "Comparison",
    "Diagnostics",
    "Evaluation",
    "Interval",
    "Reporting",
    "Robustness",
    "Savings",
    "ToGrade",
    "Winner",
    "arm_use",
    "asymptotic_sequence",
    "bootstrap_interval",
    "calibration",
    "clipped",
    "clusters_of",
    "cost_of_pass",
    "cross_fitted",
    "cumulative_regret",
    "demand_of_log",
    "demand_of_table",
    "diagnose",
    "direct_method",
    "dollars",
    "doubly_robust",
    "evaluate",
    "frozen",
    "importance_weights",
    "ips",
    "normal_interval",
    "progressive",
    "read_pairs",
    "read_prompts",
    "replay_by_rejection",
    "reporting",
    "reporting_weights",
    "robustness",
    "router_arena_score",
    "savings",
    "self_normalized_doubly_robust",
    "shrunk",
    "snips",
    "switched",
    "to_grade",
    "winner",
    "with_answers",
    "with_contexts",
]
