"""Copy all of a database into another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from banditroute.admin._database import open_database
from banditroute.admin.upgrading import upgrade
from banditroute.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

_ROWS_AT_ONCE = 1000


def copy(source: str, target: str) -> int:
    """Copy all routers of one database into another, from SQLite to PostgreSQL or back: log, ids, sums and state.

    Stop the routers first: what they record meanwhile is not copied. The source is not changed.

    Parameters
    ----------
    source, target
        As :class:`~banditroute.store.SQLStore` takes them. The tables of the target are made where they are missing; it
        must hold no router.

    Returns
    -------
    int
        How many decisions were copied.

    Raises
    ------
    InvalidConfigurationError
        If a URL names no database.
    IncompatibleStoreError, StoreError
        If a database cannot be used, or the target holds a router already; the target holds all or nothing.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from banditroute import Router, SQLStore, admin
    >>> directory = tempfile.TemporaryDirectory()
    >>> old, new = (f"sqlite:///{pathlib.Path(directory.name) / name}" for name in ("old.db", "new.db"))
    >>> with Router(arms=["small", "large"], features=1, store=SQLStore(old)) as router:
    ...     decision = router.route([0.5])
    >>> admin.copy(old, new)
    1
    >>> with Router(arms=["small", "large"], features=1, store=SQLStore(new)) as router:
    ...     router.feedback(decision.id, quality=1.0)
    'accepted'
    >>> directory.cleanup()
    """
    from banditroute.store.sql import schema

    old = open_database(source, writes=False)
    upgrade(target)
    new = open_database(target)
    tables = [table for table in schema.metadata.sorted_tables if table is not schema.last_group]
    with (
        old.engine.connect() as reading,
        old.reading(reading),
        new.engine.connect() as writing,
        new.writing(writing),
    ):
        for table in tables:
            _check_empty(writing, table, new.name)
        copied = {table.name: _copy(reading, writing, table) for table in tables}
        new.number_on(writing)
    return copied[schema.decision.name]


def _check_empty(connection: Connection, table: Table, name: str) -> None:
    from sqlalchemy import select

    if connection.execute(select(table).limit(1)).first() is not None:
        raise StoreError(f"{name} holds a router already; give an empty database")


def _copy(reading: Connection, writing: Connection, table: Table) -> int:
    """Copy the rows of a table, some at a time; return how many."""
    from sqlalchemy import select

    copied = 0
    rows = reading.execution_options(yield_per=_ROWS_AT_ONCE).execute(select(table).order_by(*table.primary_key))
    for some in rows.mappings().partitions():
        held: list[dict[str, Any]] = [dict(row) for row in some]
        writing.execute(table.insert(), held)
        copied += len(held)
    return copied
