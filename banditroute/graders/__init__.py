"""Graders: each turns an answer into a ``Signal``, a quality in [0, 1] or the reason why it is not known."""

from banditroute.graders.calibration import JudgeCalibration, calibrate_judge
from banditroute.graders.checks import matches_pattern, matches_schema, unit_tests
from banditroute.graders.consistency import self_consistency
from banditroute.graders.human_feedback import share_kept, thumbs
from banditroute.graders.judge import judge_score
from banditroute.graders.matching import choice_match, exact_match, numeric_match, token_f1
from banditroute.graders.signal import Signal

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
