"""Features: turn a request into a context vector of fixed length that describes its form and topic.

Importing this package reads no table and imports no heavy package. Each featurizer does so at its first use.
"""

from banditroute.features.base import Featurizer
from banditroute.features.categories import Hashed
from banditroute.features.cluster import Codebook, SemanticCluster
from banditroute.features.cluster_tracker import ClusterTracker
from banditroute.features.complexity import Complexity
from banditroute.features.compose import Compose
from banditroute.features.fourier import FourierFeatures
from banditroute.features.generic import generic_prompts
from banditroute.features.metadata import Metadata
from banditroute.features.projection import RandomProjection
from banditroute.features.sentence import SentenceEmbedding
from banditroute.features.standardize import Standardize
from banditroute.features.static_embedding import StaticEmbedding
from banditroute.features.task import TaskType
from banditroute.features.template import Template
from banditroute.features.text import TextFeatures
from banditroute.features.vocabulary import Vocabulary
from banditroute.features.warm_up import WarmUp

__all__ = [
    "ClusterTracker",
    "Codebook",
    "Complexity",
    "Compose",
    "Featurizer",
    "FourierFeatures",
    "Hashed",
    "Metadata",
    "RandomProjection",
    "SemanticCluster",
    "SentenceEmbedding",
    "Standardize",
    "StaticEmbedding",
    "TaskType",
    "Template",
    "TextFeatures",
    "Vocabulary",
    "WarmUp",
    "generic_prompts",
]
