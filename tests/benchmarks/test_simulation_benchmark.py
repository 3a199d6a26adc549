"""The benchmark of simulation: it measures what it says, and leaves nothing behind."""

import json
import os

import pytest
from click.testing import CliRunner

from banditroute.simulate import fast_path
from benchmarks import simulation


def test_benchmark_writes_its_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(simulation, "COUNT", 1000)
    applies, cores = fast_path.applies, os.cpu_count
    path = tmp_path / "rows.json"
    result = CliRunner().invoke(simulation.main, ["--seeds", "1", "--requests", "60", "--json", str(path)])
    assert result.exit_code == 0, result.output
    rows = {(row["case"], row["policy"], row["metric"]): row["mean"] for row in json.loads(path.read_text())["rows"]}
    for policy in ("numpy", *simulation.LEARNERS, "banditroute/linucb_linear/router"):
        assert rows["d64_k16", policy, "decisions_per_second"] > 0.0
    assert rows["d64_k16", "numpy", "ratio"] == 1.0
    assert rows["sweep", "banditroute/linucb", "ratio"] == pytest.approx(
        rows["sweep", "banditroute/linucb", "speedup"] / rows["sweep", "busy_loop", "speedup"]
    )
    assert (fast_path.applies, os.cpu_count) == (applies, cores)
