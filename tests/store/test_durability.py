"""What is on disk when a call returns, by the named choice, and what a crash can take."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlalchemy import select, text

from banditroute.errors import InvalidConfigurationError
from banditroute.router import Router
from banditroute.store import Recorded, SQLStore
from banditroute.store.sql.database import database_at, parse
from banditroute.store.sql.schema import decision as decisions
from banditroute.testing.samples import Listener, decision, feedback, fold, listen
from benchmarks.server import Server

Until: TypeAlias = Callable[[Callable[[], bool]], None]


def opened(url: str, durability: str) -> SQLStore:
    store = SQLStore(url, durability=durability, linger_seconds=60.0)  # type: ignore[arg-type]
    store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
    return store


def held(url: str) -> set[int]:
    """The numbers of the decisions that are in the database."""
    with database_at(parse(url)).engine.connect() as connection:
        return {int(id, 16) for id in connection.scalars(select(decisions.c.id))}


def test_durability_all_returns_a_decision_after_it_is_on_disk(url: str) -> None:
    store = opened(url, "all")
    for number in range(5):
        store.add_decision(decision(number))
        assert held(url) == set(range(number + 1))
    store.close()


def test_else_a_decision_lingers(url: str) -> None:
    store = opened(url, "feedback")
    store.add_decision(decision(1))
    assert held(url) == set()
    store.close()
    assert held(url) == {1}


def test_many_threads_that_wait_share_a_group(url: str) -> None:
    store = opened(url, "all")
    threads = [threading.Thread(target=store.add_decision, args=(decision(number),)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(url) == set(range(30))
    store.close()


def test_durability_all_does_not_wait_where_it_would_wait_for_itself(url: str) -> None:
    store = opened(url, "all")

    class Decides(Listener):
        def on_recorded(self, recorded: Recorded) -> None:
            store.add_decision(decision(2))

    store.subscribe(Decides())
    store.add_decision(decision(1))
    store.add_feedback(feedback(1, quality=1.0)).result(30)
    store.close()
    assert held(url) == {1, 2}


def test_durability_all_routes_on_where_the_database_cannot_be_written(path: Path) -> None:
    store = SQLStore(f"sqlite:///{path}?timeout=0.05", durability="all")
    with Router(arms=["a"], features=1, store=store) as router:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            router.route([1.0])
            assert "another process" in router.route([1.0]).reason
            other.execute("ROLLBACK")
        router.flush()
        assert router.route([1.0]).reason == "policy"


@pytest.mark.parametrize(
    ("durability", "of_sqlite", "of_postgresql"), [("feedback", 2, "on"), ("all", 2, "on"), ("relaxed", 1, "off")]
)
def test_the_database_is_told(url: str, durability: str, of_sqlite: int, of_postgresql: str) -> None:
    with database_at(parse(url), relaxed=durability == "relaxed").engine.connect() as connection:
        if url.startswith("sqlite"):
            assert connection.scalar(text("PRAGMA synchronous")) == of_sqlite
        else:
            assert connection.scalar(text("SHOW synchronous_commit")) == of_postgresql


def test_a_server_that_does_more_than_asked_stays_as_it_is(postgresql: Server) -> None:
    url = postgresql.database().replace("search_path", "synchronous_commit%3Dlocal%20-csearch_path")
    with database_at(parse(url)).engine.connect() as connection:
        assert connection.scalar(text("SHOW synchronous_commit")) == "local"


@pytest.mark.parametrize("durability", ["", "none", None, 1])
def test_the_choice_is_one_of_three(durability: object) -> None:
    with pytest.raises(InvalidConfigurationError, match="feedback, all, relaxed"):
        SQLStore("sqlite:///x.db", durability=durability)  # type: ignore[arg-type]


WRITE = """
import sys
from banditroute.store import SQLStore
from banditroute.testing.samples import decision, feedback, fold
url, durability = sys.argv[1:]
store = SQLStore(url, durability=durability)
store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
for number in range(1_000_000):
    store.add_decision(decision(number))
    if durability != "all":
        store.add_feedback(feedback(number, quality=1.0)).result()
    print(number, flush=True)
"""


@pytest.mark.parametrize("durability", ["feedback", "all", "relaxed"])
def test_a_killed_process_loses_nothing_that_was_promised(url: str, durability: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITE, url, durability], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(200):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    process.wait()
    process.stdout.close()
    last = 199 + rest.count("\n")
    store = opened(url, durability)
    listener = listen(store)
    for number in range(last + 1):  # each again: where it was lost it is new, or its decision is unknown
        store.add_feedback(feedback(number, quality=1.0)).result(30)
    if durability != "all":
        assert listener.events == []  # nothing that was acknowledged was lost
    store.close()


def test_a_server_that_crashes_loses_nothing_acknowledged_and_its_clients_go_on(
    postgresql: Server, until: Until
) -> None:
    store = opened(postgresql.database(), "feedback")
    listener = listen(store)
    for number in range(50):
        store.add_decision(decision(number))
        store.add_feedback(feedback(number, quality=1.0)).result(30)
    store.add_decision(decision(50))
    postgresql.crash()
    postgresql.start()
    for number in range(50):
        store.add_feedback(feedback(number, quality=1.0)).result(30)
    assert len(listener.events) == 50
    store.add_feedback(feedback(50, quality=1.0)).result(30)
    assert len(listener.events) == 51
    assert store.trouble is None
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_queued_records_are_written_before_a_fork(url: str) -> None:
    script = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from banditroute.store import SQLStore
from banditroute.testing.samples import decision, fold
store = SQLStore(sys.argv[1], linger_seconds=60.0)
store.open(router="r", arms=(), features_version="1", dimension=3, fold=fold)
store.add_decision(decision(1))
if os.fork() == 0:
    del store  # nothing is said to the parent's connection
    os._exit(0)
os.wait()
store.add_decision(decision(2))
store.flush()
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    assert held(url) == {1, 2}
