"""Values that cross rooms: data only, without caches, locks or callbacks."""

from banditroute.core.adapter import AdapterSpec
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.explanation import Explanation
from banditroute.core.failure import Failure
from banditroute.core.feedback import Feedback
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.core.shared_total import SharedTotal

__all__ = [
    "AdapterSpec",
    "Arm",
    "Decision",
    "Explanation",
    "Failure",
    "Feedback",
    "Preference",
    "Request",
    "SharedTotal",
    "Vector",
]
