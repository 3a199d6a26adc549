"""A check that a SQLite database is there, for commands that must not create one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from banditroute.core.addresses import shown_address
from banditroute.errors import InvalidConfigurationError


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite URL; None for another database, or one in memory.

    Examples
    --------
    >>> sqlite_file("sqlite:///routes.db"), sqlite_file("postgresql://host/db")
    (PosixPath('routes.db'), None)
    """
    scheme, _, rest = url.partition("://")
    name = rest.removeprefix("/").partition("?")[0]
    return Path(name) if scheme.partition("+")[0] == "sqlite" and name not in ("", ":memory:") else None


def require_existing(url: str) -> None:
    """Refuse the URL of a SQLite file that is not there or holds no router's tables; the file is opened read-only.

    Raises
    ------
    InvalidConfigurationError
        If it is such a file.
    """
    path = sqlite_file(url)
    if path is None:
        return
    if not path.is_file():
        raise InvalidConfigurationError(
            f"there is no file {shown_address(path)!r}; give a router's database, or its URL"
        )
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'banditroute_epoch'").fetchone()
    except sqlite3.Error:
        return  # not SQLite, locked or damaged: opening it says so better
    if not found[0]:
        raise InvalidConfigurationError(
            f"{shown_address(path)!r} holds no router's tables; give a router's database, or run banditroute db upgrade"
        )
