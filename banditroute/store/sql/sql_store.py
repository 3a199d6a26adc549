"""A store that survives the process: a SQLite file, or a PostgreSQL server."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from banditroute.core.arm import Arm
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.core.forking import hold_while_forking
from banditroute.core.promise import Promise
from banditroute.core.shared_total import SharedTotal
from banditroute.core.state import MergeStates
from banditroute.core.validation import label, number, shown
from banditroute.errors import InvalidConfigurationError, StoreError
from banditroute.store.base import Acknowledgement, Backlog, Fold, StoredDecision, StoredState, Subscriber, Ticket
from banditroute.store.outcomes import CLOSED

if TYPE_CHECKING:
    from banditroute.store.sql.writer import Writer


Durability: TypeAlias = Literal["feedback", "all", "relaxed"]
"""Names what must be on disk before a call returns."""

WhenReplaced: TypeAlias = Literal["reopen", "refuse"]
"""Names what to do when another database takes the place of the one that is in use."""


class SQLStore:
    """Keeps decisions, feedback and what was learned in a database that many processes may share.

    Decisions are written behind, in groups; a decision is on disk about ``linger_seconds`` after it was
    made. Feedback is on disk when its ticket is done. Each process uses a store of its own; what one learns, the
    others know within about half a second. A process that is forked from one with an open store, such as a worker of
    ``gunicorn --preload``, goes on with a thread and a connection of its own.

    Prompts are stored only where they are given. Contexts are stored, and text can be guessed from some of them: guard
    the database as you guard the prompts.

    Parameters
    ----------
    url
        A SQLAlchemy URL. ``"sqlite:///relative/path.db"`` or ``"sqlite:////absolute/path.db"``: a file on a local disk,
        for the processes of one machine. It is made if it does not exist, its directory is not; an older schema is
        upgraded. ``?timeout=5`` waits at most 5 seconds for another process that writes, 30 by default.
        ``"postgresql://user:password@host/database"``: a server, for many machines (extra ``postgresql``); its tables
        are made and upgraded by ``banditroute db upgrade``.
    durability
        ``"feedback"``: feedback is on disk before it is acknowledged, decisions soon after they were made. ``"all"``:
        ``add_decision``, too, returns when the decision is on disk, or ``trouble`` says why it cannot be.
        ``"relaxed"``: feedback is given to the database before it is acknowledged, which brings it to the disk later.
    linger_seconds
        How long a decision may wait for others to be written with, 0 to 60.
    when_replaced
        What to do when the database was emptied, restored or exchanged while it is in use. ``"reopen"``: log an error,
        and begin again in what is there. ``"refuse"``: record nothing more.

    Attributes
    ----------
    url
        The URL, with its password.

    Raises
    ------
    InvalidConfigurationError
        For a URL that names no database of these, and for another ``durability`` or ``linger_seconds``.
    MissingDependencyError
        If the database's driver is not installed.

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

    def __init__(
        self,
        url: str,
        *,
        durability: Durability = "feedback",
        linger_seconds: float = 0.05,
        when_replaced: WhenReplaced = "reopen",
    ) -> None:
        from banditroute.store.sql import database

        if durability not in get_args(Durability):
            raise InvalidConfigurationError(
                f"SQLStore(durability={shown(durability)}): choose one of {', '.join(get_args(Durability))}"
            )
        if when_replaced not in get_args(WhenReplaced):
            raise InvalidConfigurationError(
                f"SQLStore(when_replaced={shown(when_replaced)}): choose one of {', '.join(get_args(WhenReplaced))}"
            )
        self.url: str = url
        self._durability = durability
        self._when_replaced = when_replaced
        self._database = database.database_at(database.parse(url), relaxed=durability == "relaxed")
        self._linger_seconds = number(
            linger_seconds, name="linger_seconds", low=0.0, high=60.0, error=InvalidConfigurationError
        )
        self._lock = threading.RLock()
        self._subscriber: Subscriber | None = None  # the writer does not keep it alive
        self._writer: Writer | None = None
        self._fold: Fold | None = None
        self._let_go: weakref.finalize[..., SQLStore] | None = None
        hold_while_forking(self, "_lock")

    @property
    def trouble(self) -> str | None:
        """The reason why decisions cannot be recorded just now, in words; None while all is well."""
        writer = self._writer
        return CLOSED if writer is None else writer.trouble

    @property
    def waits_for_disk(self) -> bool:
        """True if a decision is on disk before it is used, which is ``durability="all"``."""
        return self._durability == "all"

    @property
    def dropped(self) -> int:
        """How many decisions were lost since the store was opened, because they could not be written."""
        writer = self._writer
        return 0 if writer is None else writer.dropped

    @property
    def backlog(self) -> Backlog:
        """The decisions that are not written at present."""
        writer = self._writer
        return Backlog(0, None, 0) if writer is None else writer.backlog

    def open(
        self,
        *,
        router: str,
        arms: Sequence[Arm],
        features_version: str,
        dimension: int,
        fold: Fold,
        fold_settings: str = "",
    ) -> StoredState:
        """Begin to serve a router; see :class:`~banditroute.store.base.Store`."""
        from banditroute.store.sql.session import Session
        from banditroute.store.sql.writer import Writer

        with self._lock:
            if self._writer is not None:
                raise StoreError(
                    f"this SQLStore serves a router already; give router {router!r} a store of its own (it "
                    f"may have the same URL), or close the first router"
                )
            self._database.prepare()
            session = Session(
                self._database,
                router=router,
                features_version=features_version,
                dimension=dimension,
                fold=fold,
                fold_settings=fold_settings,
                reopen=self._when_replaced == "reopen",
            )
            try:
                memory = session.begin(arms)
            finally:
                session.close()  # a connection belongs to the thread that opened it
            self._writer = Writer(
                self._database, session, linger_seconds=self._linger_seconds, wait=self._durability == "all"
            )
            self._fold = fold
            # Called when the store is collected without close(); the writer sees to the end of the interpreter.
            self._let_go = weakref.finalize(self, self._writer.let_go)
            self._let_go.atexit = False
            return memory

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Queue the router's arms for writing; see :class:`~banditroute.store.base.Store`."""
        writer = self._writer
        if writer is not None:
            writer.set_arms(arms)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call ``subscriber`` with what is recorded or changed; see :class:`~banditroute.store.base.Store`."""
        writer = self._writer
        if writer is not None:
            self._subscriber = subscriber
            writer.subscribe(subscriber)

    def add_decision(self, decision: Decision, prompt: str | None = None) -> None:
        """Queue a decision for writing, or write it; see :class:`~banditroute.store.base.Store`."""
        writer = self._writer
        if writer is not None:
            writer.add_decision(decision, prompt)

    def find(self, decision_id: str) -> StoredDecision:
        """Return what is stored of a decision; see :class:`~banditroute.store.base.Store`."""
        writer = self._writer
        if writer is None:
            raise StoreError(CLOSED)
        return writer.find(decision_id)

    def find_session(self, session: str) -> list[str]:
        """Return the ids of the decisions of a session; see :class:`~banditroute.store.base.Store`."""
        writer = self._writer
        if writer is None:
            raise StoreError(CLOSED)
        return writer.find_session(session)

    def add_feedback(self, feedback: Feedback) -> Ticket:
        """Record feedback, then learn from it; see :class:`~banditroute.store.base.Store`."""
        writer = self._writer
        if writer is None:
            failed: Promise[Acknowledgement] = Promise()
            failed.set_exception(StoreError(CLOSED))
            return failed
        return writer.add_feedback(feedback)

    def correct(self, decision_id: str, values: Mapping[str, float]) -> None:
        """Replace recorded outcomes of a decision; see :class:`~banditroute.store.base.Store`."""
        from banditroute.store.sql import maintenance

        writer, fold = self._writer, self._fold
        if writer is None or fold is None:
            raise StoreError(CLOSED)
        writer.flush()  # the outcomes may wait to be written

        def attempt() -> None:
            with self._database.engine.connect() as connection, self._database.writing(connection):
                maintenance.correct(connection, lambda connection, epoch_id: fold, decision_id, values)

        self._database.retried(attempt, between=lambda: None)

    def save_state(self, name: str, blob: bytes, merge: MergeStates | None = None) -> None:
        """Queue a piece of state for writing; see :class:`~banditroute.store.base.Store`."""
        writer = self._writer
        if writer is not None:
            writer.save_state(label(name, name="save_state(name)", error=InvalidConfigurationError), blob, merge)

    def add_total(self, budget: str, total: SharedTotal) -> SharedTotal | None:
        """Queue what is counted for a budget; see :class:`~banditroute.store.base.Store`."""
        writer = self._writer
        if writer is not None:
            writer.add_total(budget, total)
        return None

    def flush(self) -> None:
        """Return when all that was given so far is on disk; raises StoreError if it cannot be."""
        writer = self._writer
        if writer is not None:
            writer.flush()

    def close(self, timeout: float = 60.0) -> None:
        """Write and fold what is left, and let go of the database; closing twice is harmless.

        Parameters
        ----------
        timeout
            How many seconds to wait for the database.

        Raises
        ------
        StoreError
            If decisions could not be written, or the database does not answer in time; the store is closed all the
            same.
        """
        with self._lock:
            if self._let_go is not None and self._writer is not None:
                self._let_go.detach()
                try:
                    self._writer.stop(timeout)
                finally:
                    self._writer = self._let_go = self._subscriber = None
