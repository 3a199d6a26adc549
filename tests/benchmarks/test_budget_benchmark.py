"""The benchmark of budgets, on a small table of costs fifty-fold apart."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

from benchmarks import budget
from benchmarks.budget import Case, Part, main

ARMS = (("cheap", 0.4, 0.0002), ("middle", 0.5, 0.001), ("dear", 1.0, 0.0102))  # share of right answers, dollars


def write(path, *, costs=True):
    rows = [
        {"query_id": f"q{q:03d}", "prompt": f"prompt {q}", "model": model, "score": float(q % 10 < 10 * right)}
        | ({"cost_usd": usd} if costs else {})
        for q in range(120)
        for model, right, usd in ARMS
    ]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def run(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments), "--seeds", "1"], catch_exceptions=False)


def test_budgets_lie_between_the_cheapest_and_the_dearest_arm(tmp_path):
    out = tmp_path / "out.json"
    assert run(write(tmp_path / "toy.parquet"), "--no-changes", "--json", out).exit_code == 0
    cases = {row["case"] for row in json.loads(out.read_text())["rows"]}
    ratio = 51.0 ** (1.0 / 6.0)  # .0102 / .0002
    assert cases == {f"toy@{0.0002 * ratio**step:.1e}" for step in range(7)}


def test_a_table_without_costs_is_refused(tmp_path):
    done = run(write(tmp_path / "free.parquet", costs=False))
    assert done.exit_code == 2
    assert "free.parquet does not have the cost of every arm for every prompt" in done.output


@pytest.mark.parametrize(("before", "during"), [(0.9, 0.75), (0.5, 0.375)])
def test_an_arm_gets_worse_however_good_it_was(before, during, monkeypatch):
    seen = []

    def serve(case, usd, learner):
        seen.append(case.test.quality)
        return np.zeros(len(case.test), dtype=int)

    monkeypatch.setattr(Case, "serve", serve)
    part = Part(x=np.zeros((30, 1)), quality=np.full((30, 3), before), cost=np.full((30, 3), 0.001))
    budget.quality_drops(Case(burn_in=part, test=part, seed=0), 0.001)
    assert seen[0][:, 1] == pytest.approx(np.repeat([before, during, before], 10))
    assert (seen[0][:, [0, 2]] == before).all()
