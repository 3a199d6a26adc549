"""The functions of admin: what is corrected, erased, rolled back, rebuilt or pruned is as if it had always been so."""

from __future__ import annotations

import random
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select, update

from banditroute import admin
from banditroute.admin.exports import read_tables
from banditroute.beliefs import ArmStatistics, Linear, Observation
from banditroute.errors import (
    IncompatibleStoreError,
    InvalidConfigurationError,
    InvalidFeedbackError,
    InvalidRequestError,
    StoreError,
    UnknownDecisionError,
)
from banditroute.router import Router
from banditroute.store import SQLStore
from banditroute.store.sql import folding
from banditroute.store.sql.database import database_at, parse
from banditroute.store.sql.schema import statistics

NOW = 1_700_000_000.0


class Life:
    """A router's life in whole numbers, and what it was told."""

    def __init__(self, url, seed=0):
        self.url = url
        self.rng = random.Random(seed)
        self.told = {}  # id -> arm, x, session, {objective: (value, source)}

    @contextmanager
    def router(self, now=NOW):
        with Router(arms=["a", "b"], features=2, store=SQLStore(self.url), seed=1, clock=lambda: now) as router:
            yield router

    def live(self, decisions, now=NOW, answered=0.8):
        with self.router(now) as router:
            for _ in range(decisions):
                session = self.rng.choice(["Ann", "Bob", None])
                made = router.route([self.rng.randint(-3, 3), self.rng.randint(-3, 3)], session=session)
                self.told[made.id] = made.arm, made.x, session, {}
                if self.rng.random() < answered:
                    self.tell(router, made.id, quality=self.rng.choice([0.0, 0.5, 1.0]))
                    if self.rng.random() < 0.5:
                        self.tell(router, made.id, cost_usd=float(self.rng.randint(0, 4)))

    def tell(self, router, id, **values):
        source = self.rng.choice(["grader", "user", None])
        router.feedback(id, source=source, **values)
        self.told[id][3].update({name: (value, source) for name, value in values.items()})

    def expected(self):
        """Arm -> objective -> sums, of all that was told."""
        blobs = {}
        for arm, x, _, values in self.told.values():
            if values:
                plain = {name: value for name, (value, _) in values.items()}
                blobs[arm] = Linear().fold(blobs.get(arm), [Observation(x, plain)], dimension=3)
        return {arm: sums(blob) for arm, blob in blobs.items()}

    def held(self):
        """The same, as the database has it."""
        with database_at(parse(self.url)).engine.connect() as connection:
            found = {row.arm: sums(row.blob) for row in connection.execute(select(statistics))}
        return {arm: of_arm for arm, of_arm in found.items() if of_arm}


def sums(blob):
    return {
        name: (group.n, group.s.tolist(), group.b[j].tolist(), group.yy[j])
        for group in ArmStatistics.from_bytes(blob).groups
        for j, name in enumerate(group.objectives)
    }


@pytest.fixture
def life(url):
    told = Life(url)
    told.live(60)
    return told


def test_statistics_hold_the_reported_outcomes(life):
    assert life.held() == life.expected()
    assert admin.verify(life.url) == []


def test_a_correction_is_as_if_it_had_been_reported(life):
    for id in [id for id, told in life.told.items() if "quality" in told[3]][:9]:
        admin.correct(life.url, id, quality=0.25)
        life.told[id][3]["quality"] = (0.25, None)
    assert life.held() == life.expected()
    assert admin.verify(life.url) == []


def test_correcting_an_unrecorded_outcome_is_refused(life):
    before = life.held()
    id = next(iter(life.told))
    with pytest.raises(UnknownDecisionError, match="has no latency_seconds"):
        admin.correct(life.url, id, quality=0.0, latency_seconds=1.0)
    with pytest.raises(UnknownDecisionError):
        admin.correct(life.url, "0" * 32, quality=0.0)
    with pytest.raises(InvalidFeedbackError, match="no outcome"):
        admin.correct(life.url, id)
    for bad in (float("nan"), float("inf"), True, "1"):
        with pytest.raises(InvalidFeedbackError):
            admin.correct(life.url, id, quality=bad)
    assert life.held() == before


def test_a_decision_is_erased(life):
    ids = list(life.told)[::7]
    for id in ids:
        assert admin.erase(life.url, decision_id=id) == 1
        del life.told[id]
    assert life.held() == life.expected()
    assert admin.erase(life.url, decision_id=ids[0]) == 0
    (epoch,) = admin.inspect(life.url)
    assert epoch.decisions == len(life.told)
    assert epoch.answered == sum(bool(told[3]) for told in life.told.values())
    with life.router(now=NOW + 3600.0) as router, pytest.raises(UnknownDecisionError):
        router.feedback(ids[0], quality=1.0)


def test_a_session_is_erased(life):
    mine = [id for id, told in life.told.items() if told[2] == "Ann"]
    assert admin.erase(life.url, session="Ann") == len(mine) > 0
    for id in mine:
        del life.told[id]
    assert life.held() == life.expected()
    assert admin.verify(life.url) == []


