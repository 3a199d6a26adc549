"""Brings a database to the schema of this version. Schemas only go forward; to go back, restore a backup.

A new revision is a file in ``versions`` that ``schema.REVISION`` names; the tests hold it to the tables of
``schema``. Alembic is imported here and nowhere else: only a database that must be changed pays for it.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def knows(revision: str) -> bool:
    """Return whether ``revision`` is one of this version of the package, or of an older one."""
    scripts = ScriptDirectory.from_config(_config())
    return any(script.revision == revision for script in scripts.walk_revisions())


def upgrade(connection: Connection) -> None:
    """Upgrade to the newest schema, inside the transaction that ``connection`` is in."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    # ConfigParser takes % for interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
