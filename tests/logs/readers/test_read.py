"""Which format a log is in, compressed or not; what is in none; and what one row may cost."""

import bz2
import csv
import gc
import gzip
import io
import json
import re
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.logs import FORMATS, open_log, read_log, read_outcomes
from banditroute.logs.readers import source as source_module

CALL = {"request_id": "r", "spend": 0.1, "startTime": 1.0, "model": "small"}
LONG = "query_id,model,score,prompt,dataset,cost_usd\nq1,small,0.5,Why?,sums,0.25\nq1,large,1,Why?,sums,\n"


class TestRecognition:
    @pytest.mark.parametrize("name", ["zstd", "lz4", "gzip", "bz2"])
    def test_compressed_by_its_content_whatever_its_name(self, write, tmp_path, name):
        path = tmp_path / "log"
        with pa.output_stream(str(path), compression=name) as stream:
            stream.write(json.dumps(CALL).encode())
        assert read_log(path).arms == ("small",)
        with pa.output_stream(str(path), compression=name) as stream:
            stream.write(LONG.encode())
        assert read_outcomes(path).arms == ("large", "small")

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
    def test_files_joined_after_compression(self, write, pack):
        line = json.dumps(CALL).encode() + b"\n"
        assert len(read_log(write(pack(line) + pack(line)))) == 2

    def test_a_file_that_is_cut_off_is_told_or_read_so_far(self, write):
        lines = b"".join(json.dumps({**CALL, "request_id": f"{i * 7919}"}).encode() + b"\n" for i in range(5000))
        path = write(gzip.compress(lines)[:-2000])
        with pytest.raises(InvalidInputError, match=r"row \d+: file cannot be read on: Truncated"):
            read_log(path)
        log = read_log(path, skip_bad=True)
        assert len(log) > 1000
        assert log.skipped["file"] == 1

    def test_a_byte_order_mark_and_blank_lines(self, write):
        assert read_log(write("\ufeff\n\n" + json.dumps(CALL) + "\n\n")).arms == ("small",)
        assert read_outcomes(write("\ufeff" + LONG + "\n", "log.csv")).arms == ("large", "small")

    def test_a_damaged_first_line(self, write):
        path = write('{"request_id"\n' + json.dumps(CALL))
        with pytest.raises(InvalidInputError, match="row 1: JSON"):
            read_log(path)
        assert len(read_log(path, skip_bad=True)) == 1

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "is empty; a log has at least one row"),
            ("\n \n", "is empty"),
            (b"\x80\x04\x95\x00", "looks like a pickle, which can run code"),
            ("[{}]", "is in no known format"),
            (
                "a,b\n1,2\n",
                "'a', 'b'; flat lacks arm, propensity, quality; long lacks query_id, arm, quality; name the format",
            ),
            ("a,a\n1,2\n", "has the column 'a' twice"),
            (b"\xff\xfd\x80", "the first line is neither a header of CSV nor JSON"),
            ('{"a": 1}', "is in no known format; it has 'a'"),
            ('{"a": 1', "is in no known format; name the format"),
            (b"PAR1", "cannot be read: "),
        ],
    )
    def test_file_that_is_not_a_log_is_refused(self, write, content, message):
        with pytest.raises(InvalidInputError, match=message):
            read_log(write(content))

    def test_missing_file_is_refused(self, tmp_path):
        with pytest.raises(InvalidInputError, match="none cannot be read: "):
            read_log(tmp_path / "none")

    def test_a_format_that_is_named(self, write):
        path = write([{"llm": "small", "request_id": "r"}])
        with pytest.raises(InvalidInputError, match="in no known format"):
            read_log(path)
        assert read_log(path, format="litellm", columns={"arm": "llm"}).arms == ("small",)
        with pytest.raises(InvalidConfigurationError, match="unknown format 'csv'; known formats: decisions, "):
            read_log(path, format="csv")
        with pytest.raises(InvalidConfigurationError, match="is jsonl; open-bandit is read from csv, parquet"):
            read_log(path, format="open-bandit")

    def test_a_table_and_a_log_are_not_taken_for_each_other(self, write):
        with pytest.raises(InvalidInputError, match=r"is a table of outcomes \(long\) .* read_outcomes"):
            read_log(write(LONG, "log.csv"))
        with pytest.raises(InvalidInputError, match=r"is a log of decisions \(litellm\), .* read_log"):
            read_outcomes(write([CALL]))

    @pytest.mark.parametrize("name", FORMATS)
    def test_the_example_of_the_documentation(self, write, name):
        page = (Path(__file__).parents[3] / "docs" / "reference" / "formats.md").read_text()
        section = page.split(f"## `{name}`: ")[1].split("\n## ")[0]
        (example,) = re.findall(r"```(?:json|text)\n(.*?)```", section, re.DOTALL)
        log = open_log(write(example))
        assert log.format.name == name
        assert sum(map(len, log.tables())) in (1, 2)


