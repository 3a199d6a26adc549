"""The transactions of one process: what it writes, folds and reads, and how it notices what others did."""

from __future__ import annotations

from collections import ChainMap, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TypeVar

from sqlalchemy import Connection

from banditroute.core.arm import Arm
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.core.shared_total import SharedTotal
from banditroute.errors import IncompatibleStoreError
from banditroute.store.base import Acknowledgement, Fold, Recorded, StoredDecision, StoredState
from banditroute.store.sql import folding, log
from banditroute.store.sql.database import Database

_T = TypeVar("_T")

_FOLD_LIMIT = 4096  # outcomes of one transaction, which holds a SQLite file for so long
_RECENT = 10_000  # decisions whose feedback needs no reading back
_of_the_parent: list[Connection | None] = []


class Session:
    """Transactions on an epoch, on one connection; for one thread at a time.

    What its process has learned is the statistics of one version, and a number of pending outcomes. Where the
    database has another version, or another number is pending, somebody else has added to it.

    Parameters
    ----------
    database
        The database.
    router, features_version, dimension
        What is to be learned together: the epoch.
    fold
        As in :class:`~banditroute.store.base.Store`.
    """

    def __init__(self, database: Database, *, router: str, features_version: str, dimension: int, fold: Fold) -> None:
        self._database = database
        self._router = router
        self._key = {"router": router, "features_version": features_version, "dimension": dimension}
        self._fold = fold
        self._epoch_id = 0
        self._version = 0
        self._outcomes = 0
        self._folded = False  # by this process, since it began
        self._recent: OrderedDict[str, StoredDecision] = OrderedDict()
        self._connection: Connection | None = None

    @property
    def epoch_id(self) -> int:
        """The epoch, once it is begun."""
        return self._epoch_id

    @property
    def outcomes(self) -> int:
        """How many outcomes are pending, as far as is known here."""
        return self._outcomes

    def begin(self, arms: Sequence[Arm]) -> StoredState:
        """Begin to serve a router that can choose ``arms``; all that is remembered of it."""

        def begin(connection: Connection) -> int:
            log.set_arms(connection, self._router, arms)
            return log.epoch_of(connection, **self._key)  # type: ignore[arg-type]

        self._epoch_id = self._write(begin)
        memory, standing = self._remember(None, count=True)
        assert memory is not None
        self._version, self._outcomes = standing.version, standing.outcomes
        return memory

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Record what the router can choose now."""
        self._write(lambda connection: log.set_arms(connection, self._router, arms))

    def add(
        self,
        decisions: Sequence[tuple[Decision, str | None]],
        states: Mapping[str, folding.Put],
        totals: Mapping[str, SharedTotal],
        parts: Sequence[Feedback],
        *,
        try_it: bool,
    ) -> tuple[list[Recorded | Acknowledgement | Exception], dict[str, SharedTotal]]:
        """Write decisions with their prompts, pieces of state, totals and feedback in one transaction.

        Returns what :func:`log.add_feedback` and :func:`folding.add_totals` do.

        With ``try_it`` it writes, and so fails where the database cannot be written, even if there is nothing to write.
        """
        fresh = {made.id: StoredDecision.of(made, epoch_id=self._epoch_id) for made, _ in decisions}

        def add(connection: Connection) -> tuple[log.Added, dict[str, SharedTotal]]:
            if try_it:
                log.try_writing(connection, self._epoch_id)
            log.add_decisions(connection, self._epoch_id, decisions)
            folding.put_states(connection, self._router, states)
            sums = folding.add_totals(connection, self._router, totals)
            return log.add_feedback(connection, self._epoch_id, parts, ChainMap(fresh, self._recent)), sums

        added, sums = self._write(add)
        self._outcomes += added.outcomes
        self._recent.update(fresh)
        while len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return added.results, sums

    def fold(self, *, wait: bool, anew: bool) -> None:
        """Fold what is pending, not where another process folds, unless told to ``wait`` for it.

        Nor, unless told to fold ``anew``, where another has folded since: who follows will know of it soon, and of how
        little is left.
        """

        def fold(connection: Connection) -> tuple[int, int] | None:
            expected = None if anew else self._version
            return folding.fold_pending(
                connection, self._epoch_id, self._fold, limit=_FOLD_LIMIT, expected=expected, wait=wait
            )

        folded = _FOLD_LIMIT
        while folded == _FOLD_LIMIT:
            done = self._write(fold)
            if done is None:
                return
            version, folded = done
            if folded and version == self._version + 1:
                self._version = version
                self._folded = True
            self._outcomes -= folded  # below 0 where others' were among them: that is noticed, too

    def notice(self, follow: Callable[[StoredState], None]) -> None:
        """Hand what is remembered to ``follow`` if others have added to it, or this process has folded."""
        known = None if self._folded else (self._version, self._outcomes)
        memory, now = self._remember(known, count=False)
        if memory is not None:
            follow(memory)
            self._folded = False
            self._version, self._outcomes = now.version, now.outcomes
        if now.orphans:
            self._write(log.match_orphans)  # seen when it looks next

    def close(self) -> None:
        """Let go of the connection; it is opened again when it is needed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # what it failed with is told already
                connection.close()

    def abandon_after_fork(self) -> None:
        """Let go of the connection without a word to the database, with which the parent goes on to speak."""
        _of_the_parent.append(self._connection)
        self._connection = None

    def _remember(self, known: tuple[int, int] | None, *, count: bool) -> tuple[StoredState | None, folding.Standing]:
        """All that is remembered, None if its version and how much is pending are ``known``; and how things stand."""

        def remember(connection: Connection) -> tuple[StoredState | None, folding.Standing]:
            standing = folding.standing(connection, self._epoch_id)
            if (standing.version, standing.outcomes) == known:
                return None, standing
            return folding.remember(connection, self._epoch_id, count=count), standing

        try:
            return self._in(self._database.reading, remember)
        except (TypeError, ValueError) as error:
            raise IncompatibleStoreError(
                f"{self._database.name} holds what no router wrote ({error}); run banditroute db verify, and restore a "
                f"backup or begin a new database"
            ) from error

    def _write(self, transaction: Callable[[Connection], _T]) -> _T:
        return self._in(self._database.writing, transaction)

    def _in(self, mode: Callable[[Connection], AbstractContextManager[None]], work: Callable[[Connection], _T]) -> _T:
        """Do it in a transaction, and again where another process was in the way or the connection was cut."""

        def attempt() -> _T:
            connection = self._connect()
            with mode(connection):
                return work(connection)

        def start_over() -> None:
            self.close()
            self._recent.clear()  # among them may be what was in the way: a decision that was erased

        return self._database.retried(attempt, between=start_over)

    def _connect(self) -> Connection:
        if self._connection is None:
            with self._database.explained():
                self._connection = self._database.engine.connect()
        return self._connection
