"""The sums by hour equal those of the log, however it was written and read."""

import json
import math
from collections import defaultdict

import numpy as np
import pytest
from sqlalchemy import text

from banditroute.admin._database import open_database
from banditroute.dashboard import history as history_module
from banditroute.dashboard.history import OTHER_TAGS, History
from banditroute.store import SQLStore
from tests.support import FakeClock, make_router

TAGS = ((), ("chat",), ("code", "team-a"))
HOUR = 3_600.0


@pytest.fixture
def clock():
    return FakeClock(1.7e9)


@pytest.fixture
def small_steps(monkeypatch):
    """Read the past in many steps, and settle outcomes early."""
    monkeypatch.setattr(history_module, "_DECISIONS_AT_ONCE", 7)
    monkeypatch.setattr(history_module, "_SETTLED_OUTCOMES", 11)


def write(url, clock, n, *, seed=0, hours=30.0, tags=TAGS):
    """Make ``n`` decisions over some hours; report most outcomes, some of them of old decisions."""
    rng = np.random.default_rng(seed)
    with make_router("a", "b <i>", store=SQLStore(url), clock=clock, seed=seed, name="support") as router:
        made = []
        for _ in range(n):
            clock.advance(hours * HOUR / n)
            made.append(router.route(rng.normal(size=2), tags=list(tags[rng.integers(len(tags))])))
            if rng.random() < 0.8:
                which = made.pop(int(rng.integers(len(made))))
                router.feedback(which.id, quality=float(rng.integers(2)), cost_usd=float(rng.random()))


def read(url, history, *, older=True):
    database = open_database(url, writes=False, read_only=True)
    database.read(history.refresh)
    while older and database.read(history.read_older):
        pass
    database.engine.dispose()


def brute_force(url):
    """(arm, tags, hour) -> decisions, and (arm, tags, hour, objective) -> sums, row by row."""
    database = open_database(url, writes=False)
    decisions, outcomes = defaultdict(int), defaultdict(lambda: np.zeros(11))
    with database.engine.connect() as connection, database.reading(connection):
        rows = {row.id: row for row in connection.execute(text("SELECT * FROM banditroute_decision"))}
        for row in rows.values():
            decisions[row.arm, tuple(json.loads(row.tags)), math.floor(row.decided_at / HOUR)] += 1
        for each in connection.execute(text("SELECT * FROM banditroute_feedback")):
            row = rows[each.decision_id]
            key = row.arm, tuple(json.loads(row.tags)), math.floor(row.decided_at / HOUR), each.objective
            v, w, delay = each.value, 1.0 / row.propensity, each.received_at - row.decided_at
            sums = [1, delay > HOUR, v > 0, delay, v, v * v, w, w * w, w * v, w * w * v, w * w * v * v]
            outcomes[key] += np.array(sums, dtype=float)
    database.engine.dispose()
    return decisions, outcomes


def assert_equal(history, url):
    decisions, outcomes = brute_force(url)
    assert decisions
    found, summed = {}, {}
    for key in history.groups():
        for row in history.decisions([key], 0.0, "hour"):
            found[key.arm, key.tags, row["bucket"] // 3600] = row["decisions"]
        for row in history.outcomes([key], 0.0, "hour"):
            summed[key.arm, key.tags, row["bucket"] // 3600, row["objective"]] = list(row)[3:]
    assert found == dict(decisions)
    assert summed.keys() == outcomes.keys()
    for key, sums in outcomes.items():
        np.testing.assert_allclose(summed[key], sums, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("small_steps")
def test_sums_equal_those_of_the_log(url, clock):
    write_server_schema(url)
    write(url, clock, 120)
    history = History(clock=clock)
    read(url, history)
    assert history.progress == 1.0
    assert_equal(history, url)


@pytest.mark.usefixtures("small_steps")
def test_sums_follow_what_is_written_later(url, clock):
    write_server_schema(url)
    history = History(clock=clock)
    write(url, clock, 40)
    read(url, history, older=False)  # the past is read after more has come
    write(url, clock, 40, seed=1)
    read(url, history)
    write(url, clock, 40, seed=2, hours=1.0)
    read(url, history)
    assert_equal(history, url)


@pytest.mark.usefixtures("small_steps")
def test_past_is_read_from_the_newest_to_the_oldest(url, clock):
    write_server_schema(url)
    write(url, clock, 60)
    history = History(clock=clock)
    assert history.reached == math.inf
    database = open_database(url, writes=False)
    database.read(history.refresh)
    reached, progress = [history.reached], [history.progress]
    while database.read(history.read_older):
        reached.append(history.reached)
        progress.append(history.progress)
    database.engine.dispose()
    assert len(reached) > 5
    assert reached == sorted(reached, reverse=True)
    assert progress == sorted(progress)
    assert history.reached == 0.0


def test_empty_database_has_no_sums(url, clock):
    write_server_schema(url)
    make_router(store=SQLStore(url)).close()
    history = History(clock=clock)
    read(url, history)
    assert history.groups() == []
    assert history.times is None
    assert history.progress == 1.0


def test_another_database_at_the_place_is_read_from_the_beginning(tmp_path, clock):
    first, second = (f"sqlite:///{tmp_path / name}.db" for name in ("first", "second"))
    write(first, clock, 30)
    write(second, clock, 20, seed=1)
    history = History(clock=clock)
    read(first, history)
    read(second, history)
    assert_equal(history, second)


def test_old_hours_are_summed_by_day(tmp_path, clock):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    write(url, clock, 60, tags=((),))
    clock.advance(100 * 24 * HOUR)
    history = History(clock=clock)
    read(url, history)
    rows = history.decisions(history.groups(), 0.0, "hour")
    assert sum(row["decisions"] for row in rows) == 60
    assert all(row["bucket"] % 86_400 == 0 for row in rows)


def test_many_lists_of_tags_are_counted_together(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(history_module, "_MOST_TAG_LISTS", 3)
    url = f"sqlite:///{tmp_path / 'a.db'}"
    write(url, clock, 60, tags=tuple((f"user-{i}",) for i in range(10)))
    history = History(clock=clock)
    read(url, history)
    tags = {tag for key in history.groups() for tag in key.tags}
    assert len(tags) == 4
    assert OTHER_TAGS in tags
    assert sum(row["decisions"] for row in history.decisions(history.groups(), 0.0, "all")) == 60


@pytest.mark.parametrize(
    ("step", "begins"),
    [("hour", 1_700_002_800), ("day", 1_699_920_000), ("week", 1_699_833_600), ("month", 1_698_796_800), ("all", 0)],
)
def test_buckets_begin_at_the_hour_the_day_on_monday_and_on_the_first(tmp_path, clock, step, begins):
    clock.now = 1_700_003_000.0  # Tuesday, 14 November 2023, 23:03:20
    url = f"sqlite:///{tmp_path / 'a.db'}"
    write(url, clock, 1, hours=0.0)
    history = History(clock=clock)
    read(url, history)
    (row,) = history.decisions(history.groups(), 0.0, step)
    assert row["bucket"] == begins


def write_server_schema(url):
    """Make the tables of a server's database, which no router makes in passing."""
    if url.startswith("postgresql"):
        from banditroute import admin

        admin.upgrade(url)
