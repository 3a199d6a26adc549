"""The thread that reads the database for the page: nobody who looks at the page waits for the database."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Row

from banditroute.admin._database import open_database
from banditroute.admin.explanation import RecordedExplanation, explained
from banditroute.core.forking import hold_while_forking
from banditroute.dashboard.history import History
from banditroute.dashboard.predictions import Predictions, predictions_of
from banditroute.dashboard.present import Present, present_of
from banditroute.store.sql import hourly
from banditroute.store.sql.database import Database

REFRESH_SECONDS = 2.0
_IDLE_SECONDS = 20.0  # without a visitor; then nothing is read
_FIRST_SECONDS = 86_400.0  # of the past, for which the first visitor waits
_DECISIONS_KEPT = 500  # the latest, which the page lists
_PREDICTIONS_SECONDS = 60.0  # between two comparisons of predictions with outcomes
_log = logging.getLogger("banditroute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The latest figures that were read of the database.

    Attributes
    ----------
    at
        When, in Unix seconds; None before the first time.
    trouble
        Why the database cannot be read now; empty if it can.
    present
        How each router stands, by its name.
    latest, outcomes
        The latest decisions, the newest first, and the outcomes of each by its id.
    predictions
        Expected and observed quality, by router.
    """

    at: float | None = None
    trouble: str = ""
    present: dict[str, Present] = field(default_factory=dict)
    latest: list[Row[Any]] = field(default_factory=list)
    outcomes: dict[str, dict[str, float]] = field(default_factory=dict)
    predictions: dict[str, Predictions] = field(default_factory=dict)


class Reader:
    """Reads a database while somebody looks at the page, and keeps the sums of its log.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.

    Raises
    ------
    InvalidConfigurationError
        If the URL names no database.
    IncompatibleStoreError, StoreError
        If the database cannot be used.
    """

    def __init__(self, *, url: str) -> None:
        self.database: Database = open_database(url, writes=False, read_only=True)
        self.history: History = History()
        self.seen: Seen = Seen()
        self._visited = 0.0
        self._wake = threading.Event()
        self._first = threading.Event()
        self._lock = threading.RLock()
        self._reading = (
            threading.RLock()
        )  # a child must not be forked in the middle of a read: SQLite has locks of its own
        self._thread: threading.Thread | None = None
        self._predicted_at = -_PREDICTIONS_SECONDS
        hold_while_forking(self, "_lock", "_reading")

    def begin_in_child(self) -> None:
        """Go on from what was read, with connections and a thread of its own, in a forked child."""
        self.database.engine.dispose(close=False)
        self._thread = None
        self._wake, self._first = threading.Event(), threading.Event()

    def visit(self, patience_seconds: float = 0.6) -> Seen:
        """Return what was read last; the first visitor waits for it, for ``patience_seconds`` at most."""
        self._visited = time.monotonic()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="banditroute-dashboard", daemon=True)
                self._thread.start()
        self._wake.set()
        self._first.wait(patience_seconds)
        return self.seen

    def explain(self, id: str) -> RecordedExplanation | None:
        """Return the explanation of a decision, read now; None if the database does not hold it.

        Raises
        ------
        IncompatibleStoreError, StoreError
            If the database cannot be read.
        """
        return self.database.read(lambda connection: explained(connection, id))

    def _run(self) -> None:
        while True:
            if time.monotonic() - self._visited > _IDLE_SECONDS:
                self._wake.clear()
                self._wake.wait()
            begun = time.monotonic()
            try:
                with self._reading:
                    self._read_until(begun + REFRESH_SECONDS)
            except Exception as error:  # the page shows it, and goes on with what was read before
                if not self.seen.trouble:
                    _log.warning("the database cannot be read for the page: %s", error)
                self.seen = replace(self.seen, trouble=str(error) or type(error).__name__)
            self._first.set()
            time.sleep(max(0.0, begun + REFRESH_SECONDS - time.monotonic()))

    def _read_until(self, end: float) -> None:
        """Read what is new, and of the past as much as there is time for until ``end``."""
        self.database.read(self._read)
        while self.database.read(self.history.read_older) and time.monotonic() < end:
            if self.history.reached <= time.time() - _FIRST_SECONDS:
                self._first.set()
        self._first.set()
        if time.monotonic() - self._predicted_at > _PREDICTIONS_SECONDS:
            self._predicted_at = time.monotonic()
            routers = list(self.seen.present)
            predictions = self.database.read(lambda connection: predictions_of(connection, routers))
            self.seen = replace(self.seen, predictions=predictions)

    def _read(self, connection: Connection) -> None:
        self.history.refresh(connection)
        latest = hourly.latest_decisions(connection, _DECISIONS_KEPT)
        outcomes = hourly.outcomes_of(connection, [row.id for row in latest])
        present = present_of(connection)
        self.seen = replace(self.seen, at=time.time(), trouble="", present=present, latest=latest, outcomes=outcomes)
