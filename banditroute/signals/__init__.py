"""Signals: what is known of an answer, as ``quality``."""

from banditroute.signals.calibration import JudgeCalibration, calibrate_judge
from banditroute.signals.checks import matches_pattern, matches_schema, unit_tests
from banditroute.signals.consistency import self_consistency
from banditroute.signals.judge import judge_score
from banditroute.signals.matching import choice_match, exact_match, numeric_match, token_f1
from banditroute.signals.people import share_kept, thumbs
from banditroute.signals.signal import Signal

__all__ = [
    "JudgeCalibration",
    "Signal",
    "calibrate_judge",
    "choice_match",
    "exact_match",
    "judge_score",
    "matches_pattern",
    "matches_schema",
    "numeric_match",
    "self_consistency",
    "share_kept",
    "thumbs",
    "token_f1",
    "unit_tests",
]
