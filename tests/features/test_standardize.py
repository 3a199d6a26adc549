"""Standardize: fitted once, then fixed."""

import numpy as np
import pytest

from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features import Complexity, Compose, SentenceEmbedding, Standardize, StaticEmbedding
from banditroute.testing import check_featurizer


def counts(texts):
    return [[len(text), text.count("a"), 7.0] for text in texts]


def block(label="counts"):
    return SentenceEmbedding(model=counts, label=label)


PROMPTS = ["a", "bbb", "aab", "cc aa dd"]  # lengths 1, 3, 3, 8; counts of the letter 1, 0, 2, 2


def test_scaled_features_equal_the_hand_computed_ones():
    standard = Standardize(block=block()).fit(PROMPTS)
    x = standard.transform_one(Request(text="aaaa"))
    lengths, letters = np.array([1, 3, 3, 8]), np.array([1, 0, 2, 2])
    expected = [(4 - lengths.mean()) / lengths.std(), (4 - letters.mean()) / letters.std(), 0.0]
    assert x == pytest.approx(expected)
    assert standard.names == block().names
    check_featurizer(standard, typical=())


def test_an_entry_that_did_not_vary_is_centred_only():
    shape = SentenceEmbedding(model=lambda texts: [[1.0, float("z" in text), len(text)] for text in texts], label="z")
    standard = Standardize(block=shape).fit(PROMPTS)
    assert standard.transform_one(Request(text="zzz"))[:2].tolist() == [0.0, 1.0]


def test_projection_whitens_and_names_its_directions():
    standard = Standardize(block=block(), dimension=2).fit(PROMPTS)
    x = standard.transform([Request(text=prompt) for prompt in PROMPTS])
    assert x.mean(axis=0) == pytest.approx(np.zeros(2), abs=1e-12)
    assert x.T @ x / 4 == pytest.approx(np.eye(2), abs=1e-12)
    assert standard.names == ("sentence.principal.00", "sentence.principal.01")
    check_featurizer(standard, typical=())


@pytest.mark.parametrize("dimension", [None, 2])
def test_no_entry_is_beyond_four(dimension):
    standard = Standardize(block=block(), dimension=dimension).fit(PROMPTS)
    assert np.abs(standard.transform_one(Request(text="a" * 10_000))).max() == 4.0


def test_traffic_never_moves_the_scale():
    standard = Standardize(block=Complexity()).fit(PROMPTS)
    request, version = Request(text="What is the time?"), standard.version
    before = standard.transform_one(request)
    standard.transform([Request(text="long " * n) for n in range(200)])
    assert np.array_equal(standard.transform_one(request), before)
    assert standard.version == version


def test_version_names_the_block_the_dimension_and_the_fit():
    versions = [
        Standardize(block=block(), dimension=dimension).fit(prompts).version
        for dimension in (None, 1, 2)
        for prompts in (PROMPTS, PROMPTS[:3])
    ]
    versions += [Standardize(block=block("other")).fit(PROMPTS).version, versions[0]]
    assert len(set(versions)) == 7


def test_standardize_composes_with_others():
    both = Compose(blocks=[Standardize(block=Complexity()).fit(PROMPTS), StaticEmbedding(dimension=2)])
    assert both.dimension == 23
    check_featurizer(both, typical=())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"block": Complexity}, "is not a featurizer"),
        ({"block": "complexity"}, "is not a featurizer"),
        ({"dimension": 0}, "from 1 to 21"),
        ({"dimension": 22}, "from 1 to 21"),
        ({"dimension": True}, "dimension is True"),
        ({"dimension": 2.0}, r"dimension is 2\.0"),
    ],
)
def test_unusable_parameters_are_refused(parameters, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Standardize(**({"block": Complexity()} | parameters))


@pytest.mark.parametrize("use", [lambda s: s.version, lambda s: s.transform_one(Request(text="a"))])
def test_use_before_fit_says_so(use):
    with pytest.raises(InvalidConfigurationError, match=r"call fit\(prompts\)"):
        use(Standardize(block=Complexity()))


@pytest.mark.parametrize("prompts", [[], ["one"], ["same", "same"]])
def test_too_few_prompts_are_refused_and_change_nothing(prompts):
    standard = Standardize(block=block(), dimension=2).fit(PROMPTS)
    version = standard.version
    with pytest.raises(InvalidConfigurationError, match="prompts"):
        standard.fit(prompts)
    assert standard.version == version


def test_request_that_the_block_cannot_read_is_refused():
    with pytest.raises(InvalidRequestError):
        Standardize(block=Complexity()).fit(PROMPTS).transform_one(Request(features=np.ones(21)))
