"""The database under a store: its address, its transactions, and its failures in words."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from banditroute.core.addresses import shown_address
from banditroute.errors import IncompatibleStoreError, InvalidConfigurationError, StoreError
from banditroute.store.sql.schema import REVISION

_T = TypeVar("_T")
_ATTEMPTS = 6
_PAUSE_SECONDS = 0.01
INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Database(ABC):
    """A database that a store may use.

    Attributes
    ----------
    engine
        Connects to it.
    name
        How messages call it; without the password.
    limited
        True if its statements are stopped when they take too long; False for an administrator's, which may take long.
    """

    limited = True

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name

    def place(self) -> object:
        """Return what tells the place of the data from another one at the same address; None where nothing does."""
        return None

    def is_elsewhere(self, place: object, before: object) -> bool:
        """Return whether a place is another one than before."""
        return place != before

    def now(self, connection: Connection) -> float:
        """Return what the database's clock shows, in Unix seconds: the machine's, where it has no other."""
        return time.time()

    @contextmanager
    def writing(self, connection: Connection) -> Iterator[None]:
        """Open a transaction that writes. Others may change what it reads, except the rows that it locks."""
        with self.explained(), connection.begin():
            yield

    @abstractmethod
    @contextmanager
    def reading(self, connection: Connection) -> Iterator[None]:
        """Open a transaction that reads the state of one moment and blocks no writer."""
        yield

    @abstractmethod
    def revision(self, connection: Connection) -> str | None:
        """Return the revision of the schema that is there, None without a schema.

        Raises
        ------
        IncompatibleStoreError
            If another application owns the place.
        """

    @abstractmethod
    def prepare(self) -> None:
        """Make sure that the schema is this version's.

        Raises
        ------
        IncompatibleStoreError
            If the database is another application's, or of a newer version.
        StoreError
            If it cannot be used as it is.
        """

    @abstractmethod
    def upgrade(self) -> None:
        """Bring the schema to this version's, all or nothing; processes that do so at once wait for each other."""

    @abstractmethod
    def blames_data(self, error: Exception) -> bool:
        """Return whether a statement failed for the values it was given, and not for the state of the database."""

    @abstractmethod
    def passes(self, error: Exception) -> bool:
        """Return whether what failed may succeed when it is tried again at once: another process was in its way."""

    @abstractmethod
    def explain(self, error: Exception) -> StoreError | None:
        """Explain what the database raised for its own state, with a remedy; None if it did not raise it."""

    def number_on(self, connection: Connection) -> None:  # noqa: B027
        """Make the next row of each table get a number above those that are there."""

    def scrub(self) -> None:  # noqa: B027
        """Overwrite what was deleted, as far as the database allows."""

    @abstractmethod
    def damage(self, connection: Connection) -> list[str]:
        """Return what the database itself finds damaged, in words."""

    def retried(self, attempt: Callable[[], _T], *, between: Callable[[], None]) -> _T:
        """Return what ``attempt`` returns; call ``between`` and try again where another process was in its way."""
        for number in range(_ATTEMPTS):
            try:
                return attempt()
            except Exception as error:
                if not self.passes(error):
                    raise
                failure = error
            between()
            time.sleep(random.uniform(0.0, _PAUSE_SECONDS * 2**number))
        raise failure if self.blames_data(failure) else self.explain(failure) or failure

    def read(self, work: Callable[[Connection], _T]) -> _T:
        """Return what ``work`` reads, on a connection of its own."""

        def attempt() -> _T:
            with self.explained(), self.engine.connect() as connection, self.reading(connection):
                return work(connection)

        return self.retried(attempt, between=lambda: None)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what the database raises for its own state into a StoreError that says what to do."""
        try:
            yield
        except Exception as error:
            explanation = None if self.blames_data(error) or self.passes(error) else self.explain(error)
            if explanation is None:
                raise
            raise explanation from error

    def _migrate(self, connection: Connection) -> None:
        """Upgrade inside the transaction that ``connection`` is in."""
        from banditroute.store.sql import migrations

        found = self.revision(connection)  # now: another process may have upgraded it
        if found is not None and not migrations.knows(found):
            raise self._newer(found)
        if found != REVISION:
            migrations.upgrade(connection)

    def _newer(self, found: str) -> IncompatibleStoreError:
        return IncompatibleStoreError(
            f"{self.name} has schema {found!r}, this version of banditroute knows schemas up to {REVISION!r}; "
            f"run: pip install --upgrade banditroute"
        )


def insert(connection: Connection, table: Table) -> Any:
    """Return an INSERT that knows ``on_conflict_do_...``."""
    return INSERT[connection.dialect.name](table)


def parse(url: object) -> URL:
    """Return ``url`` as an address that :func:`database_at` takes.

    Raises
    ------
    InvalidConfigurationError
        For a plain path, an in-memory database, and another database than SQLite and PostgreSQL.
    """
    shown = shown_address(url)
    if not isinstance(url, str) or "://" not in url:
        raise InvalidConfigurationError(
            f"SQLStore({shown!r}): give a database URL; for a file: SQLStore({f'sqlite:///{shown}'!r})"
        )
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidConfigurationError(
            f"SQLStore({shown!r}) is not a database URL; for a file: SQLStore('sqlite:///routes.db'), for a server: "
            f"SQLStore('postgresql://user:password@host:5432/database')"
        ) from None  # what it quotes may hold the password
    kind = address.get_backend_name()
    kind = "postgresql" if kind == "postgres" else kind
    if kind == "postgresql":
        return address.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise InvalidConfigurationError(
            f"SQLStore: {kind} is not served, SQLite and PostgreSQL are; give 'sqlite:///routes.db' or "
            f"'postgresql://user:password@host/database'"
        )
    if address.database in (None, "", ":memory:") or "mode=memory" in url:
        raise InvalidConfigurationError(
            f"SQLStore({shown!r}) would forget all at its end; use MemoryStore(), or name a file: "
            f"SQLStore('sqlite:///routes.db')"
        )
    return address.set(drivername="sqlite")


def database_at(address: URL, *, relaxed: bool = False, read_only: bool = False) -> Database:
    """Return the database at an address that :func:`parse` gave.

    Parameters
    ----------
    address
        Where it is.
    relaxed
        Whether a commit returns before it is on disk, where only a power cut or a crash of the machine can undo it.
    read_only
        Whether a file is opened so that nothing can be written. A server's transactions that read are so anyway.

    Raises
    ------
    MissingDependencyError
        If the driver is not installed.
    """
    if address.get_backend_name() == "postgresql":
        from banditroute.store.sql.postgresql import PostgreSQL

        return PostgreSQL(address, relaxed=relaxed)
    from banditroute.store.sql.sqlite import SQLite

    return SQLite(address, relaxed=relaxed, read_only=read_only)
