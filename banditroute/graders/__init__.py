"""Graders: each turns an answer into a ``Signal``, a quality in [0, 1] or the reason why it is not known."""

from banditroute.graders.calibration import JudgeCalibration, calibrate_judge
from banditroute.graders.certainty import openai_logprobs, probability_margin
from banditroute.graders.checks import matches_pattern, matches_schema, unit_tests
from banditroute.graders.consistency import self_consistency
from banditroute.graders.grounding import retrieval_overlap
from banditroute.graders.human_feedback import share_kept, thumbs
from banditroute.graders.judge import judge_score
from banditroute.graders.matching import choice_match, exact_match, numeric_match, token_f1
from banditroute.graders.reply_patterns import is_finished, no_refusal, usual_length
from banditroute.graders.session_signals import no_correction, no_loop, no_repetition, tools_succeeded
from banditroute.graders.signal import Signal
from banditroute.graders.signal_calibration import SignalCalibration

__all__ = [
    "JudgeCalibration",
    "Signal",
    "SignalCalibration",
    "calibrate_judge",
    "choice_match",
    "exact_match",
    "is_finished",
    "judge_score",
    "matches_pattern",
    "matches_schema",
    "no_correction",
    "no_loop",
    "no_refusal",
    "no_repetition",
    "numeric_match",
    "openai_logprobs",
    "probability_margin",
    "retrieval_overlap",
    "self_consistency",
    "share_kept",
    "thumbs",
    "token_f1",
    "tools_succeeded",
    "unit_tests",
    "usual_length",
]
