"""The benchmark of clients, in short."""

import json

import pytest
from click.testing import CliRunner

from benchmarks.client_overhead import main


def test_a_call_and_a_routed_call(tmp_path):
    out = tmp_path / "out.json"
    result = CliRunner().invoke(main, ["--seeds", "1", "--calls", "3", "--json", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    rows = {(row["policy"], row["metric"]): row["mean"] for row in json.loads(out.read_text())["rows"]}
    assert rows["banditroute", "ratio"] == pytest.approx(
        rows["banditroute", "microseconds"] / rows["openai", "microseconds"]
    )
    assert rows["openai", "microseconds"] > 0.0
