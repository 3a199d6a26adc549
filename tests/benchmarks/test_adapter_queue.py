"""The queue of adapters: what is looked ahead is loaded less often, and waited for less often."""

import json

from click.testing import CliRunner

from benchmarks import adapter_queue


def test_looking_ahead_spares_loads_and_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(adapter_queue, "QUEUES", 2)
    monkeypatch.setattr(adapter_queue, "BOUNDS", (None, 16))
    result = CliRunner().invoke(adapter_queue.main, ["--seeds", "2", "--json", str(tmp_path / "out.json")])
    assert result.exit_code == 0, result.output
    rows = {
        (r["case"], r["policy"], r["metric"]): r["mean"]
        for r in json.loads((tmp_path / "out.json").read_text())["rows"]
    }
    assert len(rows) == 8
    for case in ("lru", "default"):
        for metric in ("loads_per_request", "waits_per_request"):
            assert rows[case, "prefetch/max_overtaken=16", metric] < rows[case, "one_by_one", metric]
    # where nothing is loaded ahead, each load is waited for
    assert rows["lru", "one_by_one", "loads_per_request"] == rows["lru", "one_by_one", "waits_per_request"]
