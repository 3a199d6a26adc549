"""Blocks side by side."""

import numpy as np
import pytest

from banditroute.core.feature_block import FeatureBlock
from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features import (
    Complexity,
    Compose,
    Hashed,
    Metadata,
    SemanticCluster,
    StaticEmbedding,
    Template,
    TextFeatures,
)
from banditroute.features._wordpiece import WordPieces

TEXTS = [Request(text="Sort these numbers: 3, 1, 2."), Request(text="Sing.")]


def test_the_blocks_stand_in_their_order():
    blocks = [StaticEmbedding(dimension=2), Complexity()]
    both = Compose(blocks=blocks)
    assert both.dimension == 23
    assert both.names == blocks[0].names + blocks[1].names
    assert both.version == "static-minilm-1:2+complexity-3"
    assert np.array_equal(both.transform(TEXTS), np.hstack([block.transform(TEXTS) for block in blocks]))


def test_another_order_gives_another_version():
    one, other = StaticEmbedding(dimension=2), Complexity()
    assert Compose(blocks=[one, other]).version != Compose(blocks=[other, one]).version


def test_compositions_compose():
    inner = Compose(blocks=[Complexity()])
    outer = Compose(blocks=[inner, StaticEmbedding(dimension=1)])
    assert np.array_equal(outer.transform_one(TEXTS[0])[:21], inner.transform_one(TEXTS[0]))


def test_blocks_that_read_the_same_text_split_it_once(monkeypatch):
    read = []
    whole = WordPieces.rows
    monkeypatch.setattr(WordPieces, "rows", lambda self, text: read.append(text) or whole(self, text))
    Compose(blocks=[TextFeatures(), SemanticCluster()]).transform_one(Request(text="Which of these is read once?"))
    assert read == ["Which of these is read once?"]


def test_caller_cannot_change_remembered_features():
    both = Compose(blocks=[TextFeatures(), SemanticCluster()])
    first = both.transform_one(TEXTS[0])
    expected = first.copy()
    first[:] = 7.0
    TextFeatures().transform_one(TEXTS[0])[:] = 7.0
    assert np.array_equal(both.transform_one(TEXTS[0]), expected)


def test_changing_the_list_afterwards_changes_nothing():
    blocks = [Complexity()]
    compose = Compose(blocks=blocks)
    blocks.append(StaticEmbedding())
    assert compose.dimension == 21


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "give at least one"),
        ([Complexity], "is not a featurizer"),
        (["complexity"], "is not a featurizer"),
        ([Complexity(), Complexity()], r"complexity\.automated_readability"),
    ],
)
def test_unusable_blocks_are_refused(blocks, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Compose(blocks=blocks)


def test_strengths_multiply_those_of_the_blocks_and_change_no_number():
    blocks = [Metadata(categorical={"tier": ["gold"], "user": Hashed(slots=3)}), StaticEmbedding(dimension=2)]
    plain, weak = Compose(blocks=blocks), Compose(blocks=blocks, strengths=[0.5, 2])
    assert plain.blocks == (FeatureBlock(3, 1.0), FeatureBlock(4, 0.25), FeatureBlock(2, 1.0))
    assert weak.blocks == (FeatureBlock(3, 0.5), FeatureBlock(4, 0.125), FeatureBlock(2, 2.0))
    assert np.array_equal(weak.transform(TEXTS), plain.transform(TEXTS))
    assert weak.version == plain.version


def test_a_composition_of_compositions_keeps_all_blocks():
    inner = Compose(blocks=[Complexity(), StaticEmbedding(dimension=2)], strengths=[1.0, 0.5])
    whole = Compose(blocks=[inner, Template(slots=4)], strengths=[4.0, 1.0])
    assert [block.strength for block in whole.blocks] == [4.0, 2.0, 0.25]
    assert sum(block.columns for block in whole.blocks) == whole.dimension


@pytest.mark.parametrize("strengths", [[1.0], [1.0, 0.0], [1.0, -2.0], [1.0, float("nan")], [1.0, "2"], [1.0, True]])
def test_unusable_strengths_are_refused(strengths):
    with pytest.raises(InvalidConfigurationError, match="strength"):
        Compose(blocks=[Complexity(), StaticEmbedding()], strengths=strengths)


def test_request_that_a_block_cannot_read_is_refused():
    with pytest.raises(InvalidRequestError):
        Compose(blocks=[Complexity()]).transform([*TEXTS, Request(features=np.ones(21))])