class TestOutcomes:
    def same(self, path, **options):
        table = read_outcomes(path, **options)
        assert (table.arms, table.prompts, table.tasks) == (("large", "small"), ("Why?",), ("sums",))
        assert {name: values.tolist() for name, values in table.outcomes.items() if name == "quality"} == {
            "quality": [[1.0, 0.5]]
        }
        np.testing.assert_array_equal(table.outcomes["cost_usd"], [[np.nan, 0.25]])

    def test_long_as_csv(self, write):
        self.same(write(LONG, "log.csv"))
        self.same(write(LONG.replace("\n", "\r\n").replace("Why?", '"Why?"'), "log.csv"))

    def test_long_as_json_lines(self, write):
        rows = list(csv.DictReader(io.StringIO(LONG)))
        self.same(write([{**row, "score": float(row["score"])} for row in rows]))
        with pytest.raises(InvalidInputError, match="row 2: score is a list or an object"):
            read_outcomes(write([rows[0], {**rows[1], "score": [1]}]))

    def test_wide_table_is_read(self, write):
        wide = (
            "sample_id,prompt,eval_name,small,large,small|total_cost,large|model_response,large|total_cost,"
            "oracle_model_to_route_to\nq1,Why?,sums,0.5,1.0,0.25,\"Be,\ncause\",,large\n"
        )  # fmt: skip
        path = write(wide, "bench.csv")
        assert open_log(path).format.name == "wide"
        self.same(path)
        self.same(write([dict(row) for row in csv.DictReader(io.StringIO(wide))]))

    def test_an_arm_without_a_score_was_not_asked(self, write):
        wide = "sample_id,a,a|total_cost,b,b|total_cost\nq1,1,0.5,,0.5\nq2,0,0.5,1,0.25\n"
        table = read_outcomes(write(wide, "bench.csv"), partial=True)
        np.testing.assert_array_equal(table.outcomes["quality"], [[1.0, np.nan], [0.0, 1.0]])
        np.testing.assert_array_equal(table.outcomes["cost_usd"], [[0.5, np.nan], [0.5, 0.25]])

    def test_columns_of_a_wide_table_can_be_chosen(self, write):
        path = write("id,a,a|usd,a|tps\nq1,1,0.5,70\n", "bench.csv")
        columns = {"query_id": "id", "cost_usd": "usd", "tokens_per_second": "tps"}
        assert read_outcomes(path, columns=columns).known(0) == {
            "a": {"quality": 1.0, "cost_usd": 0.5, "tokens_per_second": 70.0}
        }
        with pytest.raises(InvalidInputError, match=r"has no column typo; it has id, a, a\|usd"):
            read_outcomes(path, format="wide", columns={**columns, "latency_seconds": "typo"})
        with pytest.raises(
            InvalidInputError, match=r"has no pair of columns such as ARM and ARM\|total_cost, .*; it has sample_id, a"
        ):
            read_outcomes(write("sample_id,a\nq1,1\n", "bench.csv"), format="wide")

    @pytest.mark.parametrize("given", ["1.5", "-0.5", "x", "1e999", "0,5", "--1", "0x1", "nan", "inf", "1_0"])
    def test_scores_that_are_none(self, write, given):
        for content, row in ((LONG.replace(",0.5,", f',"{given}",'), 2), (LONG.replace(",1,W", f',"{given}",W'), 3)):
            with pytest.raises(InvalidInputError, match=rf"row {row}: score is .*; give a number in \[0, 1\]"):
                read_outcomes(write(content, "log.csv"))

    @pytest.mark.parametrize(
        ("given", "expected"), [("1.", 1.0), (".5", 0.5), ("5E-1", 0.5), (" 1 ", 1.0), ("True", 1.0)]
    )
    def test_scores_as_they_are_written(self, write, given, expected):
        table = read_outcomes(write(LONG.replace(",0.5,", f",{given},"), "log.csv"))
        assert table.outcomes["quality"].tolist() == [[1.0, expected]]

    def test_rows_are_numbered_across_blocks_and_damage(self, write, monkeypatch):
        """The header is row 1; rows that are passed over count."""
        monkeypatch.setattr(source_module, "LINE_BYTES", 256)
        good = [f"q{i},small,0.5,Why?,sums,0.25" for i in range(300)]
        for damaged in ({7, 100, 101, 250}, set(range(40, 90)), {0}, {299}):
            rows = ["torn" if i in damaged else row for i, row in enumerate(good)]
            path = write("\n".join(["query_id,model,score,prompt,dataset,cost_usd", *rows]), "log.csv")
            log = open_log(path, skip_bad=True)
            numbers = [
                n
                for some, _ in source_module.tables(log.readings[0].source, ["score"], log.readings[0].damage)
                for n in some
            ]
            assert numbers == [i + 2 for i in range(300) if i not in damaged]
            assert log.skipped == {"columns": len(damaged)}
            with pytest.raises(InvalidInputError, match=f"row {min(damaged) + 2}: columns are 1, by the header 6"):
                list(open_log(path).tables())


