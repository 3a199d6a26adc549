"""The benchmark of frameworks, in short."""

import json

import pytest
from click.testing import CliRunner

from benchmarks.frameworks import main


def test_a_bare_call_and_a_routed_call_of_each_framework(tmp_path):
    pytest.importorskip("langchain_core")
    out = tmp_path / "out.json"
    result = CliRunner().invoke(main, ["--seeds", "1", "--calls", "3", "--json", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    rows = {(row["case"], row["policy"], row["metric"]): row["mean"] for row in json.loads(out.read_text())["rows"]}
    bare = rows["langchain", "langchain", "microseconds"]
    routed = rows["langchain", "banditroute", "microseconds"]
    assert rows["langchain", "banditroute", "added_microseconds"] == pytest.approx(routed - bare)
    assert bare > 0.0
