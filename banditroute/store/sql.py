"""A store that survives the process: a SQLite file."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from banditroute._validate import label, number
from banditroute.errors import InvalidConfigurationError, StoreError
from banditroute.store.base import Fold, Learn, Memory
from banditroute.store.outcomes import CLOSED
from banditroute.types import Arm, Decision, Feedback

if TYPE_CHECKING:
    from banditroute.store.writer import Writer


class SQLStore:
    """Keeps decisions, feedback and what was learned in a database.

    Decisions are written behind, in groups; a decision is on disk about ``linger_seconds`` after it was
    made. Feedback is on disk when its ticket is done. Several processes may use one file, each through a
    store of its own; what one learns, another sees when it opens the store next.

    The file must be on a local disk. Prompts are stored only where they are given. Contexts are stored, and
    text can be guessed from some of them: guard the file as you guard the prompts.

    Parameters
    ----------
    url
        A SQLAlchemy URL: ``"sqlite:///relative/path.db"`` or ``"sqlite:////absolute/path.db"``. The file is
        made if it does not exist, its directory is not; an older schema is upgraded. ``?timeout=5`` waits at
        most 5 seconds for another process that writes, 30 by default.
    linger_seconds
        How long a decision may wait for others to be written with, 0 to 60.

    Raises
    ------
    InvalidConfigurationError
        For a URL that names no SQLite file, or another ``linger_seconds``.

    Notes
    -----
    Feedback that several threads give at once shares a transaction, and so the wait for the disk. Statistics
    are folded in the transaction that marks what they hold, so each outcome is folded once, crash or not.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> directory = tempfile.TemporaryDirectory()
    >>> store = SQLStore(f"sqlite:///{pathlib.Path(directory.name) / 'routes.db'}")
    >>> memory = store.open(router="docs", arms=(), features_version="1", dimension=2, fold=lambda blob, events: b"")
    >>> memory.decisions
    0
    >>> store.close()
    >>> directory.cleanup()
    """

    def __init__(self, url: str, *, linger_seconds: float = 0.05) -> None:
        from banditroute.store import database

        self._address = database.parse(url)
        self._linger_seconds = number(
            linger_seconds, name="linger_seconds", low=0.0, high=60.0, error=InvalidConfigurationError
        )
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._stop: weakref.finalize[..., SQLStore] | None = None

    @property
    def trouble(self) -> str | None:
        """What keeps decisions from being recorded just now, in words; None while all is well."""
        writer = self._writer
        return CLOSED if writer is None else writer.trouble

    @property
    def dropped(self) -> int:
        """How many decisions were lost since the store was opened, because they could not be written."""
        writer = self._writer
        return 0 if writer is None else writer.dropped

    def open(self, *, router: str, arms: Sequence[Arm], features_version: str, dimension: int, fold: Fold) -> Memory:
        """Begin to serve a router; see :class:`~banditroute.store.base.Store`."""
        from banditroute.store import database, log
        from banditroute.store.writer import Writer

        with self._lock:
            if self._writer is not None:
                raise StoreError(
                    f"this SQLStore serves a router already; give router {router!r} a store of its own (it "
                    f"may have the same URL), or close the first router"
                )
            engine = database.engine_for(self._address)
            with database.explained(self._address):
                database.prepare(engine)
                with engine.begin() as connection:
                    epoch_id = log.epoch_of(
                        connection, router=router, features_version=features_version, dimension=dimension
                    )
                    log.set_arms(connection, router, arms)
                    memory = log.remember(connection, epoch_id)
            self._writer = Writer(
                engine,
                router=router,
                epoch_id=epoch_id,
                fold=fold,
                unfolded=sum(len(event.values) for event in memory.pending),
                linger_seconds=self._linger_seconds,
            )
            # Called by close(), or else when the store is collected, or else when the interpreter ends.
            self._stop = weakref.finalize(self, self._writer.stop)
            return memory

    def add_decision(self, decision: Decision, prompt: str | None = None) -> None:
        """Queue a decision for writing; see :class:`~banditroute.store.base.Store`."""
        writer = self._writer
        if writer is not None:
            writer.add_decision(decision, prompt)

    def add_feedback(self, feedback: Feedback, learn: Learn) -> Future[None]:
        """Record feedback, then learn from it; see :class:`~banditroute.store.base.Store`."""
        writer = self._writer
        if writer is None:
            ticket: Future[None] = Future()
            ticket.set_exception(StoreError(CLOSED))
            return ticket
        return writer.add_feedback(feedback, learn)

    def put_state(self, name: str, blob: bytes) -> None:
        """Queue a piece of state for writing; see :class:`~banditroute.store.base.Store`."""
        writer = self._writer
        if writer is not None:
            writer.put_state(label(name, name="put_state(name)", error=InvalidConfigurationError), blob)

    def flush(self) -> None:
        """Return when all that was given so far is on disk; raises StoreError if it cannot be."""
        writer = self._writer
        if writer is not None:
            writer.flush()

    def close(self) -> None:
        """Write and fold what is left, and let go of the file; closing twice is harmless.

        Raises
        ------
        StoreError
            If decisions could not be written; the store is closed all the same.
        """
        with self._lock:
            if self._stop is not None:
                try:
                    self._stop()
                finally:
                    self._writer = self._stop = None
