"""How an administrator reaches a database: by its URL, in transactions of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from banditroute.beliefs.statistics import ArmStatistics
from banditroute.errors import IncompatibleStoreError, StoreError
from banditroute.learners import Learner
from banditroute.router.sources import fold_by, fold_settings, fold_with, half_lives_of
from banditroute.store.base import Fold, OutcomeEvent

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from banditroute.store.sql.database import Database
    from banditroute.store.sql.maintenance import Folds

_T = TypeVar("_T")
_ROUNDING = 1e-6  # of an outcome


def open_database(url: str, *, writes: bool = True, read_only: bool = False) -> Database:
    """Return the database at ``url``, which is there already.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it.
    writes
        True to bring an older schema of SQLite to this version's; False to change nothing.
    read_only
        True to open a file so that nothing can be written to it.

    Raises
    ------
    InvalidConfigurationError
        If the URL names no database.
    IncompatibleStoreError, StoreError
        If the database cannot be used; as :class:`~banditroute.store.SQLStore` raises them.
    """
    from banditroute.store.sql import database
    from banditroute.store.sql.schema import REVISION

    address = database.parse(url)
    if address.get_backend_name() == "sqlite" and not Path(str(address.database)).exists():
        raise StoreError(f"there is no file {address.database}; give that of a router's database")
    found = database.database_at(address, read_only=read_only)
    found.limited = False
    with found.explained(), found.engine.connect() as connection, found.reading(connection):
        revision = found.revision(connection)
    if revision is None:
        raise StoreError(f"{found.name} has no tables of a router; make them: banditroute db upgrade URL")
    if revision != REVISION:
        if not writes:
            raise StoreError(f"{found.name} has the schema {revision!r}; run once: banditroute db upgrade URL")
        found.prepare()
    return found


def write(database: Database, transaction: Callable[[Connection], _T]) -> _T:
    """Return what ``transaction`` returns, run in one transaction that writes."""

    def attempt() -> _T:
        with database.engine.connect() as connection, database.writing(connection):
            return transaction(connection)

    return database.retried(attempt, between=lambda: None)


def folds_of(learner: Learner | None) -> Folds:
    """Return how the outcomes of each epoch are folded: as its router has recorded.

    Parameters
    ----------
    learner
        The routers' learner, where they have recorded nothing, as those of earlier versions. Default: as recorded.
    """

    def folds(connection: Connection, epoch_id: int) -> Fold:
        from banditroute.store.sql import inspection

        recorded = inspection.fold_settings_of(connection, epoch_id)
        if learner is not None:
            given = fold_settings(learner.belief)
            if recorded is not None and given != recorded:
                raise IncompatibleStoreError(
                    f"epoch {epoch_id} was folded with {recorded:.80}, and this learner folds with {given}; leave "
                    f"learner= out, or have all learned again with it: admin.rebuild(url, learner=...)"
                )
            return _checked(fold_with(learner.belief), epoch_id)
        if recorded is None:
            blobs = inspection.statistics_of(connection, epoch_id).values()
            if any(ArmStatistics.from_bytes(blob).clock for blob in blobs):
                raise IncompatibleStoreError(
                    f"what epoch {epoch_id} has learned fades with time, and its half-life is not recorded: an earlier "
                    f"version wrote it; open it once with its router, or give learner="
                )
        return _checked(fold_by(recorded or "{}"), epoch_id)

    return folds


def half_life_of(connection: Connection, epoch_id: int, learner: Learner | None) -> float | None:
    """Return the half-life of what an epoch has learned, in the unit of its clock; None if nothing is forgotten."""
    from banditroute.store.sql import inspection

    given = "" if learner is None else fold_settings(learner.belief)
    settings = given or inspection.fold_settings_of(connection, epoch_id) or "{}"
    return next(iter(half_lives_of(settings).values()), None)


def _checked(fold: Fold, epoch_id: int) -> Fold:
    """Return a fold that refuses to take back more than was learned."""

    def checked(blob: bytes | None, events: Sequence[OutcomeEvent]) -> bytes:
        folded = fold(blob, events)
        least = min((group.n for group in ArmStatistics.from_bytes(folded).groups), default=0.0)
        if least < -_ROUNDING:
            raise StoreError(
                f"epoch {epoch_id}: taking this back would leave {least:.3g} outcomes of arm {events[0].arm!r}: its "
                f"statistics are not those of the log; nothing was changed, run banditroute db verify"
            )
        return folded

    return checked
