"""Values that cross rooms: data only, without caches, locks or callbacks."""

from banditroute.core.adapter import AdapterSpec
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.decision_set import DecisionSet
from banditroute.core.events import (
    AdapterLoaded,
    BudgetChanged,
    CircuitChanged,
    DriftDetected,
    EpochBegun,
    Event,
    FeedbackCorrected,
    FeedbackRecorded,
    FellBack,
    Observer,
    RolloutChanged,
    StoreTrouble,
    TrafficCollapsed,
)
from banditroute.core.explanation import Explanation
from banditroute.core.failure import Failure
from banditroute.core.feedback import Feedback
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.core.residency import Residency
from banditroute.core.shared_total import SharedTotal
from banditroute.core.state import MergeStates, StateSlot
from banditroute.core.step import Step

__all__ = [
    "AdapterLoaded",
    "AdapterSpec",
    "Arm",
    "BudgetChanged",
    "CircuitChanged",
    "Decision",
    "DecisionSet",
    "DriftDetected",
    "EpochBegun",
    "Event",
    "Explanation",
    "Failure",
    "Feedback",
    "FeedbackCorrected",
    "FeedbackRecorded",
    "FellBack",
    "MergeStates",
    "Observer",
    "Preference",
    "Request",
    "Residency",
    "RolloutChanged",
    "SharedTotal",
    "StateSlot",
    "Step",
    "StoreTrouble",
    "TrafficCollapsed",
    "Vector",
]
