"""PostgreSQL: a server that the processes of many machines share."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.pool import NullPool

from banditroute.core.optional_imports import optional
from banditroute.errors import StoreError
from banditroute.store.sql.database import Database
from banditroute.store.sql.schema import REVISION, VERSION_TABLE, metadata

_CONNECT_OPTIONS = {  # of libpq; what the address gives stays
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",  # milliseconds: a network that is dead is noticed
}
_STATEMENT_SECONDS = 30
_LOCK_SECONDS = 30
_PASSES = {
    "40001",  # serialization failure
    "40P01",  # deadlock
    "23505",  # another process has recorded the same outcome meanwhile: it is seen when tried again
    "23503",  # another process has erased the decision meanwhile
}


class PostgreSQL(Database):
    """A PostgreSQL database, through psycopg 3."""

    def __init__(self, address: URL, *, relaxed: bool) -> None:
        optional("psycopg", extra="postgresql")
        shown = address.render_as_string(hide_password=True)
        missing = {name: value for name, value in _CONNECT_OPTIONS.items() if name not in address.query}
        engine = create_engine(
            address.update_query_dict(missing),
            poolclass=NullPool,
            isolation_level="READ COMMITTED",
            connect_args={"prepare_threshold": None},
        )
        super().__init__(engine, shown.split("?")[0])
        self._shown = shown
        # Where the server is set up for more than its own disk, that stays.
        commit = "'off'" if relaxed else "replace(current_setting('synchronous_commit'), 'off', 'on')"
        self._settings = f"SELECT set_config('synchronous_commit', {commit}, true)"
        self._limits = (
            f", set_config('statement_timeout', '{_STATEMENT_SECONDS}s', true)"
            f", set_config('lock_timeout', '{_LOCK_SECONDS}s', true)"
        )

        # In each transaction: behind a pooler the next one may be another session's.
        @event.listens_for(engine, "begin")
        def settle(connection: Connection) -> None:
            if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
                connection.exec_driver_sql(self._settings + (self._limits if self.limited else ""))

    def number_on(self, connection: Connection) -> None:
        """Set the sequences that number rows behind the rows that are there."""
        for table in metadata.sorted_tables:
            column = table.autoincrement_column
            if column is not None:
                name = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
                latest = f"(SELECT coalesce(max({column.name}), 0) + 1 FROM {table.name})"
                connection.execute(text(f"SELECT setval({name}, {latest}, false) WHERE {name} IS NOT NULL"))

    def now(self, connection: Connection) -> float:
        """Return what the server's clock shows, in Unix seconds."""
        return float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)

    @contextmanager
    def reading(self, connection: Connection) -> Iterator[None]:
        """Open a transaction that reads the state of one moment and blocks no writer."""
        with self.explained():
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield
            connection.execution_options(isolation_level="READ COMMITTED", postgresql_readonly=False)

    def revision(self, connection: Connection) -> str | None:
        """Return the revision of the schema; other applications may have tables in the same database."""
        if connection.scalar(text("SELECT to_regclass(:name)"), {"name": VERSION_TABLE}) is None:
            return None
        found = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
        return None if found is None else str(found)

    def prepare(self) -> None:
        """Make sure that the schema is this version's; a server's is upgraded by command, not in passing."""
        with self.explained(), self.engine.connect() as connection, self.reading(connection):
            found = self.revision(connection)
        if found == REVISION:
            return
        from banditroute.store.sql import migrations

        if found is not None and not migrations.knows(found):
            raise self._newer(found)
        there = "no tables of banditroute" if found is None else f"the older schema {found!r}"
        raise StoreError(f"{self.name} has {there}; run once: banditroute db upgrade {self._shown!r}")

    def upgrade(self) -> None:
        """Bring the schema to this version's, all or nothing; processes that do so at once wait for each other."""
        with self.explained(), self.engine.connect() as connection, self.writing(connection):
            turn = {"key": zlib.crc32(VERSION_TABLE.encode())}
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), turn)
            self._migrate(connection)

    def scrub(self) -> None:
        """Run VACUUM on the tables, so that no row version holds what was deleted; backups and replicas may."""
        with self.explained(), self.engine.connect() as connection:
            raw = connection.execution_options(isolation_level="AUTOCOMMIT")
            for table in metadata.sorted_tables:
                raw.exec_driver_sql(f"VACUUM {table.name}")

    def damage(self, connection: Connection) -> list[str]:
        """Return nothing: a server checks its pages itself."""
        return []

    def blames_data(self, error: Exception) -> bool:
        """Return whether a statement failed for the values it was given."""
        if isinstance(error, ProgrammingError):
            return _state(error) is None  # the driver's own: a value that it cannot send
        if isinstance(error, DBAPIError):
            return isinstance(error, DataError | IntegrityError)
        return not isinstance(error, StoreError) and type(error).__module__.partition(".")[0] != "psycopg"

    def passes(self, error: Exception) -> bool:
        """Return whether another process was in the way, or the connection was cut."""
        return isinstance(error, DBAPIError) and (error.connection_invalidated or _state(error) in _PASSES)

    def explain(self, error: Exception) -> StoreError | None:
        """Explain what PostgreSQL or its driver raised, with a remedy."""
        cause = getattr(error, "orig", error)
        if type(cause).__module__.partition(".")[0] != "psycopg":
            return None
        state = _state(error) or "08"
        remedy = _REMEDIES.get(state) or _REMEDIES.get(state[:2], "see what the server says, and try again")
        return StoreError(f"{self.name}: {str(cause).strip()}; {remedy}")


def _state(error: Exception) -> str | None:
    return getattr(getattr(error, "orig", error), "sqlstate", None)


_REMEDIES = {  # by SQLSTATE, or its class
    "08": "check the address, and that the server runs and can be reached",
    "28": "check user and password",
    "3D": "make the database first: createdb",
    "42501": "grant this user what it needs on the tables of banditroute",
    "42": "the tables are not as this version made them: run banditroute db verify",
    "53": "the server is short of disk, memory or connections: see to that",
    "57014": "a statement took too long: look for locks and load on the server, and try again",
    "57": "the server is stopping or starting: try again",
    "55": "another process holds a lock for too long: end its transaction",
}
