"""The benchmark of the guard, on a table whose figures are known."""

import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

from benchmarks import guard
from benchmarks.guard import main


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(guard, "SAMPLE", 20)
    monkeypatch.setattr(guard, "LONGEST", 200)


def table(path, prompts):
    """A file of two arms, one always right and one always wrong."""
    rows = [
        {"query_id": f"q{q:04d}", "prompt": f"prompt {q}", "model": arm, "score": score}
        for q in range(prompts)
        for arm, score in (("good", 1.0), ("bad", 0.0))
    ]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def test_guarded_beside_unguarded_and_the_baseline(tmp_path):
    file, out = table(tmp_path / "toy.parquet", 320), tmp_path / "out.json"
    result = CliRunner().invoke(main, [file, "--seeds", "2", "--json", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    rows = {(row["case"], row["policy"], row["metric"]): row for row in json.loads(out.read_text())["rows"]}
    assert rows["toy", "best_single_of_sample", "score_pass"]["mean"] == 1.0
    for policy, (_, guarded) in guard.POLICIES.items():
        assert rows["toy", policy, "score_pass"]["n"] == 2
        assert (("toy", policy, "promoted_after") in rows) == (guarded is not None)
    assert rows["toy", "uniform", "score_pass"]["mean"] == pytest.approx(0.5, abs=0.1)
    assert rows["toy", "uniform/guard", "score_pass"]["mean"] > 0.93  # 1 - .05 x .5, and chance
    assert rows["toy", "uniform/guard", "promoted_after"]["mean"] == 301  # never
    assert rows["toy", "uniform/guard", "share"]["mean"] == 0.05


def test_a_large_gain_takes_less_evidence_than_a_small_one(monkeypatch):
    monkeypatch.setattr(guard, "LONGEST", 3000)
    assert guard.requests_until(0.0, 0.1, 0.5, seed=0) < guard.requests_until(0.0, 0.03, 0.5, seed=0)
    assert guard.requests_until(-0.01, 0.1, 0.5, seed=0) <= guard.requests_until(0.0, 0.1, 0.5, seed=0)


def test_a_table_without_room_for_the_sample_is_refused(tmp_path):
    result = CliRunner().invoke(main, [table(tmp_path / "toy.parquet", 20), "--seeds", "1"])
    assert result.exit_code == 2
    assert "toy has 20 prompts; the sample alone takes 20" in result.output
