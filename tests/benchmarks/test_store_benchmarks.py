"""The benchmarks of the store in their short form: they run, and what must be 0 is 0."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from banditroute.store.sql.database import database_at, parse
from banditroute.store.sql.schema import decision as decisions
from banditroute.store.sql.schema import feedback as feedbacks
from banditroute.testing.samples import decision, feedback
from benchmarks.crash import Finding, examine, opened
from benchmarks.promises import ATTACKS, OF_ROOT

ROOT = Path(__file__).resolve().parents[2]


def figures(tmp_path, name, **options):
    """(case, metric) -> mean of a benchmark's rows."""
    out = tmp_path / "out.json"
    arguments = [f"--{option}={value}" for option, value in options.items()]
    run = [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--json", str(out)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]
    return {(row["case"], row["policy"], row["metric"]): row["mean"] for row in json.loads(out.read_text())["rows"]}


@pytest.mark.parametrize(
    "counts",
    [
        {"cycles": 8, "crashes": 2, "cuts": 20},
        pytest.param({"cycles": 50, "crashes": 5, "cuts": 100}, marks=pytest.mark.slow),
    ],
    ids=["short", "soak"],
)
def test_killed_processes_and_databases_lose_no_feedback(tmp_path, counts):
    found = figures(tmp_path, "durability", **counts)
    for case in ("kill_sqlite", "kill_postgresql", "crash_postgresql", "upgrade_sqlite", "upgrade_postgresql"):
        for metric in ("lost", "twice", "wrong"):
            assert found[case, "banditroute", metric] == 0.0, (case, metric)
    for case in ("log_cut", "log_flipped"):
        assert found[case, "banditroute", "silent"] == 0.0
        assert found[case, "banditroute", "prefix"] > 0.0


@pytest.mark.slow
def test_concurrent_reports_lose_no_feedback(tmp_path):
    found = figures(tmp_path, "contention", seconds=3, sqlite=3, postgresql=6)
    for case in ("sqlite", "postgresql"):
        for metric in ("lost", "failures", "fallbacks"):
            assert found[case, "banditroute", metric] == 0.0, (case, metric)
        assert found[case, "banditroute", "feedback_per_second"] > 1.0
        assert found[case, "banditroute", "agreement_seconds"] > 0.0


def test_speed_is_measured_beside_a_bare_loop(tmp_path):
    found = figures(tmp_path, "store_speed", seeds=1, singles=10, groups=2, events=1024)
    for case in ("sqlite", "postgresql"):
        for metric in ("single_ratio", "grouped_ratio", "folded_events_per_second"):
            assert found[case, "banditroute", metric] > 0.0


def test_a_long_life_stays_bounded(tmp_path):
    found = figures(tmp_path, "soak", decisions=4_000)
    assert found["soak", "banditroute", "lost"] == 0.0
    assert found["soak", "banditroute", "differences_from_replay"] == 0.0
    assert found["soak", "banditroute", "rows"] <= found["soak", "banditroute", "rows_allowed"]


class TestExamine:
    """What finds the losses finds them."""

    @pytest.fixture
    def url(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'examined.db'}"
        store = opened(url)
        for number in range(5):
            store.add_decision(decision(number))
            store.add_feedback(feedback(number, quality=1.0)).result(30)
        store.close()
        return url

    def change(self, url, *statements):
        with database_at(parse(url)).engine.begin() as connection:
            for statement in statements:
                connection.execute(statement)

    def test_examine_finds_no_loss_in_a_whole_database(self, url):
        assert examine(url, range(5)) == Finding(lost=0, twice=0, wrong=0)

    def test_examine_counts_a_lost_decision(self, url):
        id = f"{3:032x}"
        self.change(
            url, delete(feedbacks).where(feedbacks.c.decision_id == id), delete(decisions).where(decisions.c.id == id)
        )
        assert examine(url, range(5)) == Finding(lost=1, twice=1, wrong=1)

    def test_examine_counts_feedback_learned_twice(self, url):
        self.change(url, update(feedbacks).where(feedbacks.c.decision_id == f"{3:032x}").values(folded_version=None))
        assert examine(url, range(5)) == Finding(lost=0, twice=1, wrong=1)


@pytest.mark.parametrize("name", ["decision dropped", "answer to COMMIT lost", "password in messages"])
def test_a_quick_attack_breaks_no_promise(url, name):
    outcome = ATTACKS[name](url, 5)
    assert outcome.asked > 0
    assert outcome.found >= outcome.acknowledged
    assert outcome.leaked == 0


@pytest.mark.slow
def test_no_attack_breaks_a_promise(tmp_path):
    out = tmp_path / "out.json"
    run = [sys.executable, "-m", "benchmarks.promises", "--short", "--json", str(out)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-4000:]
    rows = json.loads(out.read_text())["rows"]
    assert {row["case"] for row in rows} == set(ATTACKS) - (set() if os.geteuid() == 0 else OF_ROOT)
    assert [row for row in rows if row["metric"] in {"lost", "hung", "leaked"} and row["mean"]] == []
