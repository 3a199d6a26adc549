"""A folder of files, read as one log."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from banditroute import Learner, Router, SQLStore, admin
from banditroute.cli import main
from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.logs import convert, open_log, read_log, read_outcomes
from banditroute.policies import Uniform

CALL = {"request_id": "r", "spend": 0.1, "startTime": 1.0, "model": "small"}
HEAD = "query_id,model,score\n"


@pytest.fixture
def folder(tmp_path):
    """Make a folder of files: name -> content."""

    def make(files, name="logs"):
        made = tmp_path / name
        made.mkdir()
        for file, content in files.items():
            if isinstance(content, list):
                content = "".join(json.dumps(record) + "\n" for record in content)
            (made / file).write_bytes(content.encode() if isinstance(content, str) else content)
        return made

    return make


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """What ``admin.prune`` exports of 600 decisions, in files of 250; and all of them in one file."""
    path = tmp_path_factory.mktemp("pruned")
    url, rng, now = f"sqlite:///{path / 'routes.db'}", np.random.default_rng(0), 1e9
    learner = Learner(policy=Uniform())
    store = SQLStore(url)
    with Router(arms=["large", "small"], features=1, learner=learner, store=store, seed=5, clock=lambda: now) as router:
        for _ in range(600):
            decision = router.route([rng.random()])
            router.feedback(decision.id, quality=float(rng.random() < (0.9 if decision.arm == "large" else 0.6)))
            now += 1.0
    admin.export(url, path / "whole.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("banditroute.admin.pruning._DECISIONS_PER_FILE", 250)
        assert admin.prune(url, answered_seconds=0.0, now=now + 1.0, export=path / "old") == 600
    return path / "old", path / "whole.parquet"


class TestPruned:
    def test_folder_of_a_pruned_log_equals_the_whole_log(self, places):
        old, whole = places
        assert len(list(old.iterdir())) == 3
        (old / "later.part").write_bytes(b"half")
        (old / ".hidden").touch()
        (old / "_SUCCESS").touch()
        tables = [pa.concat_tables(open_log(path).tables()) for path in (old, whole)]
        assert tables[0].equals(tables[1])
        one, other = map(read_log, (old, whole))
        np.testing.assert_array_equal(one.contexts, other.contexts)
        np.testing.assert_array_equal(one.outcomes["quality"], other.outcomes["quality"])

    def test_commands_read_a_folder_as_one_log(self, places, tmp_path):
        old, whole = map(str, places)

        def say(*arguments):
            result = CliRunner().invoke(main, list(map(str, arguments)))
            assert result.exit_code == 0, result.output
            return result.stdout

        told = say("evaluate", old, "--policy", "large")
        assert told == say("evaluate", whole, "--policy", "large")
        assert told.splitlines()[-1].startswith("large would have been better than logged")
        assert say("convert", old, tmp_path / "one.parquet").startswith("600 rows of format decisions written")
        assert pq.read_table(tmp_path / "one.parquet").drop_columns("task").equals(pq.read_table(whole))
        say("report", old, "--out", tmp_path / "page")
        facts = json.loads((tmp_path / "page" / "figures.json").read_text())["facts"]
        assert (facts["log"], facts["decisions"]) == (old, "600")
        assert say("diagnose", old) == say("diagnose", whole)

    def test_a_row_that_is_wrong_is_told_with_its_file(self, places, tmp_path):
        files = sorted(places[0].glob("*.parquet"))
        spoiled = pq.read_table(files[1])
        at = spoiled.column_names.index("propensity")
        values = [0.5] * 6 + [7.0] + [0.5] * (len(spoiled) - 7)
        for name, table in (
            (files[0].name, pq.read_table(files[0])),
            (files[1].name, spoiled.set_column(at, "propensity", [values])),
        ):
            pq.write_table(table, tmp_path / name)
        with pytest.raises(InvalidInputError, match=rf"{files[1].name}: row 7: propensity is 7\.0"):
            read_log(tmp_path)
        log = read_log(tmp_path, skip_bad=True)
        assert (len(log), log.skipped) == (499, {"propensity": 1})


def test_decisions_exported_twice_are_read_once(places, tmp_path):
    whole = pq.read_table(places[1])
    for begin, end in ((0, 250), (100, 400), (400, 600)):
        pq.write_table(whole[begin:end], tmp_path / f"{whole['id'][begin]}-{whole['id'][end - 1]}.parquet")
    log = open_log(tmp_path)
    read = pa.concat_tables(log.tables())
    assert read.drop_columns("task").equals(whole)
    assert log.skipped == {"decision that an earlier file has": 150}


def test_decisions_without_an_id_are_not_one(folder):
    row = {"arm": "a", "outcomes": {}}
    assert len(read_log(folder({"1": [row, row], "2": [row]}))) == 3


def test_files_come_in_the_order_of_their_names_whatever_they_are_packed_in(folder):
    line = json.dumps({**CALL, "model": "packed"}).encode()
    made = folder(
        {"b": [{**CALL, "model": "second"}], "a.jsonl": [{**CALL, "model": "first"}], "c.gz": gzip.compress(line)}
    )
    log = read_log(made)
    assert [log.arms[k] for k in log.chosen] == ["first", "second", "packed"]


def test_a_table_of_outcomes(folder):
    made = folder(
        {"1.csv": HEAD + "q1,a,1\nq1,b,0\n", "2.csv": "model,score,query_id\nb,0.5,q2\na,0.25,q2\n"}, name="some.logs"
    )
    table = read_outcomes(made)
    np.testing.assert_array_equal(table.outcomes["quality"], [[1.0, 0.0], [0.25, 0.5]])
    with pytest.raises(InvalidInputError, match=r"2\.csv: row 3: score is '2'"):
        read_outcomes(folder({"1.csv": HEAD + "q1,a,1\n", "2.csv": HEAD + "q2,a,1\nq3,a,2\n"}))


def test_json_lines_leave_out_what_is_not_known(folder, tmp_path):
    row = {"query_id": "q1", "model": "a", "score": 1.0}
    made = folder(
        {"1": [row, {**row, "model": "b", "cost_usd": 0.5}], "2": [{**row, "query_id": "q2", "cost_usd": 0.25}]}
    )
    table = read_outcomes(made, partial=True)
    np.testing.assert_array_equal(table.outcomes["cost_usd"], [[np.nan, 0.5], [0.25, np.nan]])
    for name in ("out.parquet", "out.jsonl"):
        assert convert(open_log(made), tmp_path / name) == 3
        again = read_outcomes(tmp_path / name, partial=True)
        np.testing.assert_array_equal(again.outcomes["cost_usd"], table.outcomes["cost_usd"])
        assert again.outcomes.keys() == table.outcomes.keys()


def test_folder_that_is_not_one_log_is_refused(folder, tmp_path):
    with pytest.raises(InvalidInputError, match="is a folder without files"):
        open_log(folder({".hidden": "", "half.part": ""}, "empty"))
    with pytest.raises(InvalidInputError, match=r"2 is decisions, .*1 is litellm; a folder is one log, in one format"):
        open_log(folder({"1": [CALL], "2": [{"arm": "a", "outcomes": {}}]}, "two"))
    with pytest.raises(
        InvalidInputError, match=r"2 and .*1 differ in the columns cost_usd, dataset; a folder is one table"
    ):
        open_log(folder({"1": HEAD.replace("\n", ",dataset\n"), "2": HEAD.replace("\n", ",cost_usd\n")}, "columns"))
    with pytest.raises(InvalidInputError, match="2 is empty"):
        open_log(folder({"1": [CALL], "2": ""}, "none"))
    made = folder({"1": [CALL]}, "nested")
    (made / "2").mkdir()
    with pytest.raises(InvalidInputError, match="2 is a pipe or a device; save its content"):
        open_log(made)
    with pytest.raises(InvalidConfigurationError, match="is, or is in, the log that is read"):
        convert(open_log(folder({"1": [CALL]}, "self")), tmp_path / "self" / "out.jsonl")


def test_files_must_share_what_rows_must_share(folder):
    row = {
        "_label_cost": -1.0, "_label_probability": 0.8, "_label_Action": 1, "EventId": "e", "a": [1, 2],
        "c": {"_multi": [{"_tag": "a"}, {"_tag": "b"}]}, "p": [0.8, 0.2], "pdrop": 0.5,
    }  # fmt: skip
    assert len(read_log(folder({"1": [row], "2": [row]}, "same"))) == 2
    with pytest.raises(InvalidInputError, match=r"2: row 1: .*pdrop is 0\.25, before it was 0\.5"):
        read_log(folder({"1": [row], "2": [{**row, "pdrop": 0.25}]}))


def test_columns_that_are_no_texts(folder):
    with pytest.raises(InvalidConfigurationError, match=r"columns are \{'quality': 3\}; give our name"):
        open_log(folder({"1": [CALL]}), columns={"quality": 3})


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read there")
def test_memory_does_not_grow_with_the_files(folder):
    """Five times the files, the same memory: each number of them in a process of its own."""
    content = (json.dumps({**CALL, "messages": [{"role": "user", "content": "W" * 20_000}]}) + "\n") * 1000
    code = (
        "import re, sys\nfrom banditroute.logs.readers import open_log\n"
        "print(sum(map(len, open_log(sys.argv[1]).tables())))\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    peaks = []
    for files in (1, 5):
        packed = gzip.compress(content.encode(), compresslevel=1)
        made = folder(dict.fromkeys("abcde"[:files], packed), f"{files}")
        done = subprocess.run([sys.executable, "-c", code, made], capture_output=True, text=True, check=True)
        rows, peak = map(int, done.stdout.split())
        assert rows == 1000 * files
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 25_000  # KiB, where the prompts alone would be 80,000 more
