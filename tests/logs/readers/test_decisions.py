"""Our own logs: a database and its export hold the same, and rows that cannot be ours are told with their number."""

import copy
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from banditroute import Objective, Router, SQLStore, admin
from banditroute.errors import BanditRouteError, InvalidConfigurationError, InvalidInputError
from banditroute.logs import convert, open_log, read_log

ROW = {
    "id": "0f",
    "router": "default",
    "features_version": "v1",
    "decided_at": 1000.5,
    "ordinal": 3,
    "arm": "small",
    "propensity": 0.75,
    "reason": "policy",
    "policy": "LinUCB",
    "preference": {"quality": 1.0},
    "arms": ["large", "small"],
    "probabilities": [0.25, 0.75],
    "x": [0.5, 1.0],
    "session": "Ann",
    "tags": ["eu"],
    "input_tokens": 12,
    "prompt": "Why?",
    "outcomes": {"quality": 1.0, "cost_usd": 0.01},
    "task": "sums",
}


def row(**changes):
    """A good row with some fields changed, or left out (None)."""
    return {name: value for name, value in {**copy.deepcopy(ROW), **changes}.items() if value is not None}


def assert_equal(one, other):
    assert one.arms == other.arms
    for name in ("chosen", "eligible", "propensities", "probabilities", "contexts", "decided_at"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.outcomes.keys() == other.outcomes.keys()
    for name, values in one.outcomes.items():
        np.testing.assert_array_equal(values, other.outcomes[name], err_msg=name)
    assert (one.prompts, one.sessions, one.tasks) == (other.prompts, other.sessions, other.tasks)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """The database of a router, and what it decided and was told: in parts, without some arm, or nothing."""
    path = tmp_path_factory.mktemp("lived") / "routes.db"
    stars = Objective(name="stars", higher_is_better=True, low=-1.0, high=5.0, prior_mean=3.0)
    store = SQLStore(f"sqlite:///{path}", durability="relaxed")
    made = []
    with Router(arms=["b", "a", "c"], features=2, objectives=[stars], store=store, seed=0) as router:
        for i in range(1100):  # more than the store reads at once
            excluded = ["c"] if i % 5 == 0 else []
            session = ("Ann", "Bob", None)[i % 3]
            decision = router.route([0.1 * i, -1.0], session=session, tags=("eu",), exclude=excluded)
            values = {}
            if i % 4 == 0:
                values = {"quality": (i % 3) / 2, **({"stars": -0.5} if i % 8 == 0 else {})}
                router.feedback(decision.id, **values)
                if i % 16 == 0:
                    router.feedback(decision.id, cost_usd=0.001 * i)
                    values["cost_usd"] = 0.001 * i
            made.append((decision, values))
    return path, sorted(made, key=lambda each: each[0].id)


class TestOfARouter:
    @pytest.fixture
    def live(self, lived, tmp_path):
        path, self.made = lived
        self.url = f"sqlite:///{tmp_path / 'routes.db'}"
        return Path(shutil.copy(path, tmp_path))

    def test_the_log_is_what_was_decided(self, live):
        log = read_log(live)
        assert log.arms == ("a", "b", "c")
        made = self.made
        assert [log.arms[k] for k in log.chosen] == [decision.arm for decision, _ in made]
        np.testing.assert_array_equal(log.propensities, [decision.propensity for decision, _ in made])
        np.testing.assert_array_equal(log.decided_at, [decision.decided_at for decision, _ in made])
        np.testing.assert_array_equal(log.contexts, [decision.x for decision, _ in made])
        for k, arm in enumerate(log.arms):
            expected = [dict(zip(d.arms, d.probabilities, strict=True)).get(arm) for d, _ in made]
            np.testing.assert_array_equal(log.eligible[:, k], [p is not None for p in expected])
            np.testing.assert_array_equal(log.probabilities[:, k], [p or 0.0 for p in expected])
        for objective in ("quality", "cost_usd", "stars"):
            expected = [values.get(objective, np.nan) for _, values in made]
            np.testing.assert_array_equal(log.outcomes[objective], expected)
        assert log.sessions == tuple(decision.session or "" for decision, _ in made)
        assert log.tasks is None
        assert log.skipped == {}

    def test_database_export_and_conversions_hold_the_same(self, live, tmp_path):
        """Database, its export, and both conversions hold the same, in every column."""
        expected = read_log(live)
        exported = tmp_path / "export.parquet"
        admin.export(self.url, exported)
        rows = pq.read_table(exported)
        for name in ("c.parquet", "c.jsonl", "c.jsonl.gz", "c.jsonl.zst"):
            assert convert(open_log(live), tmp_path / name) == 1100
            converted = pa.concat_tables(open_log(tmp_path / name).tables())
            assert converted.drop(["task"]).combine_chunks().equals(rows.combine_chunks())
            assert_equal(read_log(tmp_path / name), expected)
        assert_equal(read_log(exported), expected)
        assert_equal(read_log(self.url), expected)

    def test_log_of_one_of_several_routers_is_read(self, live):
        with Router(arms=["z"], features=1, store=SQLStore(self.url), name="other") as router:
            router.route([1.0])
        with pytest.raises(InvalidInputError, match="several routers, default, other; name one of them"):
            read_log(live)
        assert read_log(live, router="other").arms == ("z",)
        with pytest.raises(InvalidInputError, match="has no rows that can be used"):
            read_log(live, router="third")

    def test_a_damaged_database_is_told(self, live):
        with closing(sqlite3.connect(live)) as connection, connection:
            connection.execute("UPDATE banditroute_decision SET preference = '{', x = x'00' WHERE rowid = 5")
        with pytest.raises(InvalidInputError, match=r"holds damaged values .* run banditroute db verify"):
            read_log(live)
        live.write_bytes(live.read_bytes()[:2000])
        with pytest.raises(BanditRouteError):
            read_log(live)


def test_decisions_of_other_features_have_no_context(write):
    """Contexts of another version or length are not mixed with those of the last row."""
    rows = [row(features_version="v0", x=[9.0, 1.0]), row(x=[7.0]), row(x=None), row(features_version=None), row()]
    np.testing.assert_array_equal(read_log(write(rows)).contexts, [[np.nan] * 2] * 4 + [[0.5, 1.0]])
    assert read_log(write([row(x=None)])).contexts is None


def test_missing_columns_become_unknown_values(write):
    """Without arms all were eligible; without probabilities they are NaN; a log without propensities has none."""
    rows = [row(), row(arm="other", arms=None, probabilities=None, propensity=None, decided_at=None, prompt=None)]
    log = read_log(write(rows))
    assert log.arms == ("large", "other", "small")
    np.testing.assert_array_equal(log.eligible, [[True, False, True], [True, True, True]])
    np.testing.assert_array_equal(log.probabilities, [[0.25, 0.0, 0.75], [np.nan] * 3])
    np.testing.assert_array_equal(log.propensities, [0.75, np.nan])
    np.testing.assert_array_equal(log.decided_at, [1000.5, np.nan])
    assert log.prompts == ("Why?", "")
    assert log.tasks == ("sums", "sums")
    bare = read_log(write([{"arm": "a", "outcomes": {}}]))
    assert (bare.propensities, bare.probabilities, bare.contexts, bare.prompts) == (None, None, None, None)
    assert bare.outcomes == {}


BAD = [
    ("arm", {"arm": None}),
    ("arm", {"arm": ""}),
    ("arm", {"arm": "a" * 256}),
    ("arm", {"arm": 7}),
    ("propensity", {"propensity": 0.0}),
    ("propensity", {"propensity": -0.5}),
    ("propensity", {"propensity": 1.5}),
    ("propensity", {"propensity": "0.75"}),
    ("propensity", {"propensity": True}),
    ("propensity", {"propensity": 10**400}),
    ("propensity", {"propensity": 0.25}),  # that of the other arm
    ("decided_at", {"decided_at": "yesterday"}),
    ("decided_at", {"decided_at": 1e60}),
    ("ordinal", {"ordinal": -1}),
    ("ordinal", {"ordinal": 1.5}),
    ("ordinal", {"ordinal": 2**70}),
    ("input_tokens", {"input_tokens": -1}),
    ("arms", {"arms": ["large"], "probabilities": [1.0]}),
    ("arms", {"arms": ["small", "small"], "probabilities": [0.25, 0.75]}),
    ("arms", {"arms": ["small", ""]}),
    ("arms", {"arms": ["small", None]}),
    ("arms", {"arms": "small"}),
    ("probabilities", {"probabilities": [0.75]}),
    ("probabilities", {"probabilities": [-0.25, 1.25]}),
    ("probabilities", {"probabilities": [0.5, 0.75]}),
    ("probabilities", {"arms": None}),
    ("x", {"x": [1e60, 1.0]}),
    ("x", {"x": [None, 1.0]}),
    ("x", {"x": [[1.0]]}),
    ("outcomes", {"outcomes": {"quality": 1.5}}),
    ("outcomes", {"outcomes": {"cost_usd": -1.0}}),
    ("outcomes", {"outcomes": {"stars": 1e60}}),
    ("outcomes", {"outcomes": {"": 1.0}}),
    ("outcomes", {"outcomes": {"quality": "good"}}),
    ("outcomes", {"outcomes": [1.0]}),
    ("session", {"session": 7}),
    ("tags", {"tags": {"a": 1}}),
]


def test_probability_beyond_one_by_rounding_is_one(write):
    certain = row(propensity=1.0000000000000002, probabilities=[0.0, 1.0000000000000002])
    assert read_log(write([certain])).propensities.tolist() == [1.0]


@pytest.mark.parametrize(("field", "changes"), BAD)
def test_every_damage_is_told_with_its_row(write, field, changes):
    path = write([row(), row(**changes), row()])
    with pytest.raises(InvalidInputError, match=rf"log\.jsonl: row 2: {field} .*; correct the row, or leave it out"):
        read_log(path)
    log = read_log(path, skip_bad=True)
    assert (len(log), log.skipped) == (2, {field: 1})


def test_comparisons_are_no_objectives_and_sessions_have_theirs(tmp_path):
    path = tmp_path / "routes.db"
    with Router(arms=["a", "b"], features=1, store=SQLStore(f"sqlite:///{path}"), seed=0) as router:
        arms = [["a"], ["b"], *[None] * 4]  # a comparison is of two arms
        made = [router.route([0.5], session=f"session {i // 2}", arms=arms[i]) for i in range(6)]
        router.compare([made[0].id, made[1].id])
        router.session_feedback("session 1", quality=0.75)
        router.feedback(made[3].id, quality=0.25)
        router.feedback(made[4].id, quality=1.0)
        router.session_feedback("session 2", quality=0.5)
    log = read_log(path)
    assert list(log.outcomes) == ["quality"]
    in_order = np.argsort([each.id for each in made])
    expected = np.array([np.nan, np.nan, 0.75, 0.25, 1.0, 0.5])
    np.testing.assert_array_equal(log.outcomes["quality"], expected[in_order])
    convert(open_log(path), tmp_path / "log.parquet")  # with all that was reported
    assert "preferred to" in str(pq.read_table(tmp_path / "log.parquet")["outcomes"].to_pylist())


def test_more_comparisons_than_there_may_be_objectives(write):
    compared = [row(outcomes={"quality": 1.0, f"preferred to {n:032x}": 0.5}) for n in range(1500)]
    assert list(read_log(write(compared)).outcomes) == ["quality"]


@pytest.mark.parametrize("skip_bad", [False, True])
def test_log_without_any_arm_is_refused(write, skip_bad):
    with pytest.raises(InvalidInputError, match=r"row 1: arm is |no rows that can be used"):
        read_log(write([row(arm=None), row(arm=None)]), format="decisions", skip_bad=skip_bad)


@pytest.mark.parametrize(
    "line",
    [b"{", b'"text"', b"[1]", b'{"arm": NaN}', b'{"arm": "\xff"}', b"[" * 100_000, b'{"x": ' + b"9" * 5000 + b"}"],
)
def test_every_line_that_is_no_record_is_told(write, line):
    good = json.dumps(ROW).encode()
    path = write(b"\n".join([good, b"", line, good]))
    with pytest.raises(InvalidInputError, match="row 3: JSON "):
        read_log(path)
    assert read_log(path, skip_bad=True).skipped == {"JSON": 1}


@pytest.mark.parametrize(
    "field", ["arm", "propensity", "probabilities", "x", "outcomes", "decided_at", "arms", "preference"]
)
def test_parquet_is_checked_too(write, tmp_path, field):
    wrong = {
        "arm": "", "propensity": 2.0, "probabilities": [float("nan"), 1.0], "x": [float("inf"), 1.0],
        "outcomes": [("quality", 1.0), ("quality", 0.0)], "decided_at": float("nan"), "arms": ["small", None],
        "preference": [("quality", float("nan"))],
    }  # fmt: skip
    convert(open_log(write([row()] * 3)), tmp_path / "good.parquet")
    rows = pq.read_table(tmp_path / "good.parquet")
    bad = rows.to_pylist()
    bad[1][field] = wrong[field]
    pq.write_table(pa.Table.from_pylist(bad, schema=rows.schema), tmp_path / "bad.parquet")
    with pytest.raises(InvalidInputError, match=rf"bad\.parquet: row 2: {field} is "):
        read_log(tmp_path / "bad.parquet")
    log = read_log(tmp_path / "bad.parquet", skip_bad=True)
    assert (len(log), log.skipped) == (2, {field: 1})


def test_parquet_columns_of_another_type(tmp_path):
    pq.write_table(pa.table({"arm": ["a"], "propensity": ["half"], "outcomes": [None]}), tmp_path / "log.parquet")
    with pytest.raises(InvalidInputError, match="column propensity is string, expected is double"):
        read_log(tmp_path / "log.parquet")


def test_parquet_with_texts_that_are_none(tmp_path):
    names = pa.Array.from_buffers(pa.string(), 2, pa.array([b"a", b"\xff"], pa.binary()).buffers())
    outcomes = pa.nulls(2, pa.map_(pa.string(), pa.float64()))
    pq.write_table(pa.table({"arm": names, "outcomes": outcomes}), tmp_path / "log.parquet")
    with pytest.raises(InvalidInputError, match=r"log\.parquet cannot be read: .*UTF8"):
        read_log(tmp_path / "log.parquet", skip_bad=True)


def test_our_columns_have_their_names(write):
    with pytest.raises(
        InvalidConfigurationError,
        match=r"is in the format decisions, whose columns have fixed names; leave out columns=",
    ):
        read_log(write([row()]), columns={"quality": "score"})


def test_many_rows_are_numbered_across_tables(write):
    with pytest.raises(InvalidInputError, match="row 20000: propensity is 7"):
        read_log(write([row(x=None)] * 19_999 + [row(propensity=7)]))


def test_structs_of_parquet_are_outcomes(tmp_path):
    rows = pa.table(
        {
            "arm": ["a", "b", "a"],
            "propensity": [0.5, 0.5, 0.5],
            "outcomes": pa.array([{"quality": 1.0, "cost_usd": 0.1}, {"quality": 0.0, "cost_usd": None}, None]),
        }
    )
    pq.write_table(rows, tmp_path / "log.parquet")
    log = read_log(tmp_path / "log.parquet")
    np.testing.assert_array_equal(log.outcomes["quality"], [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(log.outcomes["cost_usd"], [0.1, np.nan, np.nan])
