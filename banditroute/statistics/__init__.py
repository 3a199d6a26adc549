"""Confidence sequences, intervals and calibration; arrays in, arrays out."""

from banditroute.statistics.asymptotic import asymptotic_sequence
from banditroute.statistics.bounded import betting_interval, clopper_pearson_interval
from banditroute.statistics.calibration import Calibration, calibration
from banditroute.statistics.confidence_sequences import ConfidenceSequence, confidence_sequence, pseudo_outcomes
from banditroute.statistics.fairness import effective_arms, jain_index
from banditroute.statistics.intervals import Interval, bootstrap_interval, normal_interval

__all__ = [
    "Calibration",
    "ConfidenceSequence",
    "Interval",
    "asymptotic_sequence",
    "betting_interval",
    "bootstrap_interval",
    "calibration",
    "clopper_pearson_interval",
    "confidence_sequence",
    "effective_arms",
    "jain_index",
    "normal_interval",
    "pseudo_outcomes",
]
