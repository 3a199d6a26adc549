"""Snapshots by hand and by time, and going back to a moment."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from banditroute import Router, SQLStore, admin
from banditroute.cli.main import main
from banditroute.errors import InvalidRequestError, StoreError
from banditroute.store.sql.database import database_at, parse
from banditroute.store.sql.schema import feedback, snapshot

HOUR = 3600.0


def live(url, quality, name="default", requests=5):
    with Router(arms=["a"], features=1, name=name, store=SQLStore(url)) as router:
        for _ in range(requests):
            router.feedback(router.route([1.0]).id, quality=quality)


def believed(url, name="default"):
    """Return how many outcomes the epoch of a router has learned."""
    (epoch,) = admin.inspect(url, router=name)
    return sum(arm.counts.get("quality", 0.0) for arm in epoch.arms)


def shift(url, seconds):
    """Move all that is recorded into the past."""
    database = database_at(parse(url))
    with database.engine.connect() as connection, database.writing(connection):
        connection.execute(update(snapshot).values(taken_at=snapshot.c.taken_at - seconds))
        connection.execute(update(feedback).values(received_at=feedback.c.received_at - seconds))


@pytest.fixture
def earlier(url):
    """Five outcomes with a snapshot two hours ago, then five more."""
    live(url, 1.0)
    admin.snapshot(url)
    shift(url, 2 * HOUR)
    live(url, 0.0)
    assert believed(url) == 10
    return time.time() - HOUR


def test_a_snapshot_by_hand_holds_what_is_pending(url):
    with Router(arms=["a"], features=1, store=SQLStore(url)) as router:
        for quality in (1.0, 0.0):
            router.feedback(router.route([1.0]).id, quality=quality)
        taken = admin.snapshot(url)
        (epoch,) = admin.inspect(url)
        assert taken == {1: epoch.version}
        assert epoch.pending == 0
        assert epoch.snapshots[epoch.version] == pytest.approx(time.time(), abs=600)
        router.feedback(router.route([1.0]).id, quality=0.0)
    assert admin.roll_back(url, epoch=1, version=taken[1]) == 1
    assert believed(url) == 2
    assert admin.verify(url) == []


def test_a_router_that_has_learned_nothing_has_no_snapshot(url):
    Router(arms=["a"], features=1, store=SQLStore(url)).close()
    assert admin.snapshot(url) == {}


@pytest.mark.parametrize("form", [float, lambda at: datetime.fromtimestamp(at, UTC).replace(tzinfo=None)])
def test_going_back_to_a_moment_takes_the_last_snapshot_before_it(url, earlier, form):
    assert admin.roll_back(url, to=form(earlier)) == 5
    assert believed(url) == 5
    assert admin.verify(url) == []
    assert admin.roll_back(url, to=time.time() + 1.0) == 0


def test_a_router_without_feedback_since_stays_as_it_is(url, earlier):
    live(url, 1.0, name="other")
    assert admin.roll_back(url, to=earlier, router="default") == 5
    assert believed(url, "other") == 5
    assert admin.roll_back(url, to=time.time() + 1.0, router="other") == 0
    assert believed(url, "other") == 5


def test_a_moment_before_all_snapshots_changes_nothing(url, earlier):
    live(url, 1.0, name="other")
    with pytest.raises(StoreError, match=r"epoch \d has no snapshot of .* or earlier; its first is of 20"):
        admin.roll_back(url, to=earlier)  # the other router began later
    assert believed(url) == 10


@pytest.mark.parametrize(
    "wrong", [{}, {"epoch": 1}, {"version": 1}, {"to": 1.0, "epoch": 1, "version": 1}, {"to": "noon"}, {"to": -1.0}]
)
def test_an_unclear_target_is_refused(url, earlier, wrong):
    with pytest.raises(InvalidRequestError):
        admin.roll_back(url, **wrong)


def test_the_command_line_takes_a_snapshot_lists_it_and_goes_back(url, earlier):
    def run(*arguments):
        result = CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "snapshot 2 of epoch 1" in run("db", "snapshot", url)
    assert f" of {datetime.now(UTC):%Y-%m-%d}" in run("inspect", url)
    moment = datetime.fromtimestamp(earlier, UTC).isoformat()
    assert run("db", "rollback", url, "--to", moment).startswith("5 later outcomes")
    assert believed(url) == 5
    assert CliRunner().invoke(main, ["db", "rollback", url, "--to", "noon"]).exit_code == 2


def test_a_dry_run_of_an_erasure_counts_and_changes_nothing(url):
    with Router(arms=["a"], features=1, store=SQLStore(url)) as router:
        for number in range(6):
            decision = router.route([1.0], session="Ann" if number % 2 else "Bob")
            router.feedback(decision.id, quality=1.0, source="user" if number < 2 else "grader")
    assert admin.erase(url, session="Ann", dry_run=True) == 3
    assert admin.erase(url, source="grader", dry_run=True) == 4
    result = CliRunner().invoke(main, ["db", "erase", url, "--session", "Ann", "--dry-run"])
    assert result.output == "3 decisions would be erased\n"
    assert believed(url) == 6
    assert admin.erase(url, session="Ann") == 3
    assert believed(url) == 3
