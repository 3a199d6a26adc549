"""The script that makes the token table, on a model of a hundred tokens."""

import importlib.util
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

SCRIPT = Path(__file__).parents[2] / "scripts" / "distill_static.py"
WORDS = [f"{first}{second}" for first in "abcdefghij" for second in "klmnopqrst"]


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("safetensors")
    spec = importlib.util.spec_from_file_location("distill_static", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def inputs(tmp_path):
    from safetensors.numpy import save_file

    rng = np.random.default_rng(5)
    vocabulary = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[", "?", "the", *WORDS]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    weights = rng.normal(size=(len(vocabulary), 80)).astype(np.float32)
    save_file({"embeddings.word_embeddings.weight": weights}, tmp_path / "model.safetensors")
    prompts = [" ".join(rng.choice([*WORDS, "the", "?", "zz"], size=rng.integers(5, 60))) for _ in range(400)]
    parquet.write_table(pa.table({"prompt": prompts * 2}), tmp_path / "prompts.parquet")
    return tmp_path, prompts


def distil(script, folder, out):
    arguments = [str(folder), str(folder / "prompts.parquet"), "--out", str(out)]
    result = CliRunner().invoke(script.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    with np.load(out / "vectors.npz", allow_pickle=False) as arrays:
        return (out / "vocabulary.txt").read_text().split("\n"), dict(arrays)


def test_prompts_come_out_centred_and_white(script, inputs, tmp_path):
    folder, prompts = inputs
    vocabulary, arrays = distil(script, folder, tmp_path / "out")
    assert vocabulary == ["[UNK]", "[", "?", "the", *WORDS]
    assert arrays["weights"][:3].tolist() == [0.0, 1.0, 1.0]
    assert np.all(np.diff(arrays["weights"][3:]) > 0)  # the rarer the word, the more it weighs
    row = {token: index for index, token in enumerate(vocabulary)}
    vectors = arrays["vectors"] * arrays["scales"].astype(float)
    x = []
    for prompt in prompts:
        rows = [row.get(token, 0) for token in prompt.split()]
        weights = arrays["weights"][rows].astype(float)
        x.append(weights @ vectors[rows] / (4.0 + weights.sum()))
    x = np.array(x)
    assert np.abs(x.mean(axis=0)).max() < 0.3
    assert x.T @ x / len(x) - np.outer(x.mean(axis=0), x.mean(axis=0)) == pytest.approx(np.eye(64), abs=0.05)


def test_the_same_input_gives_the_same_files(script, inputs, tmp_path):
    folder, _ = inputs
    one, other = distil(script, folder, tmp_path / "one"), distil(script, folder, tmp_path / "other")
    assert one[0] == other[0]
    assert all(np.array_equal(one[1][key], other[1][key]) for key in one[1])
