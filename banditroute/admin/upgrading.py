"""Make the tables of a database, or bring them to the schema of this version."""

from __future__ import annotations


def upgrade(url: str) -> None:
    """Make the tables at ``url``, or bring them to the schema of this version.

    Raises
    ------
    InvalidConfigurationError
        If the URL names no database.
    IncompatibleStoreError, StoreError
        If the database cannot be used.
    """
    from banditroute.store.sql import database

    database.database_at(database.parse(url)).upgrade()
