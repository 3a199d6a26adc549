"""The benchmark of adapters: every cell has every policy, and its figures are what they are called."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from banditroute.simulate.adapters import PagingRun
from benchmarks import adapters


def test_every_policy_in_every_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(adapters, "REQUESTS", 80)
    monkeypatch.setattr(adapters, "CELLS", {"base": {}, "K=3": {"slots": 3}})
    result = CliRunner().invoke(adapters.main, ["--seeds", "2", "--json", str(tmp_path / "out.json")])
    assert result.exit_code == 0, result.output
    rows = {(r["case"], r["policy"], r["metric"]): r for r in json.loads((tmp_path / "out.json").read_text())["rows"]}
    assert {(case, policy) for case, policy, _ in rows} == {(c, p) for c in ("base", "K=3") for p in adapters.POLICIES}
    for metric in ("regret", "net_utility", "paging_seconds", "hit_rate", "log_slope", "ratio_to_oracle_cache"):
        assert rows["K=3", "banditroute", metric]["mean"] != rows["base", "banditroute", metric]["mean"]
    assert rows["base", "oracle", "regret"]["mean"] == 0.0
    assert rows["base", "oracle_cache", "ratio_to_oracle_cache"]["mean"] == 1.0
    assert rows["base", "banditroute", "regret"]["n"] == 2


def test_real_prompts_with_measured_loads(tmp_path, monkeypatch):
    monkeypatch.setattr(adapters, "_load_seconds", lambda: [0.01, 0.03])
    rows = [
        {
            "query_id": str(i),
            "model": model,
            "score": float(i % 3 == k),
            "prompt": f"{'add one to' if i % 2 else 'who was'} {i}?",
        }
        for i in range(40)
        for k, model in enumerate("abc")
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "toy.parquet")
    out = tmp_path / "out.json"
    result = CliRunner().invoke(adapters.main, [str(tmp_path / "toy.parquet"), "--seeds", "2", "--json", str(out)])
    assert result.exit_code == 0, result.output
    found = {(r["case"], r["policy"], r["metric"]): r["mean"] for r in json.loads(out.read_text())["rows"]}
    assert found["toy", "peft", "load_seconds"] == pytest.approx(0.02)
    assert {case for case, _, _ in found} == {"toy", "toy@K=2", "toy@K=3"}
    # with three slots for three adapters each is loaded once at most, and 40 requests pay for no more than three loads
    assert found["toy@K=3", "lru_oblivious", "paging_seconds"] <= 1000.0 / 40 * 3 * 0.02 + 1e-9
    assert found["toy@K=2", "banditroute", "net_utility"] > 0.1


def test_figures_by_hand():
    found = PagingRun(
        chosen=np.zeros((1, 4), dtype=int),
        hit=np.array([[False, True, True, True]]),
        utility=np.full((1, 4), 0.5),
        paid=np.array([[0.3, 0.0, 0.0, 0.0]]),
    )
    best = {"net": np.full((1, 4), 0.6), "regret": np.array([0.35])}
    figures = {r.metric: r.mean for r in adapters.figure_rows("base", "polar", found, best, 0.3)}
    assert figures == pytest.approx(
        {
            "regret": 0.7,  # .4 and then .1 each
            "net_utility": 1.7 / 4,
            "paging_seconds": 1000.0 * 1.0 / 4,  # .3 of utility is one second
            "hit_rate": 0.75,
            "log_slope": np.log(0.7 / 0.4) / np.log(4.0),
            "ratio_to_oracle_cache": 2.0,
        }
    )


def test_every_cell_differs_from_the_base_in_one_thing():
    assert [len(cell) for cell in adapters.CELLS.values()] == [0, *[1] * (len(adapters.CELLS) - 1)]
    assert all(set(cell) <= set(adapters.BASE) for cell in adapters.CELLS.values())
