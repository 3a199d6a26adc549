"""The transactions of one process: what it writes, folds and reads, and how it notices what others did."""

from __future__ import annotations

import logging
import secrets
from collections import ChainMap, OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Connection

from banditroute.core.arm import Arm
from banditroute.core.decision import Decision
from banditroute.core.decision_ids import maker_of
from banditroute.core.feedback import Feedback
from banditroute.core.shared_total import SharedTotal
from banditroute.core.turn import SessionTurn
from banditroute.core.validation import shown
from banditroute.errors import IncompatibleStoreError, StoreError
from banditroute.store.base import Acknowledgement, Fold, Recorded, StoredDecision, StoredState
from banditroute.store.sql import folding, log
from banditroute.store.sql.database import Database
from banditroute.store.sql.latest_time import TOLERANCE_SECONDS, LatestTime

_T = TypeVar("_T")

_FOLD_LIMIT = 4096  # outcomes of one transaction, which holds a SQLite file for so long
_TURNS_SECONDS = 3600.0  # before the start, of which turns of sessions are read
_TURN_LAG_SECONDS = 2.0  # within which a turn is written
_RECENT = 10_000  # decisions whose feedback needs no reading back
_logger = logging.getLogger("banditroute.store")
_of_the_parent: list[Connection | None] = []


class EpochReplacedError(StoreError):
    """The epoch that is written to is gone: the database was emptied, restored or exchanged."""


