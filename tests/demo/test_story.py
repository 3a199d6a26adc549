"""The demo, end to end, on a small cut of the shipped log."""

import json
import sqlite3
from concurrent.futures import Future

import numpy as np
import pyarrow.parquet as pq
import pytest

from banditroute.core.arm import Arm
from banditroute.demo import tell
from banditroute.demo.service import Change, Service, Traffic
from banditroute.errors import InvalidInputError
from banditroute.logs import read_outcomes

TITLES = [
    "1. You do not know which model is best.",
    "2. You have a budget.",
    "3. Things change.",
    "4. You can look at the answer first.",
    "5. It remembers, and explains itself.",
]


def run(log, out, seeds=2):
    lines = []
    tell(table=read_outcomes(log), out=out, seeds=seeds, echo=lines.append)
    return "\n".join(lines)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "new" / "folder"


@pytest.fixture(scope="module")
def first(small_log, out):
    """What the first run prints."""
    return run(small_log, out)


def test_story_has_five_chapters_of_three_numbers(first, out):
    assert [line for line in first.splitlines() if line in TITLES] == TITLES
    page = (out / "report.html").read_text()
    assert all(title in page for title in TITLES)


def test_story_fits_80_columns(first):
    told = first[: first.index(TITLES[-1])]
    assert max(map(len, told.splitlines())) <= 80


def test_reference_figures_are_those_of_the_log(small_log, first, out):
    table = read_outcomes(small_log)
    rows = json.loads((out / "figures.json").read_text())["sections"]["unknown_best"]
    by_name = {row["who serves"]: row for row in rows}
    assert by_name["one at random for each request"]["quality"] == pytest.approx(table.outcomes["quality"].mean())
    best = table.outcomes["quality"].max(axis=1).mean()
    assert by_name["the best arm for each request (nobody can know it)"]["quality"] == pytest.approx(best)
    for k, arm in enumerate(table.arms):
        row = by_name[f"always {arm.rsplit('/', 1)[-1]}"]
        assert row["quality"] == pytest.approx(table.outcomes["quality"][:, k].mean())
        assert row["USD per 1,000 requests"] == pytest.approx(1000.0 * table.outcomes["cost_usd"][:, k].mean())


def test_second_run_continues_from_the_database_of_the_first(small_log, first, out):
    assert "decisions known after the restart  200" in first
    again = run(small_log, out)
    assert "decisions learned from before      200" in again
    assert "decisions known after the restart  400" in again
    with sqlite3.connect(f"file:{out / 'demo.db'}?mode=ro", uri=True) as database:
        (count,) = database.execute("SELECT count(*) FROM banditroute_decision").fetchone()
    database.close()
    assert count >= 400


def test_log_without_costs_is_refused(small_log, tmp_path):
    bare = tmp_path / "bare.parquet"
    pq.write_table(pq.read_table(small_log).select(["query_id", "model", "score", "prompt"]), bare)
    with pytest.raises(InvalidInputError, match="does not have the cost_usd of every arm"):
        run(bare, tmp_path, seeds=1)


def at_once(function, *arguments):
    """Call a function in this process."""
    done = Future()
    done.set_result(function(*arguments))
    return done


class TestService:
    TRAFFIC = Traffic(
        arms=("weak", "strong"),
        x=np.zeros((40, 1)),
        quality=np.tile([0.0, 1.0], (40, 1)),
        cost_usd=np.tile([0.25, 0.5], (40, 1)),
    )

    def test_calls_of_one_request_are_charged_together(self):
        judged = Traffic(
            arms=self.TRAFFIC.arms,
            x=self.TRAFFIC.x,
            quality=self.TRAFFIC.quality,
            cost_usd=self.TRAFFIC.cost_usd,
            judge_errors=0.0,
        )
        ((served,),) = Service(seeds=1, submit=at_once).serve(judged, settings=[{}])
        assert set(served.cost_usd) <= {0.25, 0.5, 0.75}
        assert (served.cost_usd == 0.75).any()
        assert served.quality.tolist() == served.arm.tolist()

    def test_a_change_acts_from_its_request_on(self):
        change = Change(
            worse_from=20, worse_arm=0, worse_by=0.5, arrives_at=30, arrival=Arm(name="strong", expected={"quality": 1})
        )
        flat = Traffic(
            arms=("weak", "strong"), x=np.zeros((40, 1)), quality=np.ones((40, 2)), cost_usd=np.ones((40, 2))
        )
        ((served,),) = Service(seeds=1, submit=at_once).serve(flat, settings=[{}], change=change)
        assert (served.arm[:30] == 0).all()
        assert served.quality[:30].tolist() == [1.0] * 20 + [0.5] * 10
        assert (served.arm[30:] == 1).any()
