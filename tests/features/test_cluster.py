"""SemanticCluster against a codebook small enough to work out by hand."""

import dataclasses
from importlib.resources import files
from threading import Barrier, Thread

import numpy as np
import pytest

from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError
from banditroute.features import Codebook, SemanticCluster
from banditroute.features import cluster as module
from banditroute.features.cluster import cluster_space

FOLDER = files("banditroute.features") / "data" / "clusters"
TEXTS = [
    "What is the capital of France?",
    "def f(x):\n    return {'a': x[0]}\n",
    "Tom has 3 apples and buys 4 more. How many apples has he now?",
]


@pytest.fixture
def codebook():
    rng = np.random.default_rng(3)
    s = cluster_space().dimension
    return Codebook(
        centre=rng.normal(size=s),
        scale=rng.uniform(5.0, 9.0, s),
        centres=rng.normal(size=(3, s)) / 9,
        temperature=0.7,
        ids=np.array([0, 7, 2]),
    )


@pytest.mark.parametrize("text", TEXTS)
def test_features_equal_the_formula(codebook, text):
    z = (cluster_space().transform_one(Request(text=text)) - codebook.centre) / codebook.scale
    weights = np.exp(-((z - codebook.centres) ** 2).sum(axis=1) / 0.7)
    expected = np.sqrt(3 * weights / weights.sum())
    assert SemanticCluster(codebook=codebook).transform_one(Request(text=text)) == pytest.approx(expected, rel=1e-9)


def test_a_prompt_at_a_centre_belongs_to_it_alone_when_the_assignment_is_hard(codebook):
    z = (cluster_space().transform([Request(text=text) for text in TEXTS]) - codebook.centre) / codebook.scale
    hard = dataclasses.replace(codebook, centres=z, temperature=1e-6)
    x = SemanticCluster(codebook=hard).transform([Request(text=text) for text in TEXTS])
    assert x == pytest.approx(np.sqrt(3) * np.eye(3))


def test_no_cluster_is_lost_far_from_all_centres(codebook):
    far = dataclasses.replace(codebook, centre=codebook.centre + 1e6, temperature=1e-9)
    x = SemanticCluster(codebook=far).transform_one(Request(text="far away"))
    assert np.isfinite(x).all()
    assert x @ x == pytest.approx(3.0)


def test_shipped_squares_sum_to_the_number_of_clusters():
    shipped = SemanticCluster()
    x = shipped.transform([Request(text=text) for text in [*TEXTS, "", "x" * 100_000, "\ud800"]])
    assert (x >= 0.0).all()
    assert (x**2).sum(axis=1) == pytest.approx(np.full(len(x), shipped.dimension))


def test_meaning_is_pinned_to_the_version():
    # Fails when the shipped codebook or what it measures by changes: then the version has changed with it.
    shipped = SemanticCluster()
    assert shipped.version == "cluster:00464212573b(complexity-3+static-minilm-1:64)"
    x = shipped.transform_one(Request(text="Write a Python function that returns the 10 largest primes below n."))
    expected = [0.02229, 0.03741, 6.1628, 0.58877, 1.06005, 0.909, 0.36981, 0.14132]
    assert np.allclose(x[:8], expected, rtol=0.0, atol=1e-4)


def test_white_space_and_capitals_hardly_move_a_prompt():
    shipped = SemanticCluster()
    for text in TEXTS:
        x = shipped.transform_one(Request(text=text))
        written = (f"\n{text.replace(' ', '  ')}\n", text.upper())
        for way in shipped.transform([Request(text=way) for way in written]):
            assert np.linalg.norm(way - x) < 0.35 * np.linalg.norm(x)


def test_another_codebook_gives_another_version(codebook):
    other = dataclasses.replace(codebook, temperature=0.8)
    versions = {SemanticCluster(codebook=one).version for one in (codebook, other)} | {SemanticCluster().version}
    assert len(versions) == 3


def test_saved_codebook_loads_as_the_same(codebook, tmp_path):
    codebook.save(tmp_path / "mine.npz")
    read = Codebook.load(tmp_path / "mine.npz")
    made, again = SemanticCluster(codebook=codebook), SemanticCluster(codebook=read)
    assert again.version == made.version
    assert again.names == made.names == ("cluster.00", "cluster.07", "cluster.02")


def test_a_codebook_of_other_features_is_refused(codebook, tmp_path, monkeypatch):
    codebook.save(tmp_path / "mine.npz")
    monkeypatch.setattr(module.Complexity, "version", "complexity-99")
    with pytest.raises(InvalidConfigurationError, match=r"complexity-3.*complexity-99"):
        Codebook.load(tmp_path / "mine.npz")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 broken"])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "other.npz").write_bytes(content)
    with pytest.raises(InvalidConfigurationError, match=r"other\.npz is not what save\(\)"):
        Codebook.load(tmp_path / "other.npz")


def test_arrays_of_something_else_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", centre=np.zeros(3))
    with pytest.raises(InvalidConfigurationError, match="was saved by"):
        Codebook.load(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"centre": np.zeros(3)}, "it got "),
        ({"centres": np.zeros((3, 4))}, "it got "),
        ({"centres": np.zeros((1, cluster_space().dimension))}, "K at least 2"),
        ({"scale": np.zeros(cluster_space().dimension)}, "scales and a temperature above 0"),
        ({"temperature": 0.0}, "scales and a temperature above 0"),
        ({"temperature": float("nan")}, "finite numbers"),
        ({"ids": np.arange(2)}, "3 clusters need 3 ids"),
        ({"ids": np.array([0, 1, 1])}, "each once"),
        ({"ids": np.array([0, 1, -1])}, "at least 0"),
        ({"ids": np.arange(3.0)}, "3 clusters need 3 ids"),
    ],
)
def test_unusable_codebooks_are_refused(codebook, change, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        dataclasses.replace(codebook, **change)


def test_a_path_is_no_codebook():
    with pytest.raises(InvalidConfigurationError, match=r"Codebook\.load\(path\)"):
        SemanticCluster(codebook="mine.npz")


def test_shipped_files_are_small_and_have_a_licence():
    sizes = {path.name: len(path.read_bytes()) for path in FOLDER.iterdir()}
    assert sizes.keys() == {"LICENSE", "ORIGIN.md", "codebook.npz"}
    assert sum(sizes.values()) <= 50_000


def test_many_threads_agree_on_the_first_use():
    module.shipped_assignment.cache_clear()
    barrier, results = Barrier(8), []

    def work():
        barrier.wait()
        results.append(SemanticCluster().transform_one(Request(text="all at once")))

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(np.array_equal(result, results[0]) for result in results)
