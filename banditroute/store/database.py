"""The database under a store: connecting, the schema's revision, and failures in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
)
from sqlalchemy.pool import NullPool

from banditroute.errors import IncompatibleStoreError, InvalidConfigurationError, StoreError
from banditroute.store.schema import REVISION, VERSION_TABLE

_WAIT_SECONDS = 30  # for another process that writes; ?timeout=... in the URL sets another
_WAL_BYTES = 64 * 2**20


def parse(url: object) -> URL:
    """``url`` as the address of a SQLite file.

    Raises
    ------
    InvalidConfigurationError
        For a plain path, an in-memory database, and another database than SQLite.
    """
    if not isinstance(url, str) or "://" not in url:
        raise InvalidConfigurationError(
            f"SQLStore({url!r}): give a database URL; for a file: SQLStore({f'sqlite:///{url}'!r})"
        )
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise InvalidConfigurationError(
            f"SQLStore({url!r}) is not a database URL ({error}); for a file: SQLStore('sqlite:///routes.db')"
        ) from error
    if address.get_backend_name() != "sqlite":
        raise InvalidConfigurationError(
            f"SQLStore({url!r}): only SQLite is served; give SQLStore('sqlite:///routes.db')"
        )
    if address.database in (None, "", ":memory:") or "mode=memory" in url:
        raise InvalidConfigurationError(
            f"SQLStore({url!r}) would forget all at its end; use MemoryStore(), or name a file: "
            f"SQLStore('sqlite:///routes.db')"
        )
    return address


def engine_for(address: URL) -> Engine:
    """An engine whose every transaction is a write that waits for its turn at the beginning.

    A SQLite transaction that begins as a read and turns to writing fails at once where another writes; one
    that begins with ``BEGIN IMMEDIATE`` waits.
    """
    if "timeout" not in address.query:
        address = address.update_query_dict({"timeout": str(_WAIT_SECONDS)})
    engine = create_engine(address, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def settle(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None  # so that the driver begins no transactions of its own
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def prepare(engine: Engine) -> None:
    """Bring a database to this version's schema; nothing of a database that is not ours is changed.

    Raises
    ------
    IncompatibleStoreError
        If it belongs to another application or has a newer schema.
    StoreError
        If it cannot have a write-ahead log.
    """
    with closing(engine.raw_connection()) as raw:
        plain: Any = raw.driver_connection
        found = _revision(plain, engine.url)
        mode = plain.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise StoreError(
                f"{engine.url.database} cannot have a write-ahead log (SQLite says {mode!r}); put the file "
                f"on a local disk, not on a network share"
            )
    if found != REVISION:
        _upgrade(engine)


def _revision(plain: sqlite3.Connection, url: URL) -> str | None:
    tables = {row[0] for row in plain.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if VERSION_TABLE in tables:
        row = plain.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
        if row is not None:
            return str(row[0])
    if tables:
        raise IncompatibleStoreError(
            f"{url.database} holds tables of another application ({', '.join(sorted(tables)[:5])}) and no "
            f"banditroute schema; give the store a file of its own"
        )
    return None


def _upgrade(engine: Engine) -> None:
    from banditroute.store import migrations

    with engine.connect() as connection:
        plain: Any = connection.connection.driver_connection
        plain.execute("PRAGMA foreign_keys=OFF")  # a table that is copied is dropped under its references
        with connection.begin():
            found = _revision(plain, engine.url)  # again: another process may have upgraded it by now
            if found is not None and not migrations.knows(found):
                raise IncompatibleStoreError(
                    f"{engine.url.database} has schema {found!r}, this version of banditroute knows schemas "
                    f"up to {REVISION!r}; run: pip install --upgrade banditroute"
                )
            migrations.upgrade(connection)


def blames_data(error: Exception) -> bool:
    """Whether a statement failed for the values it was given, and not for the state of the database."""
    if isinstance(error, DBAPIError):
        return isinstance(error, DataError | IntegrityError | InterfaceError | ProgrammingError)
    return not isinstance(error, StoreError | sqlite3.Error)


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Turn what the database raises for its own state into a StoreError that says what to do."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        if blames_data(error):
            raise
        raise _explain(error, url) from error


def _explain(error: Exception, url: URL) -> StoreError:
    cause = getattr(error, "orig", error)
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the upper bytes only tell variants apart
    remedy = _REMEDIES.get(code, "see what SQLite says, and try again")
    kind = IncompatibleStoreError if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) else StoreError
    return kind(f"{url.database}: {cause}; {remedy}")


_REMEDIES = {
    sqlite3.SQLITE_NOTADB: "it is no SQLite database: give another path, or move that file away",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore a backup, or move it away to begin anew",
    sqlite3.SQLITE_CANTOPEN: "make sure that its directory exists and that this user may write there",
    sqlite3.SQLITE_READONLY: "make the file and its directory writable for this user, or give another path",
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_BUSY: "another process is writing for too long: end its transaction",
    sqlite3.SQLITE_IOERR: "the disk fails, or the file was removed: check the disk",
}