class Session:
    """Transactions on an epoch, on one connection; for one thread at a time.

    What its process has learned is the statistics of one version, and a number of pending outcomes. Where the
    database has another version, or another number is pending, another process has added to it.

    Parameters
    ----------
    database
        The database.
    router, features_version, dimension
        What is to be learned together: the epoch.
    fold, fold_settings
        As in :class:`~banditroute.store.base.Store`.
    reopen
        True to begin again in a database that took the place of the one that was opened; False to refuse it.
    """

    def __init__(
        self,
        database: Database,
        *,
        router: str,
        features_version: str,
        dimension: int,
        fold: Fold,
        fold_settings: str = "",
        reopen: bool = True,
    ) -> None:
        self._database = database
        self._router = router
        self._epoch: dict[str, Any] = {
            "router": router,
            "features_version": features_version,
            "dimension": dimension,
            "fold_settings": fold_settings,
        }
        self._fold = fold
        self._reopen = reopen
        self._arms: Sequence[Arm] = ()
        self._epoch_id = 0
        self._random_key = ""
        self._writer = secrets.token_hex(16)
        self._group = 0
        self._version: int | None = 0  # None: not known, so that all is handed over
        self._outcomes = 0
        self._folded = False  # by this process, since it began
        self._recent: OrderedDict[str, StoredDecision] = OrderedDict()
        self._makers: set[str] = set()
        self._waiting = 0
        self._unknown: dict[int, Mapping[tuple[str, int], SharedTotal]] = {}  # totals of groups that seemed to fail
        self._turns_at: float | None = None  # when the latest turn that was seen was decided
        self._seen_turns: set[str] = set()
        self._latest = LatestTime()
        self._was_ahead = False
        self._connection: Connection | None = None
        self._prepared = True
        self._place: object = None
        self._joined = True

    @property
    def epoch_id(self) -> int:
        """The epoch, once it is begun."""
        return self._epoch_id

    @property
    def outcomes(self) -> int:
        """How many outcomes are pending, as far as is known here."""
        return self._outcomes

    @property
    def waiting(self) -> int:
        """How many outcomes of all processes wait for their decision, when last looked for."""
        return self._waiting

    def begin(self, arms: Sequence[Arm]) -> StoredState:
        """Begin to serve a router that can choose ``arms``; return all that is remembered of it."""
        self._arms = arms
        self._join()
        self._warn_of_other_features()
        memory, standing = self._remember(None, count=True)
        assert memory is not None
        self._version, self._outcomes = standing.version, standing.outcomes
        return memory

    def _warn_of_other_features(self) -> None:
        before = self._in(
            self._database.reading, lambda connection: log.other_features(connection, self._router, self._epoch_id)
        )
        if before is not None:
            version, dimension = before
            _logger.warning(
                "router %s has other features than before and starts from zero: now %s (%d numbers), before %s "
                "(%d numbers). To go on with what was learned, give it the features of before. To learn again from a "
                "log that has prompts, see docs/howto/features.md",
                shown(self._router),
                shown(self._epoch["features_version"]),
                self._epoch["dimension"],
                shown(version),
                dimension,
            )

    def rejoin(self) -> bool:
        """Begin again if the epoch was lost, or this process was forked; return whether it was so.

        What is remembered is handed over when it is looked for next.
        """
        if self._joined:
            return False
        self._join()
        self._joined = True
        self._version = None
        return True

    def _join(self) -> None:
        def join(connection: Connection) -> tuple[int, str]:
            self._latest.read(self._database.now(connection))
            log.set_arms(connection, self._router, self._arms)
            folding.forget_writers(connection, self._writer)
            return log.begin_epoch(connection, **self._epoch)

        self._recent.clear()
        self._epoch_id, self._random_key = self._write(join)

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Record what the router can choose now."""
        self._arms = arms
        self._write(lambda connection: log.set_arms(connection, self._router, arms))

    def probe(self) -> None:
        """Write without changing anything; fail where the database cannot be written."""
        self._write(lambda connection: log.try_writing(connection, self._epoch_id))

    def add(
        self,
        decisions: Sequence[tuple[Decision, str | None]],
        states: Mapping[str, folding.Put],
        totals: Mapping[tuple[str, int], SharedTotal],
        parts: Sequence[Feedback],
    ) -> tuple[list[Recorded | Acknowledgement | Exception], dict[tuple[str, int], SharedTotal]]:
        """Write decisions with their prompts, pieces of state, totals and feedback in one transaction.

        Returns what :func:`log.add_feedback` and :func:`folding.add_totals` do. Where the answer to a COMMIT was lost,
        the number of the group tells whether it was carried out.

        Raises
        ------
        EpochReplacedError
            If the epoch is gone; nothing was written.
        """
        decisions = self._bounded(decisions)
        fresh = {made.id: StoredDecision.of(made, epoch_id=self._epoch_id) for made, _ in decisions}
        self._makers.update(maker for id in fresh if (maker := maker_of(id)) is not None)
        numbered = bool(states or totals or parts)
        self._group += 1
        written: tuple[log.Added, dict[tuple[str, int], SharedTotal]] | None = None

        def add(connection: Connection) -> tuple[log.Added, dict[tuple[str, int], SharedTotal]]:
            nonlocal written
            if written is not None and numbered and folding.last_group_of(connection, self._writer) == self._group:
                self._check_epoch(connection)
                return written
            uncounted = self._uncounted(connection, totals)  # before the number of this group hides the last
            if not numbered:
                self._check_epoch(connection)
            elif folding.set_last_group(connection, self._writer, self._group, self._epoch_id) != self._random_key:
                self._lose()
            log.add_decisions(connection, self._epoch_id, decisions)
            folding.put_states(connection, self._router, states)
            sums = folding.add_totals(connection, self._router, uncounted)
            added = log.add_feedback(connection, self._epoch_id, parts, ChainMap(fresh, self._recent), self._makers)
            written = added, sums
            return written

        try:
            added, sums = self._write(add)
        except BaseException:
            self._unknown[self._group] = totals
            raise
        self._unknown.clear()
        self._outcomes += added.outcomes
        self._waiting += added.waiting
        self._recent.update(fresh)
        while len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return added.results, sums

    def _uncounted(
        self, connection: Connection, totals: Mapping[tuple[str, int], SharedTotal]
    ) -> Mapping[tuple[str, int], SharedTotal]:
        """Return totals without those of a group that was carried out although it seemed to fail."""
        done = folding.last_group_of(connection, self._writer) if self._unknown else None
        counted = {
            key: SharedTotal(total.period, -total.requests, -total.spent, -total.balance)
            for key, total in self._unknown.get(done or 0, {}).items()
        }
        return {key: total + counted[key] if key in counted else total for key, total in totals.items()}

    def _bounded(self, decisions: Sequence[tuple[Decision, str | None]]) -> list[tuple[Decision, str | None]]:
        """Return decisions whose times are not ahead of the database's clock: what was learned would age by them."""
        bound = self._latest.bound()
        ahead = max((made.decided_at - bound for made, _ in decisions), default=0.0)
        if ahead > 0.0 and not self._was_ahead:
            _logger.warning(
                "the router's clock is %.0f s ahead of the clock of %s; decisions are recorded as of the latter",
                ahead + TOLERANCE_SECONDS,
                self._database.name,
            )
        self._was_ahead = ahead > 0.0
        return [
            (replace(made, decided_at=bound) if made.decided_at > bound else made, prompt) for made, prompt in decisions
        ]

    def fold(self, *, wait: bool, always: bool) -> None:
        """Fold what is pending; where another process folds, only with ``wait``.

        Where another process has folded since, only with ``always``: this one will soon know of it, and of how little
        is left.
        """

        def fold(connection: Connection) -> tuple[int, int] | None:
            self._check_epoch(connection)
            expected = None if always else self._version
            return folding.fold_pending(
                connection, self._epoch_id, self._fold, limit=_FOLD_LIMIT, expected=expected, wait=wait
            )

        folded = _FOLD_LIMIT
        while folded == _FOLD_LIMIT:
            done = self._write(fold)
            if done is None:
                return
            version, folded = done
            if folded and self._version is not None and version == self._version + 1:
                self._version = version
                self._folded = True
            self._outcomes -= folded  # below 0 where others' were among them: that is noticed, too

    def notice(self, follow: Callable[[StoredState], None]) -> None:
        """Hand what is remembered to ``follow`` if others have added to it, or this process has folded."""
        known = None if self._folded or self._version is None else (self._version, self._outcomes)
        memory, now = self._remember(known, count=False)
        if memory is not None:
            follow(memory)
            self._folded = False
            self._version, self._outcomes = now.version, now.outcomes
        self._waiting = now.orphans
        if now.orphans and self._in(self._database.reading, log.has_settled_orphans):
            self._write(log.match_orphans)  # seen when it looks next

    def new_turns(self) -> list[SessionTurn]:
        """Return the turns of sessions that were not returned before, first those of the last hour, oldest first."""
        turns = self._in(
            self._database.reading,
            lambda connection: log.turns_since(connection, self._epoch_id, self._turns_from(connection)),
        )
        new = [turn for turn in turns if turn.decision_id not in self._seen_turns]
        now = max((turn.decided_at for turn in turns), default=self._turns_at or 0.0)
        self._turns_at = max(now, self._turns_at or 0.0)
        self._seen_turns = {turn.decision_id for turn in turns}
        return new

    def read_states(self, names: Collection[str]) -> dict[str, bytes]:
        """Return these pieces of the router's state as they are recorded now."""
        return self._in(self._database.reading, lambda connection: folding.states_of(connection, self._router, names))

    def _turns_from(self, connection: Connection) -> float:
        """Return from when on turns are looked for: others may write a turn a moment after a later one."""
        if self._turns_at is None:
            return self._database.now(connection) - _TURNS_SECONDS
        return self._turns_at - _TURN_LAG_SECONDS

    def close(self) -> None:
        """Let go of the connection; it is opened again when it is needed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # its error is reported already
                connection.close()

    def end(self) -> None:
        """Let go of the connection for good."""
        with suppress(Exception):  # it is a matter of tidiness: an old row is deleted in a week
            if self._connection is not None and self._group:
                self._write(lambda connection: folding.forget_writers(connection, self._writer))
        self.close()

    def abandon_after_fork(self) -> None:
        """Go on in a child process: as another writer, without a word on the connection, which is the parent's."""
        _of_the_parent.append(self._connection)
        self._connection = None
        self._writer = secrets.token_hex(16)
        self._makers = set()
        self._unknown = {}
        self._joined = False

    def check_place(self) -> None:
        """Make sure that what is written is where it is looked for.

        Raises
        ------
        StoreError
            If the file of the database or its write-ahead log was removed, moved or replaced since it was opened.
        """
        if self._connection is None:
            return
        before, self._place = self._place, self._database.place()
        if self._database.is_elsewhere(self._place, before):
            self._joined = False
            raise StoreError(
                f"{self._database.name} was removed, moved or replaced while it was in use; what was reported just "
                f"now is not in it, report it again"
            )

    def _check_epoch(self, connection: Connection) -> None:
        if not log.is_epoch(connection, self._epoch_id, self._random_key):
            self._lose()

    def _lose(self) -> NoReturn:
        remedy = "the router begins again in it"
        if self._reopen:
            self._joined = False
        else:
            remedy = "close the router, and open it again where that is meant"
        raise EpochReplacedError(
            f"{self._database.name} is not the database that was opened: it was emptied, restored or exchanged, and "
            f"what router {self._router!r} wrote is gone; nothing was recorded, {remedy}"
        )

    def _remember(self, known: tuple[int, int] | None, *, count: bool) -> tuple[StoredState | None, folding.Standing]:
        """Return what is remembered, None if its version and pending count are ``known``; and how things stand."""

        def remember(connection: Connection) -> tuple[StoredState | None, folding.Standing]:
            self._latest.read(self._database.now(connection))
            standing = folding.standing(connection, self._epoch_id)
            if standing is None or standing.random_key != self._random_key:
                self._lose()
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
            self.check_place()
            with mode(connection):
                return work(connection)

        def start_over() -> None:
            self.close()
            self._recent.clear()  # among them may be what was in the way: a decision that was erased

        return self._database.retried(attempt, between=start_over)

    def _connect(self) -> Connection:
        if self._connection is None:
            if not self._prepared:
                self._database.prepare()  # it may be another database by now
            with self._database.explained():
                self._connection = self._database.engine.connect()
            self._place = self._database.place()
        self._prepared = False
        return self._connection
