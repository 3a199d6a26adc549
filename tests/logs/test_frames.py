"""Data frames in and out: equal to the file, whichever library they come from."""

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from banditroute.errors import InvalidInputError
from banditroute.logs import DecisionLog, OutcomeTable, open_log, read_log, read_outcomes

DECISIONS = pa.table(
    {
        "model": ["small", "large", "small"],
        "p": [0.75, 0.25, 1 / 3],
        "judge": [1.0, 0.1 + 0.2, None],
        "cost": [0.001, 0.02, 1e-300],
        "prompt": ["Why?", "How?", "€"],
        "ts": [0.1, 2.5, None],
    }
)
OUTCOMES = pa.table({"q": [2, 2, 1, 1], "llm": ["a", "b"] * 2, "ok": [1.0, 0.5, 0.25, 0.0], "prompt": list("xxyy")})


def frames_of(table):
    yield "pyarrow", table
    yield "batch", table.to_batches()[0]
    yield "reader", table.to_reader()
    yield "dataset", pyarrow.dataset.dataset(table)
    for name, convert in (
        ("pandas", lambda module: module.DataFrame(table.to_pydict())),
        ("polars", lambda module: module.DataFrame(table)),
        ("polars", lambda module: module.DataFrame(table).lazy()),
        ("duckdb", lambda module: module.connect().from_arrow(table)),
    ):
        try:
            module = __import__(name)
        except ModuleNotFoundError:
            continue
        yield name, convert(module)


@pytest.mark.parametrize(("name", "frame"), list(frames_of(DECISIONS)))
def test_decisions_of_a_frame_equal_those_of_the_file(tmp_path, name, frame):
    pq.write_table(DECISIONS, tmp_path / "log.parquet")
    columns = {"arm": "model", "propensity": "p", "quality": "judge"}
    log = DecisionLog.from_frame(frame, **columns)
    of_file = read_log(tmp_path / "log.parquet", columns=columns)
    assert (log.arms, log.prompts) == (of_file.arms, of_file.prompts)
    for one, other in ((log.chosen, of_file.chosen), (log.propensities, of_file.propensities)):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(log.decided_at, of_file.decided_at)
    assert list(log.outcomes) == list(of_file.outcomes) == ["cost_usd", "quality"]
    for objective, values in log.outcomes.items():
        assert values.tobytes() == of_file.outcomes[objective].tobytes()


@pytest.mark.parametrize(("name", "frame"), list(frames_of(OUTCOMES)))
def test_outcomes_of_a_frame_equal_those_of_the_file(tmp_path, name, frame):
    pq.write_table(OUTCOMES, tmp_path / "log.parquet")
    table = OutcomeTable.from_frame(frame, name="mine", query="q", arm="llm", quality="ok")
    of_file = read_outcomes(tmp_path / "log.parquet", columns={"query": "q", "arm": "llm", "quality": "ok"})
    assert (table.name, table.arms, table.prompts) == ("mine", of_file.arms, of_file.prompts)
    assert table.outcomes["quality"].tobytes() == of_file.outcomes["quality"].tobytes()


def test_a_wide_frame():
    frame = pa.table({"id": [1, 2], "a_ok": [1, 0], "a_usd": [0.5, 0.25], "b_ok": [0, 1], "b_usd": [0.125, 0.0]})
    table = OutcomeTable.from_frame(frame, query="id", quality="ok", cost_usd="usd")
    assert table.outcomes["quality"].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert table.outcomes["cost_usd"].tolist() == [[0.5, 0.125], [0.25, 0.0]]


def test_times_of_a_frame_are_unix_time():
    at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    for unit in ("s", "ms", "us", "ns"):
        times = pa.array([at], pa.timestamp(unit, "UTC"))
        log = DecisionLog.from_frame(pa.table({"arm": ["a"], "quality": [1.0], "timestamp": times}))
        assert log.decided_at.tolist() == [1767225600.0]


