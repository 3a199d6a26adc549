"""banditroute learns, online, which LLM or LoRA adapter should serve each request.

``Router.route()`` chooses the arm to use, and ``Router.feedback()`` reports what came back. Here is what
``Router(...)`` takes and returns, and the errors; everything else is imported from its room, such as
``banditroute.features``. The README has a first example.
"""

from banditroute.adapters import AdapterCache, AdapterSpec
from banditroute.budgets import Budget, BudgetStatus
from banditroute.core import Arm, Decision, DecisionSet, Explanation, Observer, Preference, Residency, Step
from banditroute.errors import (
    AdapterBusyError,
    AdapterCapacityError,
    AdapterError,
    AdapterIncompatibleError,
    AdapterNotFoundError,
    BackendUnavailableError,
    BanditRouteError,
    ConflictingFeedbackError,
    EnergyCounterError,
    IncompatibleStoreError,
    InvalidConfigurationError,
    InvalidFeedbackError,
    InvalidInputError,
    InvalidRequestError,
    InvalidResponseError,
    MissingDependencyError,
    NotGrantedError,
    StoreError,
    UnknownDecisionError,
)
from banditroute.features import TextFeatures
from banditroute.guard import Assurance, Guarantee, Guard, Rollout
from banditroute.learners import EpsilonGreedy, Learner, LinUCB, SquareCB, ThompsonSampling
from banditroute.limits import CircuitBreaker, Limits, Share
from banditroute.objectives import Objective, Scaled
from banditroute.router import ArmStatus, Lease, Router, Status
from banditroute.store import MemoryStore, SQLStore

__all__ = [
    "AdapterBusyError",
    "AdapterCache",
    "AdapterCapacityError",
    "AdapterError",
    "AdapterIncompatibleError",
    "AdapterNotFoundError",
    "AdapterSpec",
    "Arm",
    "ArmStatus",
    "Assurance",
    "BackendUnavailableError",
    "BanditRouteError",
    "Budget",
    "BudgetStatus",
    "CircuitBreaker",
    "ConflictingFeedbackError",
    "Decision",
    "DecisionSet",
    "EnergyCounterError",
    "EpsilonGreedy",
    "Explanation",
    "Guarantee",
    "Guard",
    "IncompatibleStoreError",
    "InvalidConfigurationError",
    "InvalidFeedbackError",
    "InvalidInputError",
    "InvalidRequestError",
    "InvalidResponseError",
    "Learner",
    "Lease",
    "Limits",
    "LinUCB",
    "MemoryStore",
    "MissingDependencyError",
    "NotGrantedError",
    "Objective",
    "Observer",
    "Preference",
    "Residency",
    "Rollout",
    "Router",
    "SQLStore",
    "Scaled",
    "Share",
    "SquareCB",
    "Status",
    "Step",
    "StoreError",
    "TextFeatures",
    "ThompsonSampling",
    "UnknownDecisionError",
]

__version__ = "0.1.0"
