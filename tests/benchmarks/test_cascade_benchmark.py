"""The benchmark of cascades, on a table whose figures are known."""

import json

import pyarrow as pa
import pyarrow.parquet as parquet
from click.testing import CliRunner

from benchmarks import cascade
from benchmarks.cascade import main


def write(path, *, cost=True):
    """400 prompts; "cheap" is right for one half of them, "dear" for all at ten times the price."""
    rows = [
        {"query_id": f"q{q:03d}", "prompt": f"prompt {q * 7919 % 400}", "model": model, "score": score}
        | ({"cost_usd": usd} if cost else {})
        for q in range(400)
        for model, score, usd in (("cheap", float(q % 2), 0.001), ("dear", 1.0, 0.01))
    ]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_a_judge_that_never_errs_makes_the_best_quality_cheap(tmp_path, monkeypatch):
    monkeypatch.setattr(cascade, "DOLLARS", (0.03,))
    path, out = write(tmp_path / "toy.parquet"), tmp_path / "out.json"
    arguments = [str(path), "--seeds", "2", "--error", "0", "--json", str(out)]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    rows = {(r["case"], r["policy"], r["metric"]): r for r in json.loads(out.read_text())["rows"]}
    with_judge = rows["toy/judge_errs=0@0.03", "banditroute/cascade", "score_pass"]
    assert with_judge["n"] == 2
    assert with_judge["mean"] > 0.93
    assert rows["toy@0.03", "banditroute", "score_pass"]["mean"] < with_judge["mean"]
    # The cheap arm and, for one half, the dear one: 0.001 + 0.5 x 0.01 of 0.01, beside learning.
    assert 0.55 < rows["toy/judge_errs=0", "banditroute/cascade", "cost_of_98_percent"]["mean"] < 0.9


def test_a_file_without_costs_is_refused(tmp_path):
    result = CliRunner().invoke(main, [str(write(tmp_path / "free.parquet", cost=False))])
    assert result.exit_code == 2
    assert "free.parquet does not have the cost" in result.output
