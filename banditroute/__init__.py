"""banditroute learns, online, which LLM or LoRA adapter should serve each request.

``Router.route()`` names the arm to use, ``Router.feedback()`` reports what came back; see the README for a first
example and docs/ for the rest.
"""

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
    MissingDependencyError,
    StoreError,
    UnknownDecisionError,
)
from banditroute.explanation import Explanation
from banditroute.features import SentenceEmbedding, TextFeatures
from banditroute.learners import EpsilonGreedy, Learner, LinUCB, SquareCB, ThompsonSampling
from banditroute.limits import Budget, CircuitBreaker, Guard, Limits, Rollout, Share, Spend
from banditroute.policies import Mixture, Uniform
from banditroute.records import Records
from banditroute.rewards import Objective
from banditroute.router import Router
from banditroute.store import MemoryStore, SQLStore
from banditroute.types import Arm, Decision, Feedback, Preference, Request

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
    "Spend",
    "SquareCB",
    "StoreError",
    "TextFeatures",
    "ThompsonSampling",
    "Uniform",
    "UnknownDecisionError",
]

__version__ = "0.1.0.dev0"
