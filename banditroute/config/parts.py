"""The parts that a file can name by their ``type``: every class of the rooms that fills a role of a router."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from banditroute import adapters, beliefs, features, learners, observe, policies, store
from banditroute.adapters import AdapterBackend, AdapterCache, Fleet
from banditroute.beliefs import BeliefSpec
from banditroute.core.events import Observer
from banditroute.core.schema import Schemas
from banditroute.features import Featurizer, Vocabulary
from banditroute.learners import Learner
from banditroute.objectives import Scaled
from banditroute.policies import LearningPolicy, Policy
from banditroute.store import Store

PYTHON_ONLY = frozenset({"PeftBackend", "RiverDriftMonitor", "RiverPolicy"})
"""Classes that take a Python object which no file can hold."""


def _public(room: ModuleType, *methods: str) -> Sequence[type]:
    """Return the public classes of a room that have one of these methods."""
    public = [getattr(room, name) for name in room.__all__ if name not in PYTHON_ONLY]
    classes = [each for each in public if isinstance(each, type) and not getattr(each, "_is_protocol", False)]
    return [each for each in classes if any(hasattr(each, method) for method in methods)]


PARTS = Schemas(
    roles={
        Featurizer: _public(features, "transform_one"),
        Learner: [each for each in _public(learners, "__init__") if issubclass(each, Learner)],
        Policy: _public(policies, "probabilities", "start"),
        LearningPolicy: _public(policies, "probabilities", "start"),
        BeliefSpec: _public(beliefs, "start"),
        Store: _public(store, "add_decision"),
        Observer: _public(observe, "on_decision"),
        AdapterBackend: _public(adapters, "load"),
        AdapterCache: [AdapterCache, Fleet],
        Fleet: [AdapterCache, Fleet],
        Scaled: [Scaled],
        Vocabulary: [Vocabulary],
    }
)
"""The schemas of everything that a router is made of."""
