"""The benchmarks of grades and of robustness, on a table of which the truth is known."""

import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

from benchmarks import robustness, to_grade


@pytest.fixture
def file(tmp_path):
    """80 prompts of two arms, one always right and one always wrong."""
    rows = [
        {"query_id": f"q{q:04d}", "prompt": f"What is {q} and {q}?", "task": "sum", "model": arm, "score": score}
        for q in range(80)
        for arm, score in (("good", 1.0), ("bad", 0.0))
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "toy.parquet")
    return str(tmp_path / "toy.parquet")


def rows_of(main, file, tmp_path):
    out = tmp_path / "out.json"
    result = CliRunner().invoke(main, [file, "--seeds", "2", "--json", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    return {(row["policy"], row["metric"]): row for row in json.loads(out.read_text())["rows"]}


def test_grades_asked_for_stand_beside_grades_at_random(file, tmp_path, monkeypatch):
    monkeypatch.setattr(to_grade, "MARKS", (20, 40, 60))  # the log has 40 answers
    monkeypatch.setattr(to_grade, "REFERENCES", (40,))
    rows = rows_of(to_grade.main, file, tmp_path)
    assert rows["banditroute", "quality after 40 grades"]["mean"] == 1.0
    assert rows["banditroute", "grades for the quality of 40 at random, as a share"]["mean"] <= 1.0
    assert rows["random", "quality after 20 grades"]["n"] == 2
    assert ("random", "quality after 60 grades") not in rows


def test_a_router_of_one_good_arm_never_flips(file, tmp_path):
    rows = rows_of(robustness.main, file, tmp_path)
    assert rows["banditroute", "flips, small letters"]["mean"] == 0.0
    assert rows["banditroute/margin=0.05", "quality"]["mean"] == 1.0
    assert rows["banditroute/margin=0", "cost"]["mean"] == 0.0
