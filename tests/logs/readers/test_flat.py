"""Logs of decisions in columns, under many names: read without options, or with the few that are needed."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.logs import open_log, read_log

PLAIN = "arm,propensity,quality,cost_usd\nsmall,0.75,1,0.5\nlarge,0.25,0,\n"


def outcomes(log):
    return {name: values.tolist() for name, values in log.outcomes.items()}


class TestRecognised:
    @pytest.mark.parametrize(
        "text",
        [
            PLAIN,
            PLAIN.replace(",", ";"),
            PLAIN.replace(",", "\t"),
            PLAIN.replace("arm", "model").replace("quality", "score"),
            "\n\n  \n" + PLAIN,
            "\ufeff\r\n" + PLAIN.replace("\n", "\r\n"),
            PLAIN.replace("\n", ",,\n"),
            PLAIN.replace(",", "|"),
            "sep=;\n" + PLAIN.replace(",", ";"),
            "SEP=\t\r\n" + PLAIN.replace(",", "\t"),
            PLAIN.replace(",", " , "),
            PLAIN.replace("arm", "ARM").replace("quality", "Quality").replace("propensity", "Propensity"),
            PLAIN.replace("arm", "Model").replace("quality", "SCORE"),
            PLAIN.replace("cost_usd\n", "cost_usd,note,note\n").replace("0.5\n", "0.5,a,b\n").replace(",\n", ",,a,b\n"),
        ],
        ids=[
            "comma",
            "semicolon",
            "tab",
            "other names",
            "blank lines",
            "BOM",
            "empty names",
            "bar",
            "separator stated",
            "tab stated",
            "spaces",
            "capitals",
            "other names in capitals",
            "a column twice",
        ],
    )
    def test_csv_without_options(self, write, text):
        log = read_log(write(text, "log.csv"))
        assert (log.arms, log.chosen.tolist()) == (("large", "small"), [1, 0])
        assert log.propensities.tolist() == [0.75, 0.25]
        np.testing.assert_array_equal(log.outcomes["quality"], [1.0, 0.0])
        np.testing.assert_array_equal(log.outcomes["cost_usd"], [0.5, np.nan])

    def test_parquet_and_json_lines_are_the_same_log(self, write, tmp_path):
        rows = [
            {"arm": "small", "propensity": 0.75, "quality": 1.0, "cost_usd": 0.5, "decided_at": 1.5},
            {"arm": "large", "propensity": 0.25, "quality": 0.0, "cost_usd": None, "decided_at": 2.5},
        ]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
        for path in (write(rows), tmp_path / "log.parquet"):
            log = read_log(path)
            assert open_log(path).format.name == "flat"
            assert log.decided_at.tolist() == [1.5, 2.5]
            np.testing.assert_array_equal(log.outcomes["cost_usd"], [0.5, np.nan])

    def test_json_with_texts_and_flags(self, write):
        log = read_log(
            write([{"model": "a", "propensity": ".5", "score": True, "ts": "2026-01-01"}, {"model": 7, "score": "0"}])
        )
        assert (log.arms, outcomes(log)) == (("7", "a"), {"quality": [1.0, 0.0]})
        np.testing.assert_array_equal(log.propensities, [0.5, np.nan])

    def test_a_column_that_the_first_record_lacks(self, write):
        log = read_log(write([{"arm": "a", "quality": 1.0}, {"arm": "a", "quality": 1.0, "propensity": 0.5}]))
        np.testing.assert_array_equal(log.propensities, [np.nan, 0.5])

    def test_features_in_columns_get_the_bias(self, write):
        log = read_log(write("arm,propensity,quality,x_1,x_0\na,0.5,1,2,1\n", "log.csv"))
        assert log.contexts.tolist() == [[1.0, 2.0, 1.0]]

    def test_a_query_without_a_propensity_is_a_table_of_outcomes(self, write):
        assert open_log(write("query_id,model,score\n1,a,1\n", "t.csv")).format.name == "long"
        assert open_log(write("query_id,model,score,propensity\n1,a,1,0.5\n", "t.csv")).format.name == "flat"


class TestColumns:
    ROW = "llm,prob,thumbs,ms,usd cents\na,0.5,1,250,2\n"

    def test_columns_with_other_names_and_units_are_read(self, write):
        columns = {"arm": "llm", "propensity": "prob", "score": "thumbs", "latency_seconds": "ms*0.001"}
        log = read_log(write(self.ROW, "log.csv"), columns=columns | {"cost_usd": "usd cents * 0.01"})
        assert outcomes(log) == {"cost_usd": [0.02], "latency_seconds": [0.25], "quality": [1.0]}

    def test_units_in_json(self, write):
        log = read_log(
            write([{"llm": "a", "m": {"ms": 250, "pct": "50"}}]),
            columns={"arm": "llm", "latency_seconds": "m.ms*0.001", "quality": "m.pct*.01"},
        )
        assert outcomes(log) == {"latency_seconds": [0.25], "quality": [0.5]}

    def test_a_column_whose_name_has_a_star(self, write):
        log = read_log(write("arm,propensity,a*2\na,0.5,1\n", "log.csv"), columns={"quality": "a*2"})
        assert outcomes(log) == {"quality": [1.0]}

    @pytest.mark.parametrize("factor", ["x", "0", "nan", "inf", ""])
    def test_a_factor_must_be_a_number(self, write, factor):
        with pytest.raises(InvalidConfigurationError, match=r"has no number after \*"):
            read_log(write(PLAIN, "log.csv"), columns={"latency_seconds": f"ms*{factor}"})

    def test_an_error_says_what_is_missing_and_suggests_a_name(self, write):
        path = write(self.ROW, "log.csv")
        with pytest.raises(InvalidInputError, match=r"flat lacks propensity, quality"):
            read_log(path, columns={"arm": "llm"})
        with pytest.raises(InvalidInputError, match=r"no column thumb; did you mean 'thumbs'\?"):
            read_log(path, columns={"arm": "llm", "quality": "thumb"}, format="flat")
        with pytest.raises(InvalidConfigurationError, match=r"'propensty', which .*; did you mean 'propensity'\?"):
            read_log(path, columns={"arm": "llm", "propensty": "prob"})

    def test_a_column_twice_that_is_needed(self, write, tmp_path):
        with pytest.raises(InvalidInputError, match="has the column 'quality' twice; rename one"):
            read_log(write("arm,propensity,quality,quality\na,0.5,1,1\n", "log.csv"))
        twice = pa.Table.from_arrays([pa.array(["a"]), *[pa.array([0.5])] * 3], ["arm", "propensity", *["quality"] * 2])
        pq.write_table(twice, tmp_path / "twice.parquet")
        with pytest.raises(InvalidInputError, match="has the column 'quality' twice; rename one"):
            read_log(tmp_path / "twice.parquet")


class TestDamage:
    @pytest.mark.parametrize(
        ("column", "row"),
        [
            ("propensity", "a,0,1,0"), ("propensity", "a,much,1,0"), ("outcomes", "a,0.5,1.5,0"),
            ("quality", "a,0.5,good,0"), ("arm", ",0.5,1,0"), ("columns", "a,0.5,1"),
        ],
    )  # fmt: skip
    def test_a_row_is_refused_or_counted(self, write, column, row):
        path = write(f"{PLAIN}{row}\n", "log.csv")
        with pytest.raises(InvalidInputError, match=f"row 4: {column} "):
            read_log(path)
        log = read_log(path, skip_bad=True)
        assert (len(log), log.skipped) == (2, {column: 1})

    @pytest.mark.parametrize("container", ["csv", "jsonl"])
    def test_failures_without_an_arm_and_repeats_are_left_out(self, write, container):
        rows = [("1", "a", 0.5, 1.0, 1.0), ("2", "", None, None, 0.0), ("1", "a", 0.5, 0.0, 1.0)]
        names = ("id", "arm", "propensity", "quality", "availability")
        if container == "csv":
            cells = [["" if value is None else str(value) for value in row] for row in rows]
            path = write("\n".join(",".join(row) for row in [names, *cells]), "log.csv")
        else:
            path = write([dict(zip(names, row, strict=True)) for row in rows])
        log = read_log(path)
        assert (len(log), log.outcomes["quality"].tolist()) == (1, [1.0])
        assert log.skipped == {"failure without an arm": 1, "decision that is repeated": 1}


class TestJSON:
    RECORDS = ({"arm": "a", "propensity": 0.5, "quality": 1.0}, {"arm": "b", "propensity": 0.5, "quality": 0.0})

    @pytest.mark.parametrize(
        "text",
        [
            json.dumps(RECORDS), json.dumps(RECORDS, indent=2),
            "\n".join(json.dumps(each, indent=4) for each in RECORDS),
            "\n\n" + json.dumps(RECORDS, indent=1),
            ",\n".join(json.dumps(each, indent=4) for each in RECORDS),
        ],
        ids=["array", "printed array", "printed objects", "blank lines", "commas between"],
    )  # fmt: skip
    def test_records_over_several_lines(self, write, text):
        log = read_log(write(text, "log.json"))
        assert (log.arms, outcomes(log)) == (("a", "b"), {"quality": [1.0, 0.0]})

    def test_a_printed_record_that_is_cut_off_costs_only_itself(self, write):
        one, other = (json.dumps(each, indent=4) for each in self.RECORDS)
        path = write(f"{one}\n{one[:40]}\n{other}\n", "log.json")
        with pytest.raises(InvalidInputError, match="JSON is cut off"):
            read_log(path)
        log = read_log(path, skip_bad=True)
        assert (log.arms, log.skipped) == (("a", "b"), {"JSON": 1})


def test_spaces_around_an_arm_make_no_other_arm(write):
    log = read_log(write("arm, propensity, quality\nsmall , 0.5, 1\n small,0.5,0\n", "log.csv"))
    assert (log.arms, log.propensities.tolist()) == (("small",), [0.5, 0.5])


def test_propensity_may_be_above_one_by_rounding_alone(write):
    log = read_log(write("arm,propensity,quality\na,1.0000000002,1\n", "log.csv"))
    assert log.propensities.tolist() == [1.0]
    with pytest.raises(InvalidInputError, match=r"give a number in \(0, 1\]"):
        read_log(write("arm,propensity,quality\na,1.001,1\n", "log.csv"))


def test_misspelt_propensity_is_not_passed_over(write):
    with pytest.raises(InvalidInputError, match="did you mean 'propensty'"):
        read_log(write("arm,propensty,quality\na,0.5,1\n", "log.csv"))


def test_near_names_of_what_is_missing_are_named(write):
    with pytest.raises(InvalidInputError, match=r"lacks arm \(is it 'modle'\?\)"):
        read_log(write("modle,propensity,quality\na,0.5,1\n", "log.csv"))


def test_bytes_that_are_no_utf8_are_named(write, tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes("arm,propensity,quality\ncafé,0.5,1\n".encode("latin-1"))
    with pytest.raises(InvalidInputError, match="every row needs an arm, in UTF-8"):
        read_log(path)


@pytest.mark.parametrize(("unit", "a_second"), [("s", 1), ("ms", 1_000), ("us", 1_000_000), ("ns", 1_000_000_000)])
def test_durations_are_seconds(unit, a_second):
    waited = pa.array([2 * a_second, None], pa.duration(unit))
    log = read_log(pa.table({"arm": ["a", "b"], "propensity": [0.5, 0.5], "latency_seconds": waited}))
    np.testing.assert_array_equal(log.outcomes["latency_seconds"], [2.0, np.nan])


def test_a_column_of_another_kind_is_refused_with_what_it_holds():
    table = pa.table({"arm": ["a"], "propensity": [0.5], "quality": [[1.0]]})
    with pytest.raises(InvalidInputError, match=r"column quality holds list<item: double>; give numbers"):
        read_log(table)
