"""The benchmark of quality against cost, on a table whose figures can be computed by hand."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

from banditroute.logs import read_outcomes
from banditroute.simulate.replay import Trace
from benchmarks import frontier
from benchmarks.frontier import main


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """100 prompts; "cheap" is right for one half of them at $0.001, "dear" for nine of ten at $0.011."""
    rows = [
        {"query_id": f"q{q:03d}", "prompt": f"prompt {q}", "model": model, "score": score, "cost_usd": cost}
        for q in range(100)
        for model, score, cost in (("cheap", float(q % 2), 0.001), ("dear", float(q % 10 > 0), 0.011))
    ]
    path = tmp_path_factory.mktemp("frontier") / "toy.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def by_key(rows):
    return {(row["case"], row["policy"], row["metric"]): row for row in rows}


def test_every_preference_is_measured_and_summed_up(file, tmp_path, monkeypatch):
    monkeypatch.setattr(frontier, "DOLLARS", np.array([1e-3, 1.0]))
    out = tmp_path / "out.json"
    result = CliRunner().invoke(main, [str(file), "--seeds", "3", "--json", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    rows = by_key(json.loads(out.read_text())["rows"])
    points = ("cost_usd", "score", "above_static")
    for policy, parts, n in (("banditroute", ("pass", "second_half"), 3), ("ridge_full", ("pass",), 3)):
        for part in parts:
            assert {
                rows[f"toy@{usd}", policy, f"{metric}_{part}"]["n"] for usd in ("0.001", "1") for metric in points
            } == {n}
            assert rows["toy", policy, f"aiq_{part}"]["n"] == n
    cheap, dear = (rows[f"toy@{usd}", "banditroute", "cost_usd_second_half"]["mean"] for usd in ("0.001", "1"))
    assert cheap < dear
    # Static: from (.001, .5) to (.011, .9). 98% of .9 is .882, at .001 + .01 x .382 / .4.
    assert rows["toy", "static_mix", "aiq_pass"]["mean"] == pytest.approx(0.7)
    assert rows["toy", "static_mix", "aiq_routerbench_pass"]["mean"] == pytest.approx(0.7 * 10.0 / 11.0)
    assert rows["toy", "static_mix", "cost_usd_of_98_percent_pass"]["mean"] == pytest.approx(0.01055)


def test_a_static_mixture_is_not_above_itself_and_an_oracle_is(file, monkeypatch):
    monkeypatch.setattr(frontier, "DOLLARS", np.array([0.01]))
    table = read_outcomes(file)
    every = np.arange(100)
    cheap, dear = table.arms.index("cheap"), table.arms.index("dear")
    half = np.where(every % 20 < 10, cheap, dear)
    knows = np.where(table.outcomes["quality"][:, cheap] == 1.0, cheap, dear)
    # Both at (.001 + .011) / 2; beyond it their hulls stay at .7 and .9, while the static one rises to .9 at .011.
    for chosen, above, apart in ((half, 0.0, 0.7 - 0.9), (knows, 0.9 - 0.7, 0.0)):
        trace = Trace(policy="p", seed=0, rows=every, chosen=chosen)
        rows = by_key(vars(row) for row in frontier.figures(table, "p", [[trace]], "pass", 0))
        assert rows["toy@0.01", "p", "cost_usd_pass"]["mean"] == pytest.approx(0.006)
        assert rows["toy@0.01", "p", "above_static_pass"]["mean"] == pytest.approx(above)
        assert rows["toy", "p", "hull_above_static_pass"]["mean"] == pytest.approx(apart)
    assert rows["toy", "p", "cost_usd_of_98_percent_pass"]["mean"] == pytest.approx(
        0.006
    )  # (.006, .9): no dearer needed


def test_a_file_without_costs_is_refused(tmp_path):
    path = tmp_path / "free.parquet"
    parquet.write_table(pa.table({"query_id": ["a"], "model": ["m"], "score": [1.0]}), path)
    result = CliRunner().invoke(main, [str(path)])
    assert result.exit_code == 2
    assert "free.parquet does not have the cost of every arm" in result.output
