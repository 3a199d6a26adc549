"""A store in a database: SQLite or PostgreSQL."""

from banditroute.store.sql.sql_store import SQLStore

__all__ = ["SQLStore"]