def test_erase_removes_all_outcomes_of_a_source(life):
    touched = 0
    for _, _, _, values in life.told.values():
        of_source = [name for name, (_, source) in values.items() if source == "grader"]
        touched += bool(of_source)
        for name in of_source:
            del values[name]
    assert admin.erase(life.url, source="grader") == touched > 0
    assert life.held() == life.expected()
    (epoch,) = admin.inspect(life.url)
    assert (epoch.decisions, epoch.answered) == (60, sum(bool(told[3]) for told in life.told.values()))


def test_only_of_one_router(life):
    assert admin.erase(life.url, session="Ann", router="another") == 0
    assert life.held() == life.expected()


@pytest.mark.parametrize("what", [{}, {"session": "Ann", "source": "user"}])
def test_one_thing_is_erased_at_a_time(life, what):
    with pytest.raises(InvalidRequestError, match="exactly one"):
        admin.erase(life.url, **what)


def test_a_router_that_runs_follows(life, until):
    with life.router() as router, life.router() as other:
        probe = [1.0, 2.0]
        admin.erase(life.url, session="Ann")
        life.told = {id: told for id, told in life.told.items() if told[2] != "Ann"}
        until(lambda: router.status().learned == sum(bool(told[3]) for told in life.told.values()))
        until(lambda: other.status().learned == router.status().learned)
        with life.router() as fresh:
            np.testing.assert_allclose(router.route(probe).means, fresh.route(probe).means, rtol=1e-12)
            np.testing.assert_allclose(other.route(probe).means, fresh.route(probe).means, rtol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_leaves_what_the_log_makes(url, seed, monkeypatch):
    monkeypatch.setattr(folding, "SNAPSHOT_SECONDS", 0.0)
    life = Life(url, seed)
    life.live(5)
    for _ in range(12):
        step = life.rng.choice(["live", "correct", "erase", "source", "rebuild", "prune"])
        answered = [id for id, told in life.told.items() if "quality" in told[3]]
        if step == "live":
            life.live(8)
        elif step == "correct" and answered:
            id = life.rng.choice(answered)
            admin.correct(url, id, quality=0.75)
            life.told[id][3]["quality"] = (0.75, life.told[id][3]["quality"][1])
        elif step == "erase" and life.told:
            id = life.rng.choice(list(life.told))
            admin.erase(url, decision_id=id)
            del life.told[id]
        elif step == "source":
            admin.erase(url, source="grader")
            for told in life.told.values():
                for name in [name for name, (_, source) in told[3].items() if source == "grader"]:
                    del told[3][name]
        elif step == "rebuild":
            admin.rebuild(url)
        assert life.held() == life.expected()
        assert admin.verify(url) == []


class TestRollBack:
    @pytest.fixture
    def versions(self, life, monkeypatch):
        """A snapshot, then others' feedback."""
        monkeypatch.setattr(folding, "SNAPSHOT_SECONDS", 0.0)
        life.live(20)
        before = life.held()
        (epoch,) = admin.inspect(life.url)
        assert epoch.version in epoch.snapshots
        life.live(30)
        assert life.held() != before
        return before, epoch.version

    def test_roll_back_restores_the_statistics_and_a_rebuild_keeps_them(self, life, versions):
        before, version = versions
        later = sum(len(told[3]) for told in list(life.told.values())[80:])
        assert admin.roll_back(life.url, epoch=1, version=version) == later
        assert life.held() == before
        with life.router():
            pass
        admin.rebuild(life.url)
        assert life.held() == before
        assert admin.verify(life.url) == []

    def test_feedback_after_a_roll_back_is_learned(self, life, versions):
        before, version = versions
        admin.roll_back(life.url, epoch=1, version=version)
        life.told = dict(list(life.told.items())[:80])
        life.live(10)
        assert life.held() == life.expected() != before

    def test_erasure_reaches_what_can_be_gone_back_to(self, life, versions):
        _, version = versions
        admin.erase(life.url, session="Ann")
        admin.roll_back(life.url, epoch=1, version=version)
        life.told = {id: told for id, told in list(life.told.items())[:80] if told[2] != "Ann"}
        assert life.held() == life.expected()

    @pytest.mark.parametrize("wrong", [0, 999, -1])
    def test_rolling_back_to_a_missing_snapshot_changes_nothing(self, life, versions, wrong):
        before = life.held()
        with pytest.raises(StoreError, match=f"no snapshot of version {wrong} of epoch 1; there are: "):
            admin.roll_back(life.url, epoch=1, version=wrong)
        assert life.held() == before


def test_damaged_statistics_are_rebuilt(life):
    expected = life.held()
    with database_at(parse(life.url)).engine.begin() as connection:
        connection.execute(update(statistics).where(statistics.c.arm == "a").values(blob=b"x"))
    with pytest.raises(IncompatibleStoreError, match="banditroute db rebuild"):
        Router(arms=["a", "b"], features=2, store=SQLStore(life.url))
    (words,) = admin.verify(life.url)
    assert "arm 'a' is damaged" in words
    admin.rebuild(life.url, router="default")
    assert life.held() == expected
    assert admin.verify(life.url) == []


def test_statistics_that_the_log_does_not_make_are_found(life):
    import zlib

    blob = Linear().fold(None, [Observation(np.ones(3), {"quality": 1.0})], dimension=3)
    with database_at(parse(life.url)).engine.begin() as connection:
        new = {"blob": blob, "crc32": zlib.crc32(blob)}
        connection.execute(update(statistics).where(statistics.c.arm == "a").values(**new))
    (words,) = admin.verify(life.url)
    assert "arm 'a' differ" in words


class TestPrune:
    def test_prune_removes_old_decisions_and_keeps_what_was_learned(self, life):
        day = 86_400.0
        later = Life(life.url, seed=2)
        later.live(40, now=NOW + 50 * day)
        everything = Life(life.url)
        everything.told = {**life.told, **later.told}
        unanswered = sum(not told[3] for told in life.told.values())
        assert admin.prune(life.url, now=NOW + 60 * day) == unanswered > 0
        assert admin.prune(life.url, now=NOW + 60 * day) == 0
        assert admin.prune(life.url, now=NOW + 91 * day) == 60 - unanswered + sum(
            not told[3] for told in later.told.values()
        )
        assert everything.held() == everything.expected()
        (epoch,) = admin.inspect(life.url)
        assert (epoch.decisions + epoch.pruned, epoch.decisions) == (100, sum(bool(t[3]) for t in later.told.values()))
        assert admin.verify(life.url) == []
        admin.rebuild(life.url)
        assert everything.held() == everything.expected()
        with everything.router(NOW + 91 * day) as router:
            assert router.status().learned == sum(bool(told[3]) for told in everything.told.values())
            with pytest.raises(UnknownDecisionError, match="by its id of 91 days ago, is held"):
                router.feedback(next(iter(life.told)), quality=1.0)
            with pytest.raises(UnknownDecisionError, match="not older than"):
                router.feedback("0" * 30, quality=1.0)

    def test_prune_exports_decisions_before_it_deletes_them(self, life, tmp_path):
        folder = tmp_path / "old" / "log"
        assert admin.prune(life.url, now=NOW + 1e8, export=folder) == 60
        rows = [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
        assert {row["id"] for row in rows} == set(life.told)
        for row in rows:
            arm, x, session, values = life.told[row["id"]]
            assert (row["arm"], row["x"], row["session"]) == (arm, x.tolist(), session)
            assert dict(row["outcomes"]) == {name: value for name, (value, _) in values.items()}
            assert sum(row["probabilities"]) == pytest.approx(1.0)
            assert row["arms"] == ["a", "b"]
            assert dict(row["preference"]) == {"quality": 1.0}
        assert not list(folder.glob("*.part"))

    def test_prune_removes_nothing_if_the_export_fails(self, life, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(OSError, match="file"):
            admin.prune(life.url, now=NOW + 1e8, export=tmp_path / "file")
        assert admin.inspect(life.url)[0].decisions == 60

    @pytest.mark.parametrize("seconds", [-1.0, float("nan"), "1"])
    def test_windows_are_numbers(self, life, seconds):
        with pytest.raises(InvalidConfigurationError, match="answered_seconds"):
            admin.prune(life.url, answered_seconds=seconds)


def test_the_whole_log_is_exported(life, tmp_path):
    path = tmp_path / "log.parquet"
    assert admin.export(life.url, path) == 60
    rows = pq.read_table(path).to_pylist()
    assert [row["id"] for row in rows] == sorted(life.told)
    assert [row for table in read_tables(life.url) for row in table.to_pylist()] == rows
    assert list(read_tables(life.url, router="another")) == []
    assert admin.export(life.url, path, router="another") == 0
    assert pq.read_table(path).num_rows == 0


def test_figures_of_every_epoch(life):
    (epoch,) = admin.inspect(life.url)
    costs = [values["cost_usd"][0] for *_, values in life.told.values() if "cost_usd" in values]
    assert epoch.spend_usd == sum(costs)
    assert (epoch.router, epoch.dimension, epoch.pending, epoch.lag_seconds) == ("default", 3, 0, 0.0)
    assert [(arm.name, arm.active) for arm in epoch.arms] == [("a", True), ("b", True)]
    assert sum(arm.counts["quality"] for arm in epoch.arms) == epoch.answered
    assert all(arm.information_nats > 1.0 for arm in epoch.arms)
    assert epoch.states == {}
    assert admin.inspect(life.url, router="another") == []


def test_a_database_is_made_by_upgrade(tmp_path: Path, postgresql):
    for url in (f"sqlite:///{tmp_path / 'new.db'}", postgresql.database(upgraded=False)):
        admin.upgrade(url)
        admin.upgrade(url)
        assert admin.inspect(url) == []
