"""SQLite: a file on a local disk, shared by the processes of one machine."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from banditroute.errors import IncompatibleStoreError, StoreError
from banditroute.store.sql.database import Database
from banditroute.store.sql.schema import REVISION, VERSION_TABLE

_WAIT_SECONDS = 30.0  # for another process that writes; ?timeout=... in the URL sets another
_CHECKPOINT_SECONDS = 0.05  # between two attempts
_TURN_SECONDS = 0.001  # between two attempts to be the one that writes
_WAL_BYTES = 64 * 2**20
_READS = "banditroute_reads"


class SQLite(Database):
    """A SQLite file with a write-ahead log.

    A transaction that begins as a read and turns to writing fails at once where another writes, so each that
    writes says so at its beginning and waits for its turn: here, every millisecond, as SQLite itself would sleep
    for longer and longer, and one of several busy processes could wait for seconds.
    """

    def __init__(self, address: URL, *, relaxed: bool, read_only: bool = False) -> None:
        self._wait_seconds = float(str(address.query.get("timeout", _WAIT_SECONDS)))
        opened = address.update_query_dict({"timeout": str(self._wait_seconds)})
        if read_only:  # and a file that is gone is not made
            place = Path(str(address.database)).absolute().as_uri()
            opened = opened.set(database=place).update_query_dict({"mode": "ro", "uri": "true"})
        engine = create_engine(opened, poolclass=NullPool)
        super().__init__(engine, str(address.database))
        self._path = str(address.database)

        @event.listens_for(engine, "connect")
        def settle(connection: sqlite3.Connection, record: object) -> None:
            connection.isolation_level = None  # so that the driver begins no transactions of its own
            connection.execute(f"PRAGMA synchronous={'NORMAL' if relaxed else 'FULL'}")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten
            connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            if connection.info.get(_READS):
                connection.exec_driver_sql("BEGIN")
            else:
                self._begin_writing(connection)

    def place(self) -> object:
        """Return device and inode of the file and of its write-ahead log; None for what is not there.

        They change when it is removed, moved or replaced.
        """
        return _inode(self._path), _inode(f"{self._path}-wal")

    def is_elsewhere(self, place: object, before: object) -> bool:
        """Return whether the file or its log is another one; before the first transaction there is no log."""
        return place != before and not (isinstance(before, tuple) and before == (place[0], None))  # type: ignore[index]

    @contextmanager
    def reading(self, connection: Connection) -> Iterator[None]:
        """Open a transaction that reads the state of one moment and blocks no writer."""
        connection.info[_READS] = True
        try:
            with self.explained(), connection.begin():
                yield
        finally:
            connection.info[_READS] = False

    def revision(self, connection: Connection) -> str | None:
        """Return the revision of the schema; a file with other tables is refused."""
        query = connection.exec_driver_sql
        tables = sorted(query("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
        if VERSION_TABLE in tables:
            found = query(f"SELECT version_num FROM {VERSION_TABLE}").scalar()
            if found is not None:
                return str(found)
        if tables:
            raise IncompatibleStoreError(
                f"{self.name} holds tables of another application ({', '.join(tables[:5])}) and no banditroute "
                f"schema; give the store a file of its own"
            )
        return None

    def prepare(self) -> None:
        """Make or upgrade the schema; nothing of a file that is not ours is changed."""
        with self.explained():
            with self.engine.connect() as connection, self.reading(connection):
                found = self.revision(connection)
            with closing(self.engine.raw_connection()) as raw:
                mode = raw.cursor().execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise StoreError(
                f"{self.name} cannot have a write-ahead log (SQLite says {mode!r}); put the file on a local disk, "
                f"not on a network share"
            )
        if found != REVISION:
            self.upgrade()

    def upgrade(self) -> None:
        """Bring the schema to this version's, all or nothing; processes that do so at once wait for each other."""
        with self.explained(), self.engine.connect() as connection:
            connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")  # a table that is copied is dropped
            with self.writing(connection):
                self._migrate(connection)

    def scrub(self) -> None:
        """Bring the write-ahead log into the file, and empty it: what was deleted is in neither then.

        Raises
        ------
        StoreError
            If a process reads for so long that this cannot be done.
        """
        end = time.monotonic() + self._wait_seconds
        with self.explained(), closing(self.engine.raw_connection()) as raw:
            while True:
                busy, _, _ = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if not busy:
                    return
                if time.monotonic() >= end:
                    break
                time.sleep(_CHECKPOINT_SECONDS)
        raise StoreError(
            f"{self.name}: what was erased is still in {self.name}-wal, as a process reads it for too long; end that, "
            f"and erase again"
        )

    def damage(self, connection: Connection) -> list[str]:
        """Return what SQLite's own checks find."""
        query = connection.exec_driver_sql
        found = [f"{self.name}: {line}" for line in query("PRAGMA integrity_check").scalars() if line != "ok"]
        lost = [f"{self.name}: a row of {row[0]} refers to none" for row in query("PRAGMA foreign_key_check")]
        return found + lost

    def blames_data(self, error: Exception) -> bool:
        """Return whether a statement failed for the values it was given."""
        if isinstance(error, DBAPIError):
            return isinstance(error, DataError | IntegrityError | InterfaceError | ProgrammingError)
        return not isinstance(error, StoreError | sqlite3.Error | UnicodeDecodeError)

    def passes(self, error: Exception) -> bool:
        """Return whether a decision was erased by another process after this one had read it."""
        code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
        return code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY

    def explain(self, error: Exception) -> StoreError | None:
        """Explain what SQLite raised, with a remedy."""
        if isinstance(error, UnicodeDecodeError):  # SQLite quotes the damage in its message, or in a name
            return IncompatibleStoreError(f"{self.name}: {_REMEDIES[sqlite3.SQLITE_CORRUPT]}")
        if not isinstance(error, DBAPIError | sqlite3.Error):
            return None
        cause = getattr(error, "orig", error)
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the upper bytes only tell variants apart
        remedy = _REMEDIES.get(code, "see what SQLite says, and try again")
        kind = IncompatibleStoreError if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) else StoreError
        return kind(f"{self.name}: {cause}; {remedy}")

    def _begin_writing(self, connection: Connection) -> None:
        end = time.monotonic() + self._wait_seconds
        cursor = connection.connection.cursor()
        cursor.execute("PRAGMA busy_timeout=0")
        try:
            while True:
                try:
                    cursor.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                        raise OperationalError("BEGIN IMMEDIATE", None, error) from error
                time.sleep(_TURN_SECONDS)
        finally:
            cursor.execute(f"PRAGMA busy_timeout={int(self._wait_seconds * 1000)}")


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


_REMEDIES = {
    sqlite3.SQLITE_NOTADB: "it is no SQLite database: give another path, or move that file away",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore a backup, or move it away to begin again",
    sqlite3.SQLITE_CANTOPEN: "make sure that its directory exists and that this user may write there",
    sqlite3.SQLITE_READONLY: "make the file and its directory writable for this user, or give another path",
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_BUSY: "another process is writing for too long: end its transaction",
    sqlite3.SQLITE_IOERR: "the disk fails, or the file was removed: check the disk",
}
