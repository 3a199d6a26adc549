"""The benchmark of fleets: every policy serves the same requests, and the figures are what they are called."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from banditroute.simulate.adapter_traffic import adapter_traffic
from benchmarks import adapter_fleet
from benchmarks.adapter_fleet import POLICIES, serve


@pytest.fixture(scope="module")
def traffic():
    return adapter_traffic(seed=0, adapters=30, tasks=10, requests=300)


def test_every_policy_has_every_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(adapter_fleet, "ADAPTERS", (8,))
    monkeypatch.setattr(adapter_fleet, "REQUESTS", 120)
    result = CliRunner().invoke(adapter_fleet.main, ["--seeds", "2", "--json", str(tmp_path / "out.json")])
    assert result.exit_code == 0, result.output
    rows = {(r["policy"], r["metric"]): r for r in json.loads((tmp_path / "out.json").read_text())["rows"]}
    assert {policy for policy, _ in rows} == set(POLICIES)
    assert rows["oracle", "regret"]["mean"] == 0.0
    assert rows["lru_affinity", "loads_vs_lru_affinity"]["mean"] == 1.0
    assert rows["lru_affinity", "quality_vs_lru_affinity"]["mean"] == 0.0


@pytest.mark.parametrize("name", list(POLICIES))
def test_a_load_is_paid_once_and_only_what_is_loading_is_waited_for(traffic, name):
    run = serve(traffic, POLICIES[name], 0)
    assert np.all((run.loads == 0) == (run.paid == 0.0))
    assert run.loads.sum() > 0 or POLICIES[name].cache == "oracle"
    assert np.all(run.waited >= 0.0)


def test_aware_router_loads_less_than_an_oblivious_one(traffic):
    aware, oblivious = (serve(traffic, POLICIES[name], 0) for name in ("lru_affinity_aware", "lru_affinity"))
    assert aware.loads.sum() < oblivious.loads.sum()


def test_same_seed_gives_the_same_run(traffic):
    one, two = (serve(traffic, POLICIES["banditroute"], 3) for _ in range(2))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)
