"""What was fitted survives a restart, whole or not at all, and only where it belongs."""

import numpy as np
import pytest

from banditroute.core.request import Request
from banditroute.errors import InvalidConfigurationError
from banditroute.features import Complexity, SentenceEmbedding, Standardize, StaticEmbedding, TaskType, _state

PROMPTS = ["a", "aa b", "cat and dog", "an apple a day", "zoo"]
EXAMPLES = {"sum": ["What is 2 + 2?", "Add 3 and 4"], "greeting": ["Hello!", "Good morning"]}


def embed(texts):
    return [[len(text), text.count("a"), text.count(" ")] for text in texts]


def sentence(label="counts", dimension=2):
    return Standardize(block=SentenceEmbedding(model=embed, label=label), dimension=dimension)


SAVED = {
    "Standardize, of a sentence embedding": (lambda: sentence().fit(PROMPTS), lambda path: sentence().load(path)),
    "Standardize": (
        lambda: Standardize(block=Complexity()).fit(PROMPTS),
        lambda path: Standardize(block=Complexity()).load(path),
    ),
    "Standardize, projected": (
        lambda: Standardize(block=Complexity(), dimension=3).fit(PROMPTS),
        lambda path: Standardize(block=Complexity(), dimension=3).load(path),
    ),
    "TaskType": (lambda: TaskType.fit(EXAMPLES), TaskType.load),
}


@pytest.mark.parametrize("name", SAVED)
def test_a_restart_gives_the_same_version_and_the_same_numbers(name, tmp_path):
    make, load = SAVED[name]
    before = make()
    before.save(tmp_path / "state.npz")
    after = load(tmp_path / "state.npz")
    request = Request(text="An apple, and a cat?")
    assert after.version == before.version
    assert after.names == before.names
    assert np.array_equal(after.transform_one(request), before.transform_one(request))
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]


@pytest.mark.parametrize("name", SAVED)
@pytest.mark.parametrize("other", SAVED)
def test_a_file_is_loaded_only_where_it_belongs(name, other, tmp_path):
    if name == other:
        return
    SAVED[name][0]().save(tmp_path / "state.npz")
    with pytest.raises(InvalidConfigurationError, match=r"was saved by .*, and cannot be loaded by"):
        SAVED[other][1](tmp_path / "state.npz")


@pytest.mark.parametrize(
    ("saved", "other"),
    [
        (sentence(), sentence(label="other")),
        (sentence(), sentence(dimension=1)),
        (Standardize(block=Complexity()), Standardize(block=StaticEmbedding())),
        (Standardize(block=Complexity()), Standardize(block=Complexity(), dimension=2)),
    ],
)
def test_state_of_other_settings_is_refused_and_changes_nothing(saved, other, tmp_path):
    saved.fit(PROMPTS).save(tmp_path / "state.npz")
    version = other.fit(PROMPTS).version
    with pytest.raises(InvalidConfigurationError, match="with the settings that it was saved with"):
        other.load(tmp_path / "state.npz")
    assert other.version == version


def test_saving_before_fit_is_refused(tmp_path):
    for unfitted in (sentence(), Standardize(block=Complexity())):
        with pytest.raises(InvalidConfigurationError, match="is not fitted"):
            unfitted.save(tmp_path / "state.npz")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_older_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "state.npz"
    sentence().fit(PROMPTS).save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(_state.os, "fsync", fail)
    with pytest.raises(OSError, match="the disk is full"):
        sentence().fit(PROMPTS[1:]).save(path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["state.npz"]


def garbage(path):
    path.write_bytes(b"not an archive")


def empty(path):
    path.write_bytes(b"")


def cut(path):
    sentence().fit(PROMPTS).save(path)
    path.write_bytes(path.read_bytes()[:300])


def flipped(path):
    sentence().fit(PROMPTS).save(path)
    blob = bytearray(path.read_bytes())
    where = bytes(blob).index(b"\x93NUMPY", 200) + 130
    blob[where] ^= 0xFF
    path.write_bytes(bytes(blob))


def bare_array(path):
    with path.open("wb") as file:
        np.save(file, np.ones(3))


def pickled(path):
    np.savez(path, **{"fitted by": np.array({"a": 1}, dtype=object)})


@pytest.mark.parametrize("spoil", [garbage, empty, cut, flipped, bare_array, pickled])
def test_a_spoilt_file_is_told_and_nothing_is_changed(spoil, tmp_path):
    path = tmp_path / "state.npz"
    spoil(path)
    fitted = sentence().fit(PROMPTS)
    version = fitted.version
    with pytest.raises(InvalidConfigurationError, match="is not what save"):
        fitted.load(path)
    assert fitted.version == version


def test_a_file_of_anybody_else_is_told(tmp_path):
    np.savez(tmp_path / "state.npz", mean=np.ones(3))
    with pytest.raises(InvalidConfigurationError, match="saved by 'nobody'"):
        sentence().load(tmp_path / "state.npz")


def test_missing_arrays_are_told(tmp_path):
    _state.save(tmp_path / "state.npz", owner="me", arrays={"mean": np.ones(3)})
    with pytest.raises(InvalidConfigurationError, match=r"holds \['mean'\], not \['mean', 'projection'\]"):
        _state.load(tmp_path / "state.npz", owner="me", names=("mean", "projection"))


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        sentence().load(tmp_path / "none.npz")


def test_digest_tells_values_and_shapes_apart():
    arrays = [np.zeros(4), np.zeros((2, 2)), np.zeros(4, dtype=int), np.array([0.0, 0.0, 0.0, 1e-300])]
    assert len({_state.digest(array) for array in arrays}) == 4
    assert _state.digest(np.eye(3)) == _state.digest(np.asfortranarray(np.eye(3)))
    assert len(_state.digest(np.zeros(1))) == 12
