"""StaticEmbedding against a mean computed by hand from the shipped table."""

from importlib.resources import files
from threading import Barrier, Thread

import numpy as np
import pytest

from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError
from banditroute.features import StaticEmbedding, static_embedding
from banditroute.features.static_embedding import MAXIMUM

FOLDER = files("banditroute.features") / "data" / "static_minilm"


@pytest.fixture(scope="module")
def shipped():
    vocabulary = (FOLDER / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    with (FOLDER / "vectors.npz").open("rb") as file:
        arrays = dict(np.load(file, allow_pickle=False))
    return {token: row for row, token in enumerate(vocabulary)}, arrays


def test_embedding_equals_the_hand_computed_one(shipped):
    rows, arrays = shipped
    tokens = ["the", "cat", "and", "the", "dog", "##fish", "!"]
    assert rows.keys() >= set(tokens)
    picked = [rows[token] for token in tokens]
    weights = arrays["weights"][picked].astype(float)
    vectors = arrays["vectors"][picked] * arrays["scales"].astype(float)
    expected = weights @ vectors / (4.0 + weights.sum())
    x = StaticEmbedding(dimension=MAXIMUM).transform_one(Request(text="The cat and the dogfish!"))
    assert x == pytest.approx(np.clip(expected, -4, 4), abs=1e-6)


def test_frequent_words_weigh_less_and_the_unknown_nothing(shipped):
    rows, arrays = shipped
    weight = {token: arrays["weights"][rows[token]] for token in ("the", "cat", "!", "[UNK]")}
    assert weight["[UNK]"] == 0.0 < weight["the"] < 0.1 < weight["cat"] < weight["!"] == 1.0


def test_fewer_directions_are_the_first_of_more():
    request = Request(text="Translate this sentence into French.")
    many = StaticEmbedding(dimension=MAXIMUM).transform_one(request)
    assert np.array_equal(StaticEmbedding(dimension=5).transform_one(request), many[:5])


@pytest.mark.parametrize("text", ["", " \n", "\x00\x01", "\U0001f9ff" * 3, "x" * 300])
def test_text_without_known_tokens_gives_zeros(text):
    assert not StaticEmbedding().transform_one(Request(text=text)).any()


def test_a_longer_text_says_more():
    short, long = (StaticEmbedding().transform_one(Request(text="algebra " * n)) for n in (1, 20))
    assert np.linalg.norm(long) > 2 * np.linalg.norm(short)


def test_no_entry_is_beyond_four():
    features = StaticEmbedding(dimension=MAXIMUM).transform(
        [Request(text=f"{word} " * 500) for word in ("algebra", "(", "0", "?", "##")]
    )
    assert np.abs(features).max() == 4.0


def test_shipped_files_are_small_and_have_a_licence(shipped):
    sizes = {path.name: len(path.read_bytes()) for path in FOLDER.iterdir()}
    assert sizes.keys() == {"LICENSE", "ORIGIN.md", "vectors.npz", "vocabulary.txt"}
    assert sum(sizes.values()) <= 5_000_000
    _, arrays = shipped
    assert {array.dtype.kind for array in arrays.values()} <= {"i", "f"}


@pytest.mark.parametrize("dimension", [0, MAXIMUM + 1, 2.0, True, "16", None])
def test_unusable_dimensions_are_refused(dimension):
    with pytest.raises(InvalidConfigurationError, match="whole number from 1 to 64"):
        StaticEmbedding(dimension=dimension)


def test_many_threads_read_the_table_once(monkeypatch):
    loads = []
    load = static_embedding.load_table

    def counted():
        loads.append(1)
        return load()

    monkeypatch.setattr(static_embedding, "_loaded", None)
    monkeypatch.setattr(static_embedding, "load_table", counted)
    barrier, results = Barrier(8), []

    def work():
        barrier.wait()
        results.append(StaticEmbedding().transform_one(Request(text="all at once")))

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(results) == 8
    assert all(np.array_equal(result, results[0]) for result in results)


def test_the_loaded_table_is_small():
    table = static_embedding.shipped_table()
    assert table.vectors.dtype == np.float32
    assert table.vectors.nbytes + table.weights.nbytes <= 10_000_000
