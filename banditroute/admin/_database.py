"""How an administrator reaches a database: by its URL, in transactions of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from banditroute.learners import Learner, ThompsonSampling
from banditroute.router.sources import fold_with
from banditroute.store.base import Fold

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from banditroute.store.sql.database import Database

_T = TypeVar("_T")


def open_database(url: str) -> Database:
    """Return the database at ``url``, with the schema of this version.

    Raises
    ------
    InvalidConfigurationError
        If the URL names no database.
    IncompatibleStoreError, StoreError
        If the database cannot be used; as :class:`~banditroute.store.SQLStore` raises them.
    """
    from banditroute.store.sql import database

    found = database.database_at(database.parse(url))
    found.prepare()
    return found


def write(database: Database, transaction: Callable[[Connection], _T]) -> _T:
    """Return what ``transaction`` returns, run in one transaction that writes."""

    def attempt() -> _T:
        with database.engine.connect() as connection, database.writing(connection):
            return transaction(connection)

    return database.retried(attempt, between=lambda: None)


def fold_of(learner: Learner | None) -> Fold:
    """Return how the routers fold feedback."""
    return fold_with((ThompsonSampling() if learner is None else learner).belief)
