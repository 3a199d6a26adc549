"""The sums of a database by hour, kept in memory: read once from the newest to the oldest, then carried on.

The log itself may hold millions of decisions. What the page shows of them are sums over hours, which fit in a few
megabytes and answer every filter at once.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import inf
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection

from banditroute.core.decision_ids import seconds_of
from banditroute.store.sql import hourly, recent
from banditroute.store.sql.hourly import DecisionHour, OutcomeHour

Step = Literal["hour", "day", "week", "month", "all"]
"""Length of the time over which figures are summed."""

_SETTLED_SECONDS = 300.0  # a decision is written within that time, as a rule within 50 ms
_SETTLED_OUTCOMES = 10_000  # an outcome's transaction ends before so many others are numbered
_DECISIONS_AT_ONCE = 20_000  # of the past, read in one step
_HOURLY_DAYS = 90  # older sums are kept by day
_MOST_TAG_LISTS = 200  # of a router; decisions with others are counted together
OTHER_TAGS = "other tags"
_SUMS = ("number", "late", "positive", "delay_seconds", "total", "squares", "w", "w2", "wv", "w2v", "w2v2")
_SUMMED = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)
_sums = attrgetter(*_SUMS)
_SCHEMA = f"""
CREATE TABLE key (id INTEGER PRIMARY KEY, router TEXT, arm TEXT, tags TEXT, UNIQUE (router, arm, tags));
CREATE TABLE decisions (key INTEGER, hour INTEGER, settled INTEGER, decisions INTEGER, fallbacks INTEGER,
    PRIMARY KEY (settled, key, hour)) WITHOUT ROWID;
CREATE TABLE outcomes (key INTEGER, hour INTEGER, objective TEXT, settled INTEGER,
    {", ".join(f"{name} REAL" for name in _SUMS)}, PRIMARY KEY (settled, objective, key, hour)) WITHOUT ROWID;
"""
_ADD_DECISIONS = """INSERT INTO decisions VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    decisions = decisions + excluded.decisions, fallbacks = fallbacks + excluded.fallbacks"""
_ADD_OUTCOMES = f"""INSERT INTO outcomes VALUES (?, ?, ?, ?, {", ".join("?" * len(_SUMS))})
    ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)}"""
_CHOSEN = "key IN (SELECT value FROM json_each(?)) AND hour >= ?"
_BUCKETS: dict[Step, str] = {  # when a bucket begins, in Unix seconds
    "hour": "hour * 3600",
    "day": "hour / 24 * 86400",
    "week": "(hour + 72) / 168 * 604800 - 259200",  # on a Monday
    "month": "unixepoch(hour * 3600, 'unixepoch', 'start of month')",
    "all": "0",
}


class Group(NamedTuple):
    """One router's arm, and the tags of its decisions."""

    id: int
    router: str
    arm: str
    tags: tuple[str, ...]


