"""``banditroute diagnose``: from a log to a table, a recommendation and a picture."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from banditroute.cli import main

TOPICS = ("Write a python function that sorts numbers.", "Is this clause of the contract enforceable?")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Two adapters that are each good at one topic, and one that is good at nothing; the topics take turns."""
    rows = [
        {"query_id": f"{i:04}", "model": model, "score": float(i % 2 == k), "prompt": f"{TOPICS[i % 2]} ({i})"}
        for i in range(120)
        for k, model in enumerate(("code", "law", "none"))
    ]
    path = tmp_path_factory.mktemp("log") / "toy.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_prints_a_table_and_recommends(log, tmp_path):
    result = CliRunner().invoke(main, ["diagnose", str(log), "--plot", str(tmp_path / "out.png")])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "120 requests, 3 adapters, a miss costs 0.15 of quality"
    assert lines[2] == "slots  epoch  coverage  lookahead hits  utility kept"
    assert [line.split()[:2] for line in lines[3:7]] == [["1", "50"], ["1", "100"], ["2", "50"], ["2", "100"]]
    assert lines[5].split()[2:] == ["1.000", "0.983", "1.0000"]
    assert lines[-1].startswith("recommended: 2 slots, epochs of 100 requests; they keep 100.0%")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_with_free_misses_one_slot_is_enough(log):
    result = CliRunner().invoke(main, ["diagnose", str(log), "--miss-cost", "0"])
    assert result.output.splitlines()[-1].startswith("recommended: 1 slots")
