"""The script that fits the codebook of SemanticCluster."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from click.testing import CliRunner

from banditroute.core.request import Request
from banditroute.features import Codebook, SemanticCluster
from scripts import fit_codebook
from scripts.fit_codebook import fit, main, sample

KINDS = {
    "sum": "Add {0} and {1}, then subtract {2}. What is the result?",
    "code": "def f{0}(x):\n    return x[{1}] + {{'a': {2}}}\n",
    "poem": "Write a gentle poem about autumn, number {0}, with {1} verses of {2} lines, for my grandmother.",
}


def prompts(kind, n=40):
    rng = np.random.default_rng(7)
    return [KINDS[kind].format(*rng.integers(1, 99, 3)) for _ in range(n)]


def test_clusters_are_the_kinds_of_prompt():
    codebook = fit([text for kind in KINDS for text in prompts(kind)], clusters=3)
    cluster = SemanticCluster(codebook=codebook)
    nearest = [
        set(cluster.transform([Request(text=text) for text in prompts(kind)]).argmax(axis=1).tolist()) for kind in KINDS
    ]
    assert sorted(map(len, nearest)) == [1, 1, 1]
    assert len(set.union(*nearest)) == 3


def test_the_largest_cluster_comes_first():
    codebook = fit([*prompts("poem", 10), *prompts("sum", 30)], clusters=2)
    x = SemanticCluster(codebook=codebook).transform([Request(text=text) for text in prompts("sum", 30)])
    assert set(x.argmax(axis=1).tolist()) == {0}
    assert codebook.ids.tolist() == [0, 1]


def test_sample_repeats_nothing_and_leaves_out(monkeypatch):
    assert sample([["a", "b", "b"], ["b", "c", "d"]], leave_out=["c"]) == ["a", "b", "d"]
    monkeypatch.setattr(fit_codebook, "PER_FILE", 2)
    taken = sample([list("abcdef"), ["g"]])
    assert len(taken) == 3
    assert set(taken) < set("abcdefg")


def test_command_writes_a_codebook_without_what_is_left_out(tmp_path):
    for name, kinds in {"one": ["sum", "code"], "two": ["poem"], "barred": ["code"]}.items():
        table = pa.table({"prompt": [text for kind in kinds for text in prompts(kind)]})
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    arguments = [str(tmp_path / "one.parquet"), str(tmp_path / "two.parquet"), "--clusters", "2"]
    written = []
    for name in ("one", "two"):
        out = tmp_path / name / "codebook.npz"
        left_out = ["--leave-out", str(tmp_path / "barred.parquet")]
        result = CliRunner().invoke(main, [*arguments, *left_out, "--out", str(out)], catch_exceptions=False)
        assert result.exit_code == 0
        assert "2 clusters of 80 prompts" in result.output
        written.append(SemanticCluster(codebook=Codebook.load(out)).version)
    assert written[0] == written[1]
