"""banditroute learns, online, which LLM or LoRA adapter should serve each request.

``Router.route()`` names the arm to use, ``Router.feedback()`` reports what came back; see the README for a first
example and docs/ for the rest.
"""

from banditroute.admin.records import Records
from banditroute.budgets import Budget, BudgetStatus
from banditroute.core.arm import Arm
from banditroute.core.decision import Decision
from banditroute.core.explanation import Explanation
from banditroute.core.feedback import Feedback
from banditroute.core.preference import Preference
from banditroute.core.request import Request
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
    StoreError,
    UnknownDecisionError,
)
from banditroute.features import SentenceEmbedding, TextFeatures
from banditroute.guard import Guard, Rollout
from banditroute.learners import EpsilonGreedy, Learner, LinUCB, SquareCB, ThompsonSampling
from banditroute.limits import CircuitBreaker, Limits, Share
from banditroute.objectives import Objective
from banditroute.policies import Mixture, Uniform
from banditroute.router import Router
from banditroute.store import MemoryStore, SQLStore

__all__ = [
    "AdapterBusyError",
    "AdapterCapacityError",
    "AdapterError",
    "AdapterIncompatibleError",
    "AdapterNotFoundError",
    "Arm",
    "BackendUnavailableError",
    "BanditRouteError",
    "Budget",
    "BudgetStatus",
    "CircuitBreaker",
    "ConflictingFeedbackError",
    "Decision",
    "EnergyCounterError",
    "EpsilonGreedy",
    "Explanation",
    "Feedback",
    "Guard",
    "IncompatibleStoreError",
    "InvalidConfigurationError",
    "InvalidFeedbackError",
    "InvalidInputError",
    "InvalidRequestError",
    "InvalidResponseError",
    "Learner",
    "Limits",
    "LinUCB",
    "MemoryStore",
    "MissingDependencyError",
    "Mixture",
    "Objective",
    "Preference",
    "Records",
    "Request",
    "Rollout",
    "Router",
    "SQLStore",
    "SentenceEmbedding",
    "Share",
    "SquareCB",
    "StoreError",
    "TextFeatures",
    "ThompsonSampling",
    "Uniform",
    "UnknownDecisionError",
]

__version__ = "0.1.0.dev0"
