"""The script that Alembic runs to upgrade, on the connection that ``upgrade`` of this package gives it."""

from __future__ import annotations

from alembic import context

from banditroute.store.sql.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
