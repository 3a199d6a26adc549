"""The benchmark of paging: what is reported, not how long it took."""

import json

import pytest
from click.testing import CliRunner

pytest.importorskip("peft")
from banditroute.adapters import PeftBackend, Tier
from benchmarks import peft_paging


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_the_three_ways_are_timed_for_every_rank_and_number_of_residents(tmp_path, monkeypatch):
    sources, out = [], tmp_path / "out.json"
    load = PeftBackend.load

    def spied(self, adapter):
        result = load(self, adapter)
        if adapter.name.startswith("one_more"):
            sources.append((result.source, len([tier for tier in self.resident().values() if tier is Tier.GPU])))
        return result

    monkeypatch.setattr(PeftBackend, "load", spied)
    clock = iter(range(10_000))  # every reading one second later: all take the same
    monkeypatch.setattr(peft_paging.time, "process_time", lambda: float(next(clock)))
    options = ["--seeds", "2", "--ranks", "2,4", "--residents", "1,2", "--layers", "1", "--width", "64"]
    result = CliRunner().invoke(peft_paging.main, [*options, "--json", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    rows = {(row["case"], row["policy"], row["metric"]): row for row in json.loads(out.read_text())["rows"]}
    assert {case for case, _, _ in rows} == {f"rank{rank}_residents{n}" for rank in (2, 4) for n in (1, 2)}
    assert {policy for _, policy, _ in rows} == {"banditroute", "banditroute/from_disk", "load_adapter"}
    assert {(metric, row["mean"], row["n"]) for (_, _, metric), row in rows.items()} == {
        ("cpu_milliseconds", 1000.0, 2),
        ("ratio_to_load_adapter", 1.0, 2),
    }
    each = [(source, n + 1) for n in (1, 2) for _ in range(2) for source in (Tier.DISK, Tier.RAM)]
    assert sources == 2 * each
