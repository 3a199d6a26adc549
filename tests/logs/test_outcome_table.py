"""Reading a table of outcomes: what it holds, and what it refuses."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.logs import SHIPPED, read_any, read_outcomes

# Neither the queries nor the arms come in order.
ROWS = {
    "query_id": ["q2", "q1", "q1", "q2"],
    "model": ["b", "b", "a", "a"],
    "score": [0.25, 0.5, 1.0, 0.0],
    "prompt": ["second", "first", "first", "second"],
    "dataset": ["odes", "sums", "sums", "odes"],
    "cost_usd": [0.04, 0.02, 0.01, 0.03],
    "energy_j": [4.0, 2.0, 1.0, None],
    "latency_s": [0.4, 0.2, 0.1, 0.3],
    "output_tokens": [40, 20, 10, 30],
}


@pytest.fixture
def write(tmp_path):
    """Write the rows above with some columns replaced, or left out (None)."""

    def write(name="log.parquet", **columns):
        rows = {column: values for column, values in {**ROWS, **columns}.items() if values is not None}
        path = tmp_path / name
        pq.write_table(pa.table(rows), path)
        return path

    return write


def test_rows_become_arrays_in_the_order_of_the_names(write):
    table = read_outcomes(write("some.log.parquet"))
    assert table.name == "some.log"
    assert len(table) == 2
    assert table.arms == ("a", "b")
    assert table.prompts == ("first", "second")
    assert table.tasks == ("sums", "odes")
    expected = {
        "quality": [[1.0, 0.5], [0.0, 0.25]],
        "cost_usd": [[0.01, 0.02], [0.03, 0.04]],
        "energy_joules": [[1.0, 2.0], [np.nan, 4.0]],
        "latency_seconds": [[0.1, 0.2], [0.3, 0.4]],
        "output_tokens": [[10.0, 20.0], [30.0, 40.0]],
    }
    assert table.outcomes.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(table.outcomes[name], values, err_msg=name)
        assert table.outcomes[name].dtype == np.float64


def test_path_may_be_a_string(write):
    assert read_outcomes(str(write())).arms == ("a", "b")


def test_columns_that_are_not_there_or_empty_are_left_out(write):
    columns = {"energy_j": None, "latency_s": pa.array([None] * 4, pa.float64()), "cost_usd": pa.nulls(4)}
    table = read_outcomes(write(**columns))
    assert table.outcomes.keys() == {"quality", "output_tokens"}


def test_missing_prompts_and_tasks_are_empty(write):
    table = read_outcomes(write(prompt=None, dataset=None))
    assert table.prompts == table.tasks == ("", "")
    table = read_outcomes(write(prompt=[None, "first", "first", None]))
    assert table.prompts == ("first", "")


def test_ids_may_be_numbers(write):
    table = read_outcomes(write(query_id=[2, 1, 1, 2]))
    assert table.prompts == ("first", "second")


def test_scores_may_be_whole_numbers_or_flags(write):
    np.testing.assert_array_equal(read_outcomes(write(score=[0, 1, 1, 0])).outcomes["quality"], [[1, 1], [0, 0]])
    flags = read_outcomes(write(score=[False, True, True, False]))
    np.testing.assert_array_equal(flags.outcomes["quality"], [[1, 1], [0, 0]])


@pytest.mark.parametrize("column", ["query_id", "model", "score"])
def test_missing_column_is_named(write, column):
    with pytest.raises(InvalidInputError, match=rf"has no column {column}; it has .*prompt"):
        read_outcomes(write(**{column: None}), format="long")


def test_missing_columns_are_all_named(write):
    path = write(query_id=None, model=None, score=None)
    with pytest.raises(InvalidInputError, match="has no column model, query_id, score"):
        read_outcomes(path, format="long")
    with pytest.raises(InvalidInputError, match="is in no known format; it has 'prompt', "):
        read_outcomes(path)


def test_pair_that_comes_twice_is_named(write):
    rows = {column: [*values, values[1]] for column, values in ROWS.items()}
    with pytest.raises(InvalidInputError, match=r"has 2 rows for query 'q1' and arm 'b', one is expected \(1 such"):
        read_outcomes(write(**rows))


def test_pair_that_is_missing_is_named(write):
    rows = {column: values[:3] for column, values in ROWS.items()}
    with pytest.raises(InvalidInputError, match=r"has 0 rows for query 'q2' and arm 'a', .* \(1 such pairs of 4\)"):
        read_outcomes(write(**rows))


def test_a_partial_log_lacks_pairs_but_repeats_none(write):
    rows = {column: values[:3] for column, values in ROWS.items()}
    table = read_outcomes(write(**rows), partial=True)
    np.testing.assert_array_equal(table.outcomes["quality"], [[1.0, 0.5], [np.nan, 0.25]])
    np.testing.assert_array_equal(table.outcomes["cost_usd"], [[0.01, 0.02], [np.nan, 0.04]])
    with pytest.raises(InvalidInputError, match="row 2: score is None"):
        read_outcomes(write(**{**rows, "score": [0.25, None, 1.0]}), partial=True)
    twice = {column: [*values, values[1]] for column, values in ROWS.items()}
    with pytest.raises(InvalidInputError, match="has 2 rows"):
        read_outcomes(write(**twice), partial=True)


def test_further_columns_are_objectives(write):
    path = write(stars=[4.0, 2.0, 1.0, None], bets=[-1, 2, -3, 4])
    table = read_outcomes(path, columns={"star_rating": "stars", "gain": "bets"})
    np.testing.assert_array_equal(table.outcomes["star_rating"], [[1.0, 2.0], [np.nan, 4.0]])
    np.testing.assert_array_equal(table.outcomes["gain"], [[-3.0, 2.0], [4.0, -1.0]])


def test_columns_may_have_other_names(write):
    renamed = {"item": ROWS["query_id"], "llm": ROWS["model"], "judge": ROWS["score"], "usd": ROWS["cost_usd"]}
    path = write(query_id=None, model=None, score=None, cost_usd=None, **renamed)
    columns = {"query_id": "item", "arm": "llm", "quality": "judge", "cost_usd": "usd"}
    assert read_outcomes(path, columns=columns).known(0) == read_outcomes(write("usual.parquet")).known(0)
    with pytest.raises(InvalidInputError, match="has no column moons"):
        read_outcomes(write(), columns={"moons": "moons"})


@pytest.mark.parametrize("score", [-0.01, 1.01, 85.0, float("nan"), float("inf"), None])
def test_score_out_of_range_or_missing_is_refused(write, score):
    with pytest.raises(InvalidInputError, match=r"log\.parquet: row 2: score is .*; give a number in \[0, 1\]"):
        read_outcomes(write(score=[0.25, score, 1.0, 0.0]))


def test_log_without_any_score_is_refused(write):
    with pytest.raises(InvalidInputError, match="row 1: score is None"):
        read_outcomes(write(score=pa.array([None] * 4, pa.float64())))


@pytest.mark.parametrize("column", ["query_id", "model"])
def test_missing_id_is_no_id_of_its_own(write, column):
    name = ROWS[column][0]
    with pytest.raises(InvalidInputError, match=rf"log\.parquet: row 1: {column} is None; every row needs one"):
        read_outcomes(write(**{column: [None if value == name else value for value in ROWS[column]]}))


def test_empty_log_is_refused(write):
    with pytest.raises(InvalidInputError, match=r"log\.parquet has no rows that can be used; one per query"):
        read_outcomes(write(**{column: pa.array(values)[:0] for column, values in ROWS.items()}))


def test_words_where_numbers_belong_are_refused(write):
    with pytest.raises(InvalidInputError, match=r"log\.parquet: row 1: latency_s is 'fast'; give a number"):
        read_outcomes(write(latency_s=["fast", "slow", "fast", "slow"]))


@pytest.mark.parametrize("cost", [-0.01, float("inf")])
def test_outcome_that_feedback_would_refuse_is_refused(write, cost):
    with pytest.raises(InvalidInputError, match=r"log\.parquet: row 2: cost_usd is .*; give a number in \[0, "):
        read_outcomes(write(cost_usd=[0.01, cost, 0.01, 0.01]))


def test_file_that_is_not_parquet_is_refused(bad_log):
    with pytest.raises(InvalidInputError, match=r"bad\.parquet cannot be read: .*Parquet"):
        read_outcomes(bad_log)


def test_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match=r"nowhere\.parquet cannot be read: .*No such file"):
        read_outcomes(tmp_path / "nowhere.parquet")


def test_shipped_log_is_complete():
    table = read_outcomes(SHIPPED)
    assert len(table) == 1766
    assert len(table.arms) == 4
    assert all(table.prompts)
    assert len(set(table.tasks)) > 1
    assert not np.isnan(table.outcomes["cost_usd"]).any()
    assert (table.outcomes["cost_usd"] > 0.0).all()


def test_rows_say_what_is_known(toy):
    gaps = toy.outcomes["quality"].copy()
    gaps[3, 1:] = np.nan
    table = replace(toy, outcomes={**toy.outcomes, "quality": gaps})
    assert table.known(3) == {
        "cheap": {"quality": 1.0, "cost_usd": 0.001},
        "middle": {"cost_usd": 0.002},
        "vendor/dear": {"cost_usd": 0.01},
    }
    assert list(table.rows()) == [(prompt, table.known(i)) for i, prompt in enumerate("abcd")]


class TestPassingOver:
    """Of q1 to q3 and two arms, q2 loses a row."""

    @pytest.fixture
    def path(self, write):
        return write(
            query_id=["q1", "q1", "q2", "q2", "q3", "q3"],
            model=["a", "b"] * 3,
            score=[1.0, 0.5, 0.0, 1.5, 0.25, 0.75],
            prompt=["first", "first", "second", "second", "third", "third"],
            **dict.fromkeys(["dataset", "cost_usd", "energy_j", "latency_s", "output_tokens"]),
        )

    def test_a_query_that_lost_a_row_goes_whole(self, path):
        with pytest.raises(InvalidInputError, match=r"log\.parquet: row 4: score is 1\.5"):
            read_outcomes(path)
        table = read_outcomes(path, skip_bad=True)
        assert table.prompts == ("first", "third")
        np.testing.assert_array_equal(table.outcomes["quality"], [[1.0, 0.5], [0.25, 0.75]])
        assert table.skipped == {"score": 1, "query that lacks an arm": 1}

    def test_or_is_partial(self, path):
        table = read_outcomes(path, skip_bad=True, partial=True)
        np.testing.assert_array_equal(table.outcomes["quality"], [[1.0, 0.5], [0.0, np.nan], [0.25, 0.75]])
        assert table.skipped == {"score": 1}

    @pytest.mark.parametrize("partial", [False, True])
    def test_a_query_that_has_an_arm_twice(self, write, partial):
        rows = {column: [*values, values[1]] for column, values in ROWS.items()}
        table = read_outcomes(write(**rows), skip_bad=True, partial=partial)
        assert table.prompts == ("second",)
        assert table.skipped == {"query that has an arm twice": 1}

    def test_whole_table_has_no_skipped_rows(self, write):
        assert read_outcomes(write(), skip_bad=True).skipped == {}

    def test_table_without_a_whole_query_is_refused(self, write):
        rows = {"query_id": ["q1", "q1", "q2", "q2"], "model": ["a", "b", "a", "a typo"]}
        with pytest.raises(InvalidInputError, match="no query with every arm once: arm 'a typo' has 1 of 2 queries"):
            read_outcomes(write(**rows), skip_bad=True)
        with pytest.raises(InvalidInputError, match="no rows that can be used; 4 were left out"):
            read_outcomes(write(score=[2.0, 2.0, 2.0, 2.0]), skip_bad=True)


def test_either_kind_of_log(write, tmp_path):
    assert read_any(write()).arms == ("a", "b")
    path = tmp_path / "decisions.jsonl"
    path.write_text('{"arm": "b", "outcomes": {"quality": 1}}\n{"arm": "b", "outcomes": {"quality": 2}}\n')
    log = read_any(path, skip_bad=True)
    assert (log.arms, log.skipped) == (("b",), {"outcomes": 1})
    with pytest.raises(InvalidConfigurationError, match="is in the format long, which names no routers"):
        read_any(write(), router="r")
