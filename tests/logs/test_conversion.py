"""Writing a log in our own form: from Python and from the command line."""

import json

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from banditroute.cli import main
from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.logs import convert, open_log, read_log, read_outcomes

CALL = {"request_id": "r", "spend": 0.1, "startTime": 1.0, "model": "small", "metadata": {"judge": 0.5}}
WIDE = "sample_id,prompt,a,a|total_cost,b,b|total_cost\nq1,Wé?,1,0.5,0.25,0.5\nq2,Why?,0,0.5,1,0.25\n"


def say(*arguments, status=0):
    result = CliRunner().invoke(main, ["convert", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.output


def test_json_lines_are_plain(write, tmp_path):
    assert convert(open_log(write([CALL])), tmp_path / "out.jsonl") == 1
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {
        "id": "r", "arm": "small", "decided_at": 1.0, "outcomes": {"cost_usd": 0.1},
    }  # fmt: skip


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl", "out.jsonl.zst"])
def test_a_wide_table_becomes_a_long_one(write, tmp_path, name):
    path = write(WIDE, "bench.csv")
    assert convert(open_log(path), tmp_path / name) == 4
    table = read_outcomes(tmp_path / name)
    assert (table.arms, table.prompts) == (("a", "b"), ("Wé?", "Why?"))
    assert list(table.rows()) == list(read_outcomes(path).rows())
    assert open_log(tmp_path / name).format.name == "long"


def test_own_objectives_keep_their_names(write, tmp_path):
    path = write("query_id,model,score,stars\nq1,a,1,5\n", "log.csv")
    convert(open_log(path, columns={"rating": "stars"}), tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [
        {"query_id": "q1", "model": "a", "score": 1.0, "rating": 5.0}
    ]


def test_failed_conversion_keeps_the_earlier_file(write, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("precious")
    path = write([CALL] * 5000 + [{**CALL, "spend": -1}])
    with pytest.raises(InvalidInputError, match="row 5001: outcomes"):
        convert(open_log(path), out)
    with pytest.raises(InvalidInputError, match="has no rows that can be used"):
        convert(open_log(write([{**CALL, "spend": -1}], "bad.jsonl"), skip_bad=True), out)
    with pytest.raises(InvalidConfigurationError, match=r"ends in '\.csv'; name it \.parquet, \.jsonl"):
        convert(open_log(path), tmp_path / "out.csv")
    with pytest.raises(InvalidInputError, match=r"cannot be written: .*No such file"):
        convert(open_log(write([CALL], "good.jsonl")), tmp_path / "none" / "out.jsonl")
    with pytest.raises(InvalidConfigurationError, match="is, or is in, the log that is read; give another name"):
        convert(open_log(path), path)
    assert out.read_text() == "precious"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bad.jsonl", "good.jsonl", "log.jsonl", "out.jsonl"]


def test_convert_command_prints_what_it_read_and_left_out(write, tmp_path):
    path = write([CALL, {**CALL, "spend": -1}, {**CALL, "cache_hit": "True"}])
    out = tmp_path / "out.parquet"
    assert "row 2: outcomes is [('cost_usd', -1" in say(path, out, status=1)
    told = say(path, out, "--skip-bad", "--column", "quality=metadata.judge", "--format", "litellm")
    assert told == (
        f"1 rows of format litellm written to {out}\n1 left out: answered from a cache\n1 left out: outcomes\n"
    )
    assert read_log(out).outcomes["quality"].tolist() == [0.5]
    assert "'quality' is not NAME=COLUMN" in say(path, out, "--column", "quality", status=2)
    assert "'x' is not one of 'decisions', " in say(path, out, "--format", "x", status=2)