class TestCost:
    def test_a_line_may_be_long_and_not_longer(self, write, monkeypatch):
        monkeypatch.setattr(source_module, "LINE_BYTES", 1000)
        long = {**CALL, "request_id": "r" * 5000}
        path = write([CALL, long, CALL])
        with pytest.raises(InvalidInputError, match="row 2: line is longer than 1,000 bytes"):
            read_log(path)
        log = read_log(path, skip_bad=True)
        assert (len(log), log.skipped) == (2, {"line": 1})
        with pytest.raises(InvalidInputError, match=r"log\.csv cannot be read: "):
            read_outcomes(write(LONG.replace("Why?", "W" * 5000), "log.csv"))

    def test_a_table_that_was_refused_is_let_go(self, write):
        log = open_log(write(LONG + "torn\n", "log.csv"))
        damage = weakref.ref(log.readings[0].damage)
        with pytest.raises(InvalidInputError, match="row 4: columns are 1"):
            list(log.tables())
        del log
        gc.collect()
        assert damage() is None

    def test_log_with_too_many_arms_is_refused(self, write, monkeypatch):
        monkeypatch.setattr("banditroute.logs.readers.assemble._MOST_CELLS", 10)
        with pytest.raises(InvalidInputError, match="has 4 different arms in 4 decisions; is the column of arms"):
            read_log(write([{**CALL, "model": str(i)} for i in range(4)]))

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read there")
    def test_memory_does_not_grow_with_the_log(self, write):
        """Four times the rows, the same memory: each size in a process of its own."""
        line = json.dumps({**CALL, "messages": [{"role": "user", "content": "W" * 20_000}]}).encode() + b"\n"
        code = (
            "import re, sys\nfrom banditroute.logs.readers import open_log\n"
            "print(sum(map(len, open_log(sys.argv[1]).tables())))\n"
            "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
        )
        peaks = []
        for times in (1000, 5000):
            path = write(gzip.compress(line * times, compresslevel=1), f"{times}.jsonl.gz")
            done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
            rows, peak = map(int, done.stdout.split())
            assert rows == times
            peaks.append(peak)
        assert peaks[1] < peaks[0] + 25_000  # KiB, where the prompts alone would be 80,000 more
