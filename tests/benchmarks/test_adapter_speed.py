"""The speed of adapters: with and without a cache, on the same requests."""

import json

from click.testing import CliRunner

from benchmarks import adapter_speed


def test_figures_are_of_the_same_run(tmp_path, monkeypatch):
    monkeypatch.setattr(adapter_speed, "ADAPTERS", (6,))
    monkeypatch.setattr(adapter_speed, "CALLS", 3)
    monkeypatch.setattr(adapter_speed, "CONTEXTS", 20)
    result = CliRunner().invoke(adapter_speed.main, ["--seeds", "2", "--json", str(tmp_path / "out.json")])
    assert result.exit_code == 0, result.output
    rows = {(r["policy"], r["metric"]): r for r in json.loads((tmp_path / "out.json").read_text())["rows"]}
    assert {row["case"] for row in rows.values()} == {"N=6"}
    route, cached, adds = (
        rows[policy, "microseconds"]["mean"] for policy in ("route", "route_with_cache", "cache_adds")
    )
    assert abs(cached - route - adds) < 1e-6
    fleet, fleet_adds = (rows[policy, "microseconds"]["mean"] for policy in ("route_with_fleet", "fleet_adds"))
    assert abs(fleet - route - fleet_adds) < 1e-6
    assert rows["controller", "milliseconds"]["mean"] > 0.0
    assert rows["lease", "microseconds"]["mean"] > 0.0
    assert rows["lease_recorded", "microseconds"]["mean"] > 0.0
    assert rows["plan", "milliseconds"]["n"] == 2
