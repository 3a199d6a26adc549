"""The benchmark of energy, on a partial table whose figures can be computed by hand."""

import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

from benchmarks import energy
from benchmarks.energy import main


def write(path, *, without=()):
    """400 prompts; "frugal" is right for one half of them at 1 J, "lavish" for all at 9 J; "rare" answers one in 4."""
    rows = [
        {"query_id": f"q{q:03d}", "prompt": f"prompt {q}", "model": model, "score": score, "energy_j_per_token": joules}
        for q in range(400)
        for model, score, joules in (("frugal", float(q % 2), 1.0 + 0.01 * q), ("lavish", 1.0, 9.0), ("rare", 0.0, 5.0))
        if model != "rare" or q % 4 == 0
    ]
    parquet.write_table(pa.Table.from_pylist(rows).drop_columns(list(without)), path)
    return path


def test_accuracy_and_energy_for_every_weight_and_arm(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "WEIGHTS", (0.0, 0.9))
    path, out = write(tmp_path / "toy.parquet"), tmp_path / "out.json"
    result = CliRunner().invoke(main, [str(path), "--seeds", "2", "--json", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    rows = {(row["case"], row["policy"], row["metric"]): row for row in json.loads(out.read_text())["rows"]}
    score = {(case, policy): row["mean"] for (case, policy, metric), row in rows.items() if metric == "score_pass"}
    joules = {(case, policy): row["mean"] for (case, policy, metric), row in rows.items() if "joules" in metric}
    assert score["toy", "always lavish"] == 1.0
    assert score["toy", "always frugal"] == 0.5
    assert score["toy", "always rare"] == 0.0
    assert joules["toy", "always frugal"] == pytest.approx(2.995)
    assert joules["toy", "always rare"] == 5.0
    assert 0.6 < score["toy", "uniform"] < 0.8
    assert score["toy@0.0", "banditroute"] > 0.85
    assert joules["toy@0.9", "banditroute"] < 5.0 < joules["toy@0.0", "banditroute"]
    assert rows["toy@0.9", "banditroute", "score_pass"]["n"] == 2


def test_a_file_without_energy_is_refused(tmp_path):
    path = write(tmp_path / "dark.parquet", without=["energy_j_per_token"])
    result = CliRunner().invoke(main, [str(path)])
    assert result.exit_code == 2
    assert "dark.parquet has no column energy_j_per_token" in result.output
