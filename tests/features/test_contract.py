"""Every public featurizer of text keeps the contract; importing them costs nothing."""

import subprocess
import sys

import numpy as np
import pytest

from banditroute import features
from banditroute.core.request import Request
from banditroute.features import (
    Complexity,
    Compose,
    FourierFeatures,
    Hashed,
    Metadata,
    RandomProjection,
    SemanticCluster,
    SentenceEmbedding,
    Standardize,
    StaticEmbedding,
    TaskType,
    Template,
    TextFeatures,
    Vocabulary,
    WarmUp,
    generic_prompts,
)
from banditroute.testing import check_featurizer


def by_letters(texts):
    return [[len(text), *(text.count(letter) for letter in "aeiou")] for text in texts]


READY = {
    "Complexity": lambda: Complexity(),
    "Compose": lambda: Compose(blocks=[StaticEmbedding(dimension=3), Complexity()]),
    "FourierFeatures": lambda: FourierFeatures(block=Complexity(), dimension=5, bandwidth=4.0),
    "Metadata": lambda: Metadata(
        numeric={"input_tokens": (0, 8000)},
        categorical={"tier": ["free", "gold"], "tags": Hashed(slots=4), "session": Vocabulary(size=6)},
    ),
    "RandomProjection": lambda: RandomProjection(block=Complexity(), dimension=8, secret="no secret of anybody"),
    "SemanticCluster": lambda: SemanticCluster(),
    "SentenceEmbedding": lambda: SentenceEmbedding(model=by_letters, label="letters"),
    "Standardize": lambda: Standardize(block=Complexity()).fit(generic_prompts()[::20]),
    "StaticEmbedding": lambda: StaticEmbedding(),
    "TaskType": lambda: TaskType(),
    "Template": lambda: Template(),
    "TextFeatures": lambda: TextFeatures(),
    "WarmUp": lambda: WarmUp(block=StaticEmbedding(dimension=3), prompts=5),
}


def test_every_public_featurizer_is_walked():
    public = {name for name in features.__all__ if hasattr(getattr(features, name), "transform")} - {"Featurizer"}
    assert public == set(READY)


def test_the_public_names_are_sorted():
    assert features.__all__ == sorted(features.__all__)


@pytest.mark.parametrize("name", READY)
def test_featurizer_keeps_the_contract(name):
    # The vectors of an embedding are given as they are, for Standardize and the like to scale.
    check_featurizer(READY[name](), typical=() if name == "SentenceEmbedding" else None)


@pytest.mark.parametrize("name", READY)
def test_two_objects_of_the_same_settings_agree(name):
    one, other = READY[name](), READY[name]()
    assert one.version == other.version
    request = Request(text="Which planet is the largest?")
    assert np.array_equal(one.transform_one(request), other.transform_one(request))


def test_importing_and_constructing_imports_nothing_heavy():
    script = (
        "import sys; from banditroute.features import *; TextFeatures(); SemanticCluster(); "
        "SentenceEmbedding(model='no/such/model'); TaskType(); "
        "heavy = {'tokenizers', 'torch', 'pyarrow', 'scipy', 'sentence_transformers'} & set(sys.modules); "
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
