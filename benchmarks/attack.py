"""What attacks on the promises share: their outcome, and a database that is locked, changed and read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import text

from banditroute import Router
from banditroute.router.assembly import parts_of
from banditroute.store.sql.database import database_at, parse


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an attack.

    Attributes
    ----------
    asked, acknowledged, found
        Reports that were made, that were accepted, and that are in the database afterwards.
    leaked
        Places in which something is that must not be there, or answers that must not be given.
    route_p99_ms, route_max_ms
        How long decisions waited meanwhile; None where that was not measured.
    """

    asked: int = 0
    acknowledged: int = 0
    found: int = 0
    leaked: int = 0
    route_p99_ms: float | None = None
    route_max_ms: float | None = None


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements in one transaction; return the rows of the last."""
    database = database_at(parse(url))
    with database.engine.connect() as connection, database.writing(connection):
        for statement in statements:
            result = connection.execute(text(statement))
        return [tuple(each) for each in result] if result.returns_rows else []


def found(url: str, ids: Sequence[str]) -> int:
    """Return how many of these decisions have feedback in the database."""
    held = {each[0] for each in execute(url, "SELECT decision_id FROM banditroute_feedback")}
    return len(held & set(ids))


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Keep everybody else from writing."""
    database = database_at(parse(url))
    with database.engine.connect() as connection, database.writing(connection):
        if not url.startswith("sqlite"):
            connection.execute(text("LOCK TABLE banditroute_epoch, banditroute_decision IN EXCLUSIVE MODE"))
        yield


class WatchedLock:
    """A lock that notes how long it was held, in time of the thread that held it."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._depth = 0
        self._began = 0.0
        self.longest_ms = 0.0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1
        if self._depth == 1:
            self._began = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.longest_ms = max(self.longest_ms, 1e3 * (time.thread_time() - self._began))
        self._lock.release()


def watched_lock(router: Router) -> WatchedLock:
    """Return the lock of a router's decisions, which notes from now on how long it is held."""
    engine = parts_of(router).engine
    lock = WatchedLock(engine._lock)
    engine._lock = lock  # type: ignore[assignment]
    return lock
