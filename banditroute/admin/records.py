"""The records in a database, beside the routers that use it: look at, correct, erase, go back, prune, export."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from banditroute.beliefs.base import Prior
from banditroute.beliefs.statistics import ArmStatistics
from banditroute.budgets.book import recorded
from banditroute.budgets.budget import BudgetStatus
from banditroute.core.arrays import Vector
from banditroute.core.validation import number
from banditroute.errors import InvalidConfigurationError, InvalidFeedbackError, InvalidRequestError
from banditroute.learners import Learner, ThompsonSampling
from banditroute.router.sources import fold_with

if TYPE_CHECKING:
    import pyarrow
    from sqlalchemy import Connection

_T = TypeVar("_T")
_AT_ONCE = 1000  # decisions that are deleted in one transaction
_TOLERANCE = 1e-9  # of statistics, relative: rounding is far below it
_IN_A_FILE = 10_000  # decisions of one exported file


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRecord:
    """What is known of an arm.

    Attributes
    ----------
    name, active
        Its name, and whether the router that was opened last can choose it.
    counts
        How many outcomes of each objective its statistics hold.
    information_nats
        How much was learned from them: ``log det(A) - log det(Lambda)``.
    """

    name: str
    active: bool
    counts: Mapping[str, float]
    information_nats: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """What was learned together: by one router, in one version of its features.

    Attributes
    ----------
    id, router, features_version, dimension, version
        As in the table of epochs.
    decisions, pruned, answered
        Decisions that are held; that were too old to keep; of which feedback was folded.
    pending, lag_seconds
        Outcomes that are not folded yet, and how long ago the oldest of them was received.
    spend_usd
        Sum of the costs that were reported and are held.
    snapshots, states
        Versions to go back to; and name of a piece of the router's other state -> its size in bytes.
    budgets, arms
        How each of the router's budgets stands, all its processes together; what is known of each arm.
    """

    id: int
    router: str
    features_version: str
    dimension: int
    version: int
    decisions: int
    pruned: int
    answered: int
    pending: int
    lag_seconds: float
    spend_usd: float
    snapshots: tuple[int, ...]
    states: Mapping[str, int]
    budgets: tuple[BudgetStatus, ...]
    arms: tuple[ArmRecord, ...]


class Records:
    """Work on the records of a database while routers use it, or not.

    What routers have learned follows: each begins anew from the changed records within a second.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    learner
        That of the routers; their belief says how feedback is folded. Default: ``ThompsonSampling()``.

    Raises
    ------
    InvalidConfigurationError
        For a URL that names no database.
    IncompatibleStoreError, StoreError
        If it cannot be used; as :class:`~banditroute.store.SQLStore` raises them.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from banditroute import Router, SQLStore
    >>> directory = tempfile.TemporaryDirectory()
    >>> url = f"sqlite:///{pathlib.Path(directory.name) / 'routes.db'}"
    >>> with Router(arms=["small", "large"], features=1, store=SQLStore(url)) as router:
    ...     decision = router.route([0.5], session="Ann")
    ...     router.feedback(decision.id, quality=1.0)
    >>> Records(url).erase(session="Ann")
    1
    >>> [epoch.decisions for epoch in Records(url).epochs()]
    [0]
    >>> directory.cleanup()
    """

    def __init__(self, url: str, *, learner: Learner | None = None) -> None:
        from banditroute.store.sql import database

        self._learner = ThompsonSampling() if learner is None else learner
        self._fold = fold_with(self._learner.belief)
        self._database = database.database_at(database.parse(url))

    def upgrade(self) -> None:
        """Make the tables, or bring them to the schema of this version."""
        self._database.upgrade()

    def epochs(self, router: str | None = None) -> list[EpochRecord]:
        """What is recorded, of one router or of all."""
        from banditroute.store.sql import inspection

        return [
            EpochRecord(
                arms=self._arms(epoch.figures["dimension"], epoch.arms, epoch.statistics),
                lag_seconds=0.0 if epoch.oldest is None else max(0.0, time.time() - epoch.oldest),
                states={name: len(blob) for name, blob in epoch.states.items()},
                budgets=recorded(epoch.states.get("budgets", b"{}"), epoch.tallies, time.time()),
                **epoch.figures,
            )
            for epoch in self._read(lambda connection: list(inspection.epochs(connection, router)))
        ]

    def correct(self, decision_id: str, **outcomes: float) -> None:
        """Give outcomes that are recorded another value, as if they had been reported with it.

        Raises
        ------
        InvalidFeedbackError
            For no outcome, or a value that is not a finite number.
        UnknownDecisionError
            If one of the outcomes is not recorded.
        """
        from banditroute.store.sql import maintenance

        if not outcomes:
            raise InvalidFeedbackError("there is no outcome to correct; give at least one, for example quality=1.0")
        values = {name: number(value, name=name, error=InvalidFeedbackError) for name, value in outcomes.items()}
        self._write(lambda connection: maintenance.correct(connection, self._fold, decision_id, values))

    def erase(
        self,
        *,
        decision_id: str | None = None,
        session: str | None = None,
        source: str | None = None,
        router: str | None = None,
    ) -> int:
        """Delete one decision, all of a session, or all feedback of a source; take back what was learned from it.

        Parameters
        ----------
        decision_id, session, source
            What to erase; exactly one of them. Decisions go with their feedback; of a source only its feedback.
        router
            Only of this router. Default: of all in the database.

        Returns
        -------
        int
            How many decisions were erased, or lost feedback.

        Raises
        ------
        InvalidRequestError
            For none or several of them.
        """
        from banditroute.store.sql import maintenance

        if [decision_id, session, source].count(None) != 2:
            raise InvalidRequestError("erase what? give exactly one of decision_id=, session= and source=")

        def erase(connection: Connection) -> int:
            ids = maintenance.find(connection, router=router, decision_id=decision_id, session=session, source=source)
            if source is None:
                maintenance.erase_decisions(connection, self._fold, ids)
            else:
                maintenance.erase_feedback(connection, self._fold, ids, source)
            return len(ids)

        erased = 0
        while some := self._write(erase):
            erased += some
        return erased

    def roll_back(self, epoch: int, version: int) -> int:
        """Go back to what was learned when an epoch had that version; :meth:`epochs` tells which have a snapshot.

        What was folded later, or is pending, stays in the log and counts for nothing from now on.

        Returns
        -------
        int
            How many outcomes that are.

        Raises
        ------
        StoreError
            If there is no such snapshot.
        """
        from banditroute.store.sql import maintenance

        return self._write(lambda connection: maintenance.roll_back(connection, epoch, version))

    def rebuild(self, router: str | None = None) -> None:
        """Make the statistics anew from the log, of one router or of all."""
        from banditroute.store.sql import inspection, maintenance

        for epoch in self._read(lambda connection: inspection.epoch_ids(connection, router)):
            self._write(partial(maintenance.rebuild, epoch_id=epoch, fold=self._fold))

    def verify(self) -> list[str]:
        """Look for damage and for statistics that are not what the log makes; what was found, in words."""
        from banditroute.store.sql import inspection, maintenance

        found = self._read(lambda connection: inspection.damage(connection, self._database))
        if found:
            return found
        for epoch in self._read(lambda connection: inspection.epoch_ids(connection, None)):
            held, made = self._read(
                lambda connection, epoch=epoch: (  # type: ignore[misc]
                    inspection.statistics_of(connection, epoch),
                    maintenance.refolded(connection, epoch, self._fold),
                )
            )
            found += [
                f"epoch {epoch}: the statistics of arm {arm!r} differ by {difference:.2g} from what the log makes; run "
                f"banditroute db rebuild"
                for arm in sorted({*held, *made})
                if (difference := _difference(held.get(arm), made.get(arm))) > _TOLERANCE
            ]
        return found

    def prune(
        self,
        *,
        unanswered_seconds: float = 30 * 86_400.0,
        answered_seconds: float = 90 * 86_400.0,
        export: str | Path | None = None,
        router: str | None = None,
        now: float | None = None,
    ) -> int:
        """Delete decisions that are too old to keep; what was learned from them stays, late feedback is refused.

        Parameters
        ----------
        unanswered_seconds
            How long decisions without feedback are kept.
        answered_seconds
            How long those with feedback are kept; while some of it is not folded yet they stay longer.
        export
            Folder that gets them as Parquet, :meth:`export`'s columns, before they are deleted.
        router
            Only of this router.
        now
            Unix time in seconds, the machine's by default.

        Returns
        -------
        int
            How many were deleted.
        """
        from banditroute.store.sql import inspection

        folder = None if export is None else Path(export)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        at = time.time() if now is None else now
        windows = {
            answered: at - number(seconds, name=name, low=0.0, error=InvalidConfigurationError)
            for answered, name, seconds in (
                (False, "unanswered_seconds", unanswered_seconds),
                (True, "answered_seconds", answered_seconds),
            )
        }
        return sum(
            self._prune(epoch, answered, before, folder)
            for epoch in self._read(lambda connection: inspection.epoch_ids(connection, router))
            for answered, before in windows.items()
        )

    def _prune(self, epoch: int, answered: bool, before: float, folder: Path | None) -> int:
        from banditroute.store.sql import maintenance, retention

        def old(connection: Connection) -> list[str]:
            return retention.old_decisions(connection, epoch, before=before, answered=answered, limit=_IN_A_FILE)

        pruned = 0
        while ids := self._read(old):
            if folder is not None:  # first: what is in two files is better than what is in none
                held = self._read(partial(retention.records, ids=ids))
                retention.write_durably(held, folder / f"{ids[0]}-{ids[-1]}.parquet")
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                self._write(partial(maintenance.move_to_base, epoch_id=epoch, fold=self._fold, ids=some))
            pruned += len(ids)
        return pruned

    def log(self, router: str | None = None) -> Iterator[pyarrow.Table]:
        """All decisions with their outcomes at this moment, some at a time, in the order of their ids.

        Columns as the table of decisions has them, lists and maps unpacked, and ``outcomes``; docs/formats.md.
        """
        from banditroute.store.sql import retention

        self._database.prepare()
        with self._database.engine.connect() as connection, self._database.reading(connection):
            for ids in retention.all_decisions(connection, router):
                yield retention.records(connection, ids)

    def export(self, path: str | Path, router: str | None = None) -> int:
        """Write :meth:`log` to one Parquet file; returns how many decisions."""
        from pyarrow.parquet import ParquetWriter

        from banditroute.store.sql.retention import log_schema

        with ParquetWriter(Path(path), log_schema()) as file:
            return sum(file.write_table(table) or len(table) for table in self.log(router))

    def _arms(
        self, dimension: int, active: Mapping[str, bool], statistics: Mapping[str, bytes]
    ) -> tuple[ArmRecord, ...]:
        names = sorted({*active, *statistics})
        sums = {arm: _sums(statistics.get(arm)) for arm in names}
        priors = {objective: Prior(mean=0.0, noise=1.0) for of_arm in sums.values() for objective in of_arm}
        belief = self._learner.belief.start(arms=names, dimension=dimension, priors=priors, statistics=statistics)
        return tuple(
            ArmRecord(
                name=name,
                active=active.get(name, False),
                counts={objective: float(sums[name][objective][0]) for objective in sorted(sums[name])},
                information_nats=float(nats),
            )
            for name, nats in zip(names, belief.information(), strict=True)
        )

    def _read(self, transaction: Callable[[Connection], _T]) -> _T:
        self._database.prepare()
        return self._database.read(transaction)

    def _write(self, transaction: Callable[[Connection], _T]) -> _T:
        self._database.prepare()

        def attempt() -> _T:
            with self._database.engine.connect() as connection, self._database.writing(connection):
                return transaction(connection)

        return self._database.retried(attempt, between=lambda: None)


def _difference(one: bytes | None, other: bytes | None) -> float:
    """The largest difference between the sums of two arms, relative to the largest of the same objective."""
    first, second = _sums(one), _sums(other)
    worst = 0.0
    for name in {*first, *second}:
        if name not in first or name not in second:
            return math.inf
        scale = max(float(np.abs(first[name]).max()), float(np.abs(second[name]).max()))
        worst = max(worst, float(np.abs(first[name] - second[name]).max()) / scale)
    return worst


def _sums(blob: bytes | None) -> dict[str, Vector]:
    if blob is None:
        return {}
    return {
        name: np.concatenate([[group.n], group.s.ravel(), group.b[j], group.yy[j : j + 1]])
        for group in ArmStatistics.from_bytes(blob).groups
        for j, name in enumerate(group.objectives)
    }
