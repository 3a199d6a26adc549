"""Confidence sequences, intervals and calibration; arrays in, arrays out."""

from banditroute.statistics.asymptotic import asymptotic_sequence
from banditroute.statistics.calibration import Calibration, calibration
from banditroute.statistics.confidence_sequences import confidence_sequence
from banditroute.statistics.intervals import Interval, bootstrap_interval, normal_interval

__all__ = [
    "Calibration",
    "Interval",
    "asymptotic_sequence",
    "bootstrap_interval",
    "calibration",
    "confidence_sequence",
    "normal_interval",
]