def test_a_log_becomes_a_table_and_is_read_back():
    log = DecisionLog(
        arms=("a", "b", "c"),
        chosen=np.array([0, 2]),
        eligible=np.array([[True, True, False], [True, True, True]]),
        propensities=np.array([0.5, 0.25]),
        probabilities=np.array([[0.5, 0.5, 0.0], [np.nan] * 3]),
        contexts=np.array([[0.5, 1.0], [0.1, 1.0]]),
        prompts=("Why?", "How?"),
        outcomes={"quality": np.array([1.0, np.nan]), "stars": np.array([4.0, 5.0])},
        decided_at=np.array([1.0, np.nan]),
    )
    read = DecisionLog.from_frame(log.to_arrow(), stars="stars")
    assert (read.arms, read.prompts, read.sessions) == (log.arms, log.prompts, None)
    for name in ("chosen", "eligible", "propensities", "probabilities", "contexts", "decided_at"):
        np.testing.assert_array_equal(getattr(read, name), getattr(log, name))
    for name, values in log.outcomes.items():
        np.testing.assert_array_equal(read.outcomes[name], values)


def test_a_table_of_outcomes_becomes_a_table_and_is_read_back(toy):
    read = OutcomeTable.from_frame(toy.to_arrow(), name="toy")
    assert (read.arms, read.prompts, read.tasks) == (toy.arms, toy.prompts, toy.tasks)
    for name, values in toy.outcomes.items():
        np.testing.assert_array_equal(read.outcomes[name], values)


def test_a_partial_table_keeps_its_gaps():
    quality = np.array([[1.0, np.nan], [0.0, 0.5]])
    table = OutcomeTable(name="t", prompts=("", ""), tasks=("", ""), arms=("a", "b"), outcomes={"quality": quality})
    np.testing.assert_array_equal(OutcomeTable.from_frame(table.to_arrow(), partial=True).outcomes["quality"], quality)


def test_our_own_export_as_a_frame(tmp_path):
    row = {"arm": "a", "outcomes": [("quality", 1.0)], "arms": ["a", "b"]}
    kinds = {"arm": pa.string(), "outcomes": pa.map_(pa.string(), pa.float64()), "arms": pa.list_(pa.string())}
    frame = pa.Table.from_pylist([row], schema=pa.schema(kinds))
    assert open_log(frame).format.name == "decisions"
    assert read_log(frame).eligible.tolist() == [[True, True]]


def test_something_else_than_a_frame():
    with pytest.raises(InvalidInputError, match="the log is a int; give a path, a URL, or a data frame"):
        DecisionLog.from_frame(7)
    with pytest.raises(InvalidInputError, match="the Table is in no known format; it has 'a'"):
        DecisionLog.from_frame(pa.table({"a": [1]}))


class TestShown:
    def test_short_whatever_the_size(self):
        arms = tuple(f"<arm {k:04d}>" + "x" * 200 for k in range(500))
        log = DecisionLog(
            arms=arms,
            chosen=np.arange(500),
            eligible=np.ones((500, 500), dtype=bool),
            outcomes={f"objective_{i}": np.ones(500) for i in range(50)},
            decided_at=np.zeros(500),
        )
        table = OutcomeTable(
            name="n" * 500,
            prompts=("",) * 2,
            tasks=("",) * 2,
            arms=arms,
            outcomes={f"objective_{i}": np.ones((2, 500)) for i in range(50)},
        )
        for each in (log, table):
            assert len(repr(each)) < 1000
            assert len(each._repr_html_()) <= 2000 + len(repr(each))
            assert "<arm" not in each._repr_html_()

    def test_a_row_for_each_arm(self, toy):
        assert (
            repr(toy) == "OutcomeTable('toy', 4 prompts; arms: cheap, middle, vendor/dear; outcomes: quality, cost_usd)"
        )
        assert "<td>cheap</td><td>4</td><td>0.5</td><td>0.001</td>" in toy._repr_html_()
