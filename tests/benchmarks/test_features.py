"""The benchmark of features, on a small table."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

from benchmarks import features
from benchmarks.features import main

TOPICS = ("Add {0} and {1}. What is the sum?", "Write a short poem about the number {0}, and rhyme it with {1}.")


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for query in range(120):
        kind = query % 2
        prompt = TOPICS[kind].format(*rng.integers(100, size=2))
        rows += [
            {"query_id": f"q{query:03d}", "dataset": f"kind{kind}", "prompt": prompt, "model": model, "score": score}
            for model, score in (("adder", 1.0 - kind), ("poet", 0.9 * kind))
        ]
    path = tmp_path / "small.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), path)
    others = [f"Explain topic {i} in {i + 2} words, please." for i in range(60)]
    parquet.write_table(pa.table({"prompt": others}), tmp_path / "others.parquet")
    return path


@pytest.fixture
def rows(table, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "times", lambda prompts, *, with_minilm: [])
    arguments = [str(table), "--prompts", str(tmp_path / "others.parquet"), "--seeds", "2", "--json"]
    result = CliRunner().invoke(main, [*arguments, str(tmp_path / "out.json")], catch_exceptions=False)
    assert result.exit_code == 0
    written = json.loads((tmp_path / "out.json").read_text())["rows"]
    return {(row["case"], row["policy"], row["metric"]): row for row in written}


def test_easy_log_is_routed_well_and_compared_with_the_references(rows):
    assert rows["small", "banditroute", "score_ridge"]["mean"] > 0.94
    assert rows["small", "banditroute", "score_knn"]["n"] == 2
    assert rows["small", "best_single", "score_ridge"]["mean"] == pytest.approx(0.5)
    assert rows["small", "best_per_task", "score_ridge"]["mean"] == pytest.approx(0.95)
    assert rows["small", "oracle", "score_ridge"]["mean"] == pytest.approx(0.95)


def test_clusters_are_scored_as_they_are_and_tracked(rows):
    for policy in ("banditroute/clusters", "banditroute/clusters_tracked"):
        found = rows["small@half", policy, "score_ridge"]
        assert found["n"] == 2
        assert found["mean"] > 0.8  # one arm alone: 0.5


def test_flips_are_counted_for_every_writing(rows):
    cases = {case for case, policy, metric in rows if metric == "flip_rate" and policy == "banditroute"}
    assert cases == {"small@whitespace", "small@lower_case", "small@upper_case", "small@prefix"}
    assert rows["small@whitespace", "banditroute/static16", "flip_rate"]["mean"] == 0.0
    scores = [rows[case, "banditroute/static16", "score_ridge"]["mean"] for case in ("small", "small@whitespace")]
    assert scores[0] == scores[1]


def test_codebooks_need_prompts(table, monkeypatch, tmp_path):
    monkeypatch.setattr(features, "DATA", tmp_path / "nowhere")
    result = CliRunner().invoke(main, [str(table)])
    assert result.exit_code == 2
    assert "give --prompts" in result.output


def test_at_most_the_limit_is_read(table):
    whole = features.read_outcomes(table)
    part = features.limited(whole, 50)
    assert len(part) == 50
    picked = [whole.prompts.index(prompt) for prompt in part.prompts]
    assert np.array_equal(part.outcomes["quality"], whole.outcomes["quality"][picked])
    assert features.limited(whole, 500) is whole