class History:
    """The sums of all decisions by hour, arm and tags.

    One thread calls :meth:`refresh` and :meth:`read_older`; any thread may call the rest.

    Parameters
    ----------
    clock
        Gives Unix seconds, as the routers' clocks do.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._clear()

    def _clear(self) -> None:
        self._sums = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._sums.executescript(_SCHEMA)
        self._keys: dict[tuple[str, str, str], int] = {}
        self._tag_lists: defaultdict[str, set[str]] = defaultdict(set)
        self._place: tuple[Any, ...] | None = None  # the database that was read
        self._seen: object = None  # of the database, when it was read last
        self._settled_id = ""  # decisions with ids below are settled, and not read again
        self._settled_outcome = 0  # outcomes up to this number are settled
        self._past_outcome = 0  # outcomes up to this number are read with the decisions of the past
        self._reached: str | None = None  # decisions from this id on are read; None: the past was not begun
        self._oldest = self._newest = ""

    def refresh(self, connection: Connection) -> None:
        """Read what is new. Begin again if the database is another one, or its latest decision was erased."""
        place = hourly.signature(connection)
        oldest, newest = hourly.ids_between(connection)
        last_outcome = recent.latest_feedback_id(connection)
        if (place, oldest, newest, last_outcome) == self._seen:
            return
        settled_outcome = max(0, last_outcome - _SETTLED_OUTCOMES)
        settled_id = f"{max(0, int((self._clock() - _SETTLED_SECONDS) * 1000)):012x}"
        with self._lock:
            if self._place is not None and (place[: len(self._place)] != self._place or newest < self._newest):
                self._clear()
            if self._place is None:
                self._settled_id, self._settled_outcome, self._past_outcome = (
                    settled_id,
                    settled_outcome,
                    settled_outcome,
                )
            self._place, self._oldest, self._newest = place, oldest, newest
        settled_id, settled_outcome = max(settled_id, self._settled_id), max(settled_outcome, self._settled_outcome)
        settled = (
            hourly.decisions_by_hour(connection, self._settled_id, settled_id),
            hourly.outcomes_after(connection, self._settled_outcome, settled_outcome),
        )
        still_open = (
            hourly.decisions_by_hour(connection, settled_id, None),
            hourly.outcomes_after(connection, settled_outcome, last_outcome),
        )
        with self._lock, self._transaction():
            self._sums.execute("DELETE FROM decisions WHERE settled = 0")
            self._sums.execute("DELETE FROM outcomes WHERE settled = 0")
            self.add(*settled, settled=True)
            self.add(*still_open, settled=False)
            self._settled_id, self._settled_outcome = settled_id, settled_outcome
            if self._reached is None:
                self._reached = self._begin = settled_id
            self._seen = (place, oldest, newest, last_outcome)

    def read_older(self, connection: Connection) -> bool:
        """Read the next decisions of the past, the newest first; return whether there are more."""
        reached = self._reached
        if not reached:
            return False
        first = hourly.id_before(connection, reached, _DECISIONS_AT_ONCE)
        decisions = hourly.decisions_by_hour(connection, first, reached)
        # Outcomes of the decisions that were still open at the beginning are read with the first of the past.
        end = None if reached == self._begin else reached
        outcomes = hourly.outcomes_of_decisions(connection, first, end, self._past_outcome)
        with self._lock, self._transaction():
            if self._reached != reached:
                return True
            self.add(decisions, outcomes, settled=True)
            self._reached = first
        return bool(first)

    @property
    def reached(self) -> float:
        """How far back the past is read, in Unix seconds: 0 if all of it is, infinite if nothing is."""
        if not self._reached:
            return inf if self._reached is None else 0.0
        return int(self._reached[:12], 16) / 1000.0

    @property
    def progress(self) -> float:
        """How much of the time since the oldest decision is read: 0 to 1."""
        if self._reached == "" or (self._reached is not None and self.times is None):
            return 1.0
        oldest, newest = self.times or (0.0, 1.0)
        return min(max((newest - self.reached) / max(newest - oldest, 1.0), 0.0), 0.99)

    @property
    def times(self) -> tuple[float, float] | None:
        """When the oldest and the newest decision were made, in Unix seconds; None without decisions."""
        oldest, newest = seconds_of(self._oldest), seconds_of(self._newest)
        return None if oldest is None or newest is None else (oldest, newest)

    def groups(self) -> list[Group]:
        """Return all arms with the tags of their decisions."""
        with self._lock:
            known = list(self._keys.items())
        return [Group(id, router, arm, tags_of(tags)) for (router, arm, tags), id in known]

    def decisions(self, keys: Iterable[Group], since: float, step: Step) -> list[sqlite3.Row]:
        """Return bucket, arm, decisions and fallbacks of some arms, of the hours from ``since`` on."""
        return self._query(
            f"""SELECT {_BUCKETS[step]} AS bucket, arm, sum(decisions) AS decisions, sum(fallbacks) AS fallbacks
            FROM decisions JOIN key ON key.id = key WHERE {_CHOSEN} GROUP BY bucket, arm ORDER BY bucket""",
            keys,
            since,
        )

    def outcomes(self, keys: Iterable[Group], since: float, step: Step) -> list[sqlite3.Row]:
        """Return bucket, arm, objective and the sums of ``OutcomeHour`` of some arms, as :meth:`decisions` does."""
        return self._query(
            f"""SELECT {_BUCKETS[step]} AS bucket, arm, objective, {_SUMMED}
            FROM outcomes JOIN key ON key.id = key WHERE {_CHOSEN} GROUP BY bucket, arm, objective ORDER BY bucket""",
            keys,
            since,
        )

    def _query(self, query: str, keys: Iterable[Group], since: float) -> list[sqlite3.Row]:
        ids = json.dumps([key.id for key in keys])
        with self._lock:
            cursor = self._sums.cursor()
            cursor.row_factory = sqlite3.Row
            return cursor.execute(query, (ids, int(since // hourly.SECONDS_PER_HOUR))).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._sums.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._sums.execute("ROLLBACK")
            raise
        self._sums.execute("COMMIT")

    def add(self, decisions: Iterable[DecisionHour], outcomes: Iterable[OutcomeHour], *, settled: bool) -> None:
        by_day_before = int(self._clock() // hourly.SECONDS_PER_HOUR) - 24 * _HOURLY_DAYS

        def place(row: DecisionHour | OutcomeHour) -> tuple[int, int]:
            hour = row.hour if row.hour >= by_day_before else row.hour // 24 * 24
            return self._key(row.router, row.arm, row.tags), hour

        self._sums.executemany(
            _ADD_DECISIONS, [(*place(row), settled, row.decisions, row.fallbacks) for row in decisions]
        )
        self._sums.executemany(
            _ADD_OUTCOMES,
            [(*place(row), row.objective, settled, *_sums(row)) for row in outcomes],
        )

    def _key(self, router: str, arm: str, tags: str) -> int:
        lists = self._tag_lists[router]
        if tags not in lists:
            if len(lists) >= _MOST_TAG_LISTS:
                tags = json.dumps([OTHER_TAGS])
            lists.add(tags)
        key = self._keys.get((router, arm, tags))
        if key is None:
            key = self._keys[router, arm, tags] = len(self._keys)
            self._sums.execute("INSERT INTO key VALUES (?, ?, ?, ?)", (key, router, arm, tags))
        return key


def tags_of(text: str) -> tuple[str, ...]:
    """Return the tags of a JSON list; no tags if it is damaged."""
    try:
        return tuple(map(str, json.loads(text)))
    except (TypeError, ValueError):
        return ()
